//! Turns: started, watched, cancelled and replayed.

use super::events;
use super::body::{self, Fields, wrong};
use super::problem::Problem;
use super::router::{Answer, Call, id};
use crate::{Accepted, Node, TurnRequest};
use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::StreamExt;
use mainstay_contract::{AgentName, Code, SessionId, TurnId};
use mainstay_sessions::{OnBusy, TurnState};
use serde_json::{Value, json};
use std::time::Duration;

const FIELDS: &[&str] = &["agent", "input", "turn_id", "scope_id", "on_busy", "options"];
const ON_BUSY: &[(&str, OnBusy)] = &[
    ("reject", OnBusy::Reject),
    ("queue", OnBusy::Queue),
    ("interrupt", OnBusy::Interrupt),
    ("steer", OnBusy::Steer),
];
/// The longest that a caller can ask to wait.
const WAIT_MAX: Duration = Duration::from_secs(600);
const KEY_LENGTH_MAX: usize = 255;

/// Accepts a turn; durable before it is answered.
pub(super) async fn start(call: Call) -> Answer {
    let call = call.known_query(&["wait"])?;
    let session: SessionId = call.id("session")?;
    let wait = wait(&call)?;
    let key = idempotency_key(call.request.headers())?;
    let Call { node, request, mut stopped, .. } = call;
    let fields = body::object(request).await?.known(FIELDS)?;
    let request = read(fields, &session, key.as_deref())?;
    let accepted = node.start_turn(request).await?;
    let mut state = accepted.state;
    if let Some(wait) = wait
        && !state.is_final()
    {
        let ended = settle(&node, &accepted);
        tokio::select! {
            ended = tokio::time::timeout(wait, ended) => {
                if let Ok(ended) = ended { ended?; }
            }
            () = events::stop(&mut stopped) => {}
        }
        state = node.turn_state(&accepted.turn).await?;
    }
    let location = format!("/api/turns/{}", accepted.turn);
    let (status, body) = if wait.is_some() && state.is_final() {
        (StatusCode::OK, json!(node.turn(&accepted.turn).await?))
    } else if state.is_final() {
        (StatusCode::OK, told(&accepted, state))
    } else {
        (StatusCode::ACCEPTED, told(&accepted, state))
    };
    Ok((status, [(header::LOCATION, location)], Json(body)).into_response())
}

fn told(accepted: &Accepted, state: TurnState) -> Value {
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

/// Waits until a turn has ended or waits for an operator.
async fn settle(node: &Node, accepted: &Accepted) -> Result<(), Problem> {
    let mut events = node.events(&accepted.session, accepted.seq).await?.boxed();
    loop {
        let state = node.turn_state(&accepted.turn).await?;
        if state.is_final() || state.is_parked() {
            return Ok(());
        }
        match events.next().await {
            None => return Ok(()),
            Some(event) => event?,
        };
    }
}

fn wait(call: &Call) -> Result<Option<Duration>, Problem> {
    let longest = WAIT_MAX.as_secs();
    let wanted = format!("a number of seconds from 0 to {longest}");
    let Some(seconds) = call.query::<f64>("wait", &wanted)? else { return Ok(None) };
    let wait = Duration::try_from_secs_f64(seconds).ok().filter(|wait| *wait <= WAIT_MAX);
    wait.map(Some).ok_or_else(|| Problem::invalid(format!("`wait` must be {wanted}")))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() || text.len() > KEY_LENGTH_MAX {
        let rule = format!("Idempotency-Key must be 1 to {KEY_LENGTH_MAX} visible ASCII characters");
        return Err(Problem::invalid(rule));
    }
    Ok(Some(text.to_owned()))
}

fn read(mut fields: Fields, session: &SessionId, key: Option<&str>) -> Result<TurnRequest, Problem> {
    let turn = turn_id(&mut fields, session, key)?;
    let agent = fields.require_string("agent")?;
    let agent = AgentName::new(agent).map_err(|error| Problem::invalid(error.to_string()))?;
    let input = fields.require_string("input")?;
    let on_busy = match fields.take_string("on_busy")? {
        None => OnBusy::default(),
        Some(word) => on_busy(&word)?,
    };
    judge_options(fields.take("options"))?;
    Ok(TurnRequest { session: session.clone(), turn, agent, input, on_busy })
}

/// The turn's id: the one in the body, or one that follows from the key, or a fresh one.
fn turn_id(fields: &mut Fields, session: &SessionId, key: Option<&str>) -> Result<TurnId, Problem> {
    let turn = fields.take_string("turn_id")?.map(|text| id::<TurnId>(&text)).transpose()?;
    let scope = fields.take_string("scope_id")?.map(|text| id::<TurnId>(&text)).transpose()?;
    match (turn, scope, key) {
        (Some(turn), Some(scope), _) if turn != scope => Err(Problem::new(
            Code::ExecutionScopeTurnIdMismatch,
            format!("the turn id is {turn} and the scope id is {scope}"),
        )
        .hint("send one of them, or the same in both")
        .about("turn", turn.as_str())),
        (Some(turn), ..) | (None, Some(turn), _) => Ok(turn),
        (None, None, Some(key)) => Ok(turn_of_key(session, key)?),
        (None, None, None) => Ok(TurnId::generate()),
    }
}

/// Equal keys name equal turns, also after a restart: nothing needs to be remembered.
fn turn_of_key(session: &SessionId, key: &str) -> Result<TurnId, Problem> {
    let mut hasher = blake3::Hasher::new_derive_key("mainstay turn of an idempotency key");
    hasher.update(session.as_str().as_bytes()).update(&[0]).update(key.as_bytes());
    id(&format!("trn_{}", &hasher.finalize().to_hex()[..32]))
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

/// This version knows no options; one that would be ignored is refused.
fn judge_options(options: Option<Value>) -> Result<(), Problem> {
    let members = match options {
        None => return Ok(()),
        Some(Value::Object(members)) => members,
        Some(other) => return Err(wrong("options", "an object", &other)),
    };
    match members.keys().next() {
        None => Ok(()),
        Some(name) => {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
            let message = format!("this version knows no option `{shown}`");
            Err(Problem::new(Code::ProtocolTurnExtension, message).hint("leave it away"))
        }
    }
}

/// One turn, wherever it is.
pub(super) async fn show(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let turn: TurnId = call.id("turn")?;
    Ok(Json(call.node.turn(&turn).await?).into_response())
}

/// Asks a turn to end.
pub(super) async fn cancel(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let session: SessionId = call.id("session")?;
    let mut fields = body::object(call.request).await?.known(&["turn"])?;
    let turn = fields.take_string("turn")?.map(|text| id::<TurnId>(&text)).transpose()?;
    call.node.cancel(&session, turn.as_ref()).await?;
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
