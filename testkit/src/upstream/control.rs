//! Questions that tests ask the upstream over HTTP.

use super::server::{Sent, plain};
use super::state::State;
use hyper::http::request::Parts;
use hyper::{Method, body::Bytes};
use serde_json::{Value, json};

/// The answer, where it is such a question.
pub(super) fn answer(state: &State, head: &Parts, body: &Bytes) -> Option<Sent> {
    let query = head.uri.query().unwrap_or_default();
    let told = match (&head.method, head.uri.path()) {
        (&Method::GET, "/hits") => json!(state.hits()),
        (&Method::GET, "/open") => state.open(),
        (&Method::GET, "/requests") => {
            let model = query.strip_prefix("model=").unwrap_or_default();
            json!(state.requests(&model.replace("%2F", "/")))
        }
        (&Method::POST, "/key") => {
            let asked: Value = serde_json::from_slice(body).unwrap_or_default();
            let (Some(model), Some(key)) = (asked["model"].as_str(), asked["key"].as_str()) else {
                return Some(plain(400, &json!({"error": "wanted: model, key"})));
            };
            state.set_key(model, key);
            json!({})
        }
        _ => return None,
    };
    Some(plain(200, &told))
}
