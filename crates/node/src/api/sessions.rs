//! Sessions: listed, shown, compared with their folder, brought home, exported and removed.

use super::call::{Answer, Call};
use super::{body, messages};
use axum::Json;
use axum::body::Body;
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream;
use mainstay_contract::SessionId;
use serde_json::json;
use std::convert::Infallible;
use std::path::PathBuf;

const DIFF: &str = "text/x-diff";

/// Sessions, newest change first.
pub(super) async fn list(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    Ok(Json(call.node.sessions().await?).into_response())
}

/// One session, with its messages where they are asked for.
pub(super) async fn show(call: Call) -> Answer {
    let call = call.known_query(&["messages"])?;
    let session: SessionId = call.id("session")?;
    let with_messages = call
        .query("messages", "`true` or `false`")?
        .unwrap_or(false);
    let view = call.node.session(&session).await?;
    let mut body = json!(view);
    if with_messages {
        messages::resolve(&call.node, &view, &mut body).await?;
    }
    Ok(Json(body).into_response())
}

/// Removes a session.
pub(super) async fn remove(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let session: SessionId = call.id("session")?;
    call.node.remove(&session).await?;
    Ok(Json(json!({ "session": session })).into_response())
}

/// What the agent changed.
pub(super) async fn diff(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let session: SessionId = call.id("session")?;
    let is_text = call.accepts(DIFF);
    let diff = call.node.diff(&session).await?;
    if is_text {
        let kind = format!("{DIFF}; charset=utf-8");
        return Ok(([(header::CONTENT_TYPE, kind)], diff.to_string()).into_response());
    }
    Ok(Json(diff).into_response())
}

/// Brings the changes home.
pub(super) async fn apply(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let session: SessionId = call.id("session")?;
    let mut fields = body::object(call.request).await?.known(&["to"])?;
    let to = fields.take_string("to")?.map(PathBuf::from);
    Ok(Json(call.node.apply(&session, to).await?).into_response())
}

/// All of a session, a JSON value a line.
pub(super) async fn export(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let session: SessionId = call.id("session")?;
    let lines = call
        .node
        .export(&session)
        .await?
        .into_iter()
        .map(|mut line| {
            line.push('\n');
            Ok::<_, Infallible>(line)
        });
    let headers = [(header::CONTENT_TYPE, "application/jsonl")];
    Ok((headers, Body::from_stream(stream::iter(lines))).into_response())
}
