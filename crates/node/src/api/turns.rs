//! Turns: started, watched, cancelled and replayed.

use super::body::{self, Fields, wrong};
use super::call::{Answer, Call, id};
use super::events;
use super::messages;
use super::problem::Problem;
use crate::{Node, TurnAccepted, TurnRequest};
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use mainstay_contract::{AgentName, Seq, SessionId, TurnId};
use mainstay_sessions::{OnBusy, TurnState};
use serde_json::{Value, json};

const FIELDS: &[&str] = &[
    "agent", "input", "turn_id", "scope_id", "on_busy", "options",
];
const ON_BUSY: &[(&str, OnBusy)] = &[
    ("reject", OnBusy::Reject),
    ("queue", OnBusy::Queue),
    ("interrupt", OnBusy::Interrupt),
    ("steer", OnBusy::Steer),
];

/// Accepts a turn; durable before it is answered.
pub(super) async fn start(call: Call) -> Answer {
    let call = call.known_query(&["wait"])?;
    let session: SessionId = call.id("session")?;
    let wait = call.wait()?;
    let key = call.idempotency_key()?;
    let Call {
        node,
        request,
        mut stopped,
        ..
    } = call;
    let fields = body::object(request).await?.known(FIELDS)?;
    let request = read(fields, &session, key)?;
    let accepted = accept(&node, request).await?;
    let turn = &accepted.turn;
    let mut state = accepted.state;
    if let Some(wait) = wait {
        let ended = node.wait_turn(&session, turn);
        tokio::select! {
            ended = tokio::time::timeout(wait, ended) => {
                if let Ok(ended) = ended {
                    state = ended?.state;
                }
            }
            () = events::stop(&mut stopped) => {}
        }
    }
    let is_waited_for = wait.is_some() && (state.is_final() || state.is_parked());
    let body = if is_waited_for {
        view(&node, turn).await?
    } else {
        told(&accepted, state)
    };
    let status = if state.is_final() || is_waited_for {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let location = format!("/api/turns/{turn}");
    Ok((status, [(header::LOCATION, location)], Json(body)).into_response())
}

/// Accepts a turn. Where two equal requests come at once, the second asks again, and is told what the
/// first was told.
async fn accept(node: &Node, request: TurnRequest) -> Result<TurnAccepted, Problem> {
    let accepted = node.start_turn(request.clone()).await?;
    if accepted.seq > Seq(0) {
        return Ok(accepted);
    }
    Ok(node.start_turn(request).await?)
}

fn told(accepted: &TurnAccepted, state: TurnState) -> Value {
    let mut body = json!({
        "session": accepted.session,
        "turn": accepted.turn,
        "state": state,
        "seq": accepted.seq,
        "queued": accepted.is_queued,
    });
    if let Some(into) = &accepted.steered_into {
        body["steered_into"] = json!(into);
    }
    body
}

/// A turn with its session, and its answer as text.
async fn view(node: &Node, turn: &TurnId) -> Result<Value, Problem> {
    let (session, view) = node.turn(turn).await?;
    let text = messages::text(node, &view).await?;
    let mut body = json!(view);
    body["session"] = json!(session);
    body["text"] = json!(text);
    Ok(body)
}

fn read(
    mut fields: Fields,
    session: &SessionId,
    key: Option<String>,
) -> Result<TurnRequest, Problem> {
    let agent = fields.require_string("agent")?;
    let agent = AgentName::new(agent).map_err(|error| Problem::invalid(error.to_string()))?;
    let on_busy = match fields.take_string("on_busy")? {
        None => OnBusy::default(),
        Some(word) => on_busy(&word)?,
    };
    let options = match fields.take("options") {
        None => Value::Null,
        Some(options @ Value::Object(_)) => options,
        Some(other) => return Err(wrong("options", "an object", &other)),
    };
    Ok(TurnRequest {
        session: session.clone(),
        agent: Some(agent),
        input: fields.require_string("input")?,
        turn: fields.take_string("turn_id")?,
        scope: fields.take_string("scope_id")?,
        idempotency_key: key,
        on_busy,
        options,
    })
}

fn on_busy(word: &str) -> Result<OnBusy, Problem> {
    let known = ON_BUSY.iter().find(|(known, _)| *known == word);
    let refuse = || {
        let names = ON_BUSY.iter().map(|(name, _)| *name);
        let list: Vec<&str> = names.clone().collect();
        Problem::invalid(format!("`on_busy` must be one of {}", list.join(", "))).near(word, names)
    };
    known.map(|&(_, on_busy)| on_busy).ok_or_else(refuse)
}

/// One turn, wherever it is.
pub(super) async fn show(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let turn: TurnId = call.id("turn")?;
    Ok(Json(view(&call.node, &turn).await?).into_response())
}

/// Asks a turn to end.
pub(super) async fn cancel(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let session: SessionId = call.id("session")?;
    let mut fields = body::object(call.request).await?.known(&["turn"])?;
    let turn = fields
        .take_string("turn")?
        .map(|text| id::<TurnId>(&text))
        .transpose()?;
    call.node.cancel(&session, turn.clone()).await?;
    let body = json!({ "session": session, "turn": turn });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// Decides a turn again from its journal.
pub(super) async fn replay(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let turn: TurnId = call.id("turn")?;
    body::object(call.request).await?.known(&[])?;
    Ok(Json(call.node.replay(&turn).await?).into_response())
}
