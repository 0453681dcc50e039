//! Messages beside their digests, for callers that want to read rather than to compare.

use super::problem::Problem;
use crate::Node;
use mainstay_contract::{Digest, Message};
use mainstay_sessions::{SessionView, TurnView};
use serde_json::{Value, json};

/// The text of a turn's answer, where it has one.
pub(super) async fn text(node: &Node, turn: &TurnView) -> Result<Option<String>, Problem> {
    Ok(read(node, turn.answer.as_ref())
        .await?
        .map(|message| message.text))
}

/// Puts each turn's input and answer, and each step's message, into a session's JSON.
pub(super) async fn resolve(
    node: &Node,
    view: &SessionView,
    body: &mut Value,
) -> Result<(), Problem> {
    for (at, turn) in view.turns.iter().enumerate() {
        let shown = &mut body["turns"][at];
        shown["text"] = json!(text(node, turn).await?);
        shown["input_message"] = json!(read(node, Some(&turn.input)).await?);
        for (at, step) in turn.steps.iter().enumerate() {
            shown["steps"][at]["content"] = json!(read(node, step.message.as_ref()).await?);
        }
    }
    Ok(())
}

async fn read(node: &Node, digest: Option<&Digest>) -> Result<Option<Message>, Problem> {
    match digest {
        Some(digest) => Ok(Some(node.message(digest).await?)),
        None => Ok(None),
    }
}
