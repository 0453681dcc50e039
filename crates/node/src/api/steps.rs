//! An operator's word on a step in doubt.

use super::body::{self, Fields};
use super::call::{Answer, Call};
use super::problem::Problem;
use crate::{Node, ResolveWord};
use axum::Json;
use axum::response::IntoResponse;
use mainstay_contract::{Code, SessionId, StepId};
use serde_json::json;

/// Resolves a step, or releases a quarantined turn. The session in the path, where there is one, must
/// be the step's own.
pub(super) async fn resolve(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let step: StepId = call.id("step")?;
    let session: Option<SessionId> = call.id_if_any("session")?;
    let fields = body::object(call.request)
        .await?
        .known(&["result", "retry", "fail"])?;
    let word = word(fields)?;
    if let Some(session) = session {
        judge_session(&call.node, &session, &step).await?;
    }
    call.node.resolve(&step, word).await?;
    Ok(Json(json!({ "step": step })).into_response())
}

async fn judge_session(node: &Node, session: &SessionId, step: &StepId) -> Result<(), Problem> {
    let elsewhere = || {
        let message = format!("there is no step {step} in session {session}");
        Problem::new(Code::NotFound, message).about("step", step.as_str())
    };
    let (turn, _) = step.parts().ok_or_else(elsewhere)?;
    let (own, _) = node.turn(&turn).await?;
    if own == *session {
        Ok(())
    } else {
        Err(elsewhere())
    }
}

fn word(mut fields: Fields) -> Result<ResolveWord, Problem> {
    let result = fields.take_string("result")?;
    let retry = fields.take_bool("retry")?;
    let fail = fields.take_string("fail")?;
    match (result, retry, fail) {
        (Some(text), None | Some(false), None) => Ok(ResolveWord::Result(text)),
        (None, Some(true), None) => Ok(ResolveWord::Retry),
        (None, None | Some(false), Some(text)) => Ok(ResolveWord::Fail(text)),
        _ => Err(
            Problem::invalid("the body needs exactly one of `result`, `retry` and `fail`")
                .hint("`{\"result\": \"what it answered\"}`: it took effect")
                .hint("`{\"retry\": true}`: it did not, run it again")
                .hint("`{\"fail\": \"why\"}`: give up on it and tell the model"),
        ),
    }
}
