//! The models as they are now, and questions to them.

use super::call::{Answer, Call};
use super::problem::Problem;
use super::{body, sse};
use crate::ModelCall;
use crate::inference::{Calling, Said};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Instant;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Every model, by name.
pub(super) async fn list(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    Ok(Json(call.node.models()).into_response())
}

/// Asks a model. Its id is told whatever comes of it, because the log and the trace have it.
pub(super) async fn call(call: Call) -> Answer {
    let id = mainstay_gateway::request_id();
    let answer = ask(call, id.clone()).await;
    let mut answer = answer.map_err(|problem| problem.header(REQUEST_ID, &id))?;
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(answer)
}

async fn ask(call: Call, request_id: String) -> Answer {
    let began = Instant::now();
    let call = call.known_query(&[])?;
    let patience = mainstay_gateway::patience(call.request.headers()).map_err(Problem::invalid)?;
    let trace_parent = call.request.headers().get("traceparent");
    let trace_parent = trace_parent.and_then(|value| Some(value.to_str().ok()?.to_owned()));
    let is_stream = call.accepts(sse::MEDIA_TYPE);
    let model = call.text("model").to_owned();
    let Call { node, request, .. } = call;
    let fields = body::object(request).await?;
    let mut fields = fields.known(&["input", "system", "max_tokens"])?;
    let rule = || Problem::invalid("`max_tokens` must be a whole number above 0");
    let output_tokens_max = match fields.take("max_tokens") {
        None => None,
        Some(value) => Some(value.as_u64().filter(|most| *most > 0).ok_or_else(rule)?),
    };
    let question = ModelCall {
        request_id,
        trace_parent,
        model,
        input: fields.require_string("input")?,
        system: fields.take_string("system")?,
        output_tokens_max,
        stream: is_stream,
        patience,
        waited: began.elapsed(),
    };
    let mut calling = node.call_model(&question).await?;
    if is_stream {
        let feed = Feed {
            calling: Some(calling),
        };
        let headers = [
            (header::CONTENT_TYPE, sse::MEDIA_TYPE),
            (header::CACHE_CONTROL, "no-store"),
        ];
        return Ok((headers, Body::from_stream(unfold(feed, Feed::next))).into_response());
    }
    loop {
        match calling.next().await {
            Ok(Said::Text(_)) => {}
            Ok(Said::Done(reply)) => return Ok(Json(reply).into_response()),
            Err(report) => return Err(Problem::of(*report)),
        }
    }
}

/// An answer as a stream of events; dropping it cancels the call.
struct Feed {
    /// Absent once it is over.
    calling: Option<Calling>,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let calling = self.calling.as_mut()?;
        let said = calling.next().await;
        let (kind, data): (&str, Value) = match said {
            Ok(Said::Text(text)) => ("text", json!({ "kind": "text", "text": text })),
            Ok(Said::Done(reply)) => ("done", json!({ "kind": "done", "reply": reply })),
            Err(report) => ("error", json!({ "kind": "error", "error": report })),
        };
        if kind != "text" {
            self.calling = None;
        }
        let frame = sse::frame_of(None, kind.as_bytes(), data.to_string().as_bytes());
        Some((Ok(frame), self))
    }
}
