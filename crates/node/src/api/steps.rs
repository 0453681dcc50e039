//! An operator's word on a step in doubt.

use super::body::{self, Fields};
use super::problem::Problem;
use super::router::{Answer, Call};
use crate::Word;
use axum::Json;
use axum::response::IntoResponse;
use mainstay_contract::{SessionId, StepId};
use serde_json::json;

/// Resolves a step, or releases a quarantined turn. The session in the path, where there is one, must
/// be the step's own.
pub(super) async fn resolve(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let step: StepId = call.id("step")?;
    let session: Option<SessionId> = call.id_if_any("session")?;
    let fields = body::object(call.request).await?.known(&["result", "retry", "fail"])?;
    let word = word(fields)?;
    call.node.resolve(session.as_ref(), &step, word).await?;
    Ok(Json(json!({ "step": step })).into_response())
}

fn word(mut fields: Fields) -> Result<Word, Problem> {
    let result = fields.take_string("result")?;
    let retry = fields.take_bool("retry")?;
    let fail = fields.take_string("fail")?;
    match (result, retry, fail) {
        (Some(text), None | Some(false), None) => Ok(Word::Result(text)),
        (None, Some(true), None) => Ok(Word::Retry),
        (None, None | Some(false), Some(text)) => Ok(Word::Fail(text)),
        _ => Err(Problem::invalid("the body needs exactly one of `result`, `retry` and `fail`")
            .hint("`{\"result\": \"what it answered\"}`: it took effect")
            .hint("`{\"retry\": true}`: it did not, run it again")
            .hint("`{\"fail\": \"why\"}`: give up on it and tell the model")),
    }
}
