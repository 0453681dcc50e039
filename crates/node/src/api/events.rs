//! The event tape of a session: what is stored as a list, or all that comes as a stream.

use super::call::{Answer, Call};
use super::problem::Problem;
use super::sse;
use crate::Node;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use mainstay_contract::{Coded, Event, Seq, SessionId};
use mainstay_sessions::StoreError;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;

/// How often a silent stream shows that it lives.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(15);

/// The events of a session after a place.
pub(super) async fn events(call: Call) -> Answer {
    let call = call.known_query(&["after", "limit", "until"])?;
    let session: SessionId = call.id("session")?;
    let after = Seq(call.place()?);
    let limit: Option<usize> = call.query("limit", "a positive number")?;
    let until: Option<String> = call.query("until", "`idle`")?;
    if until.as_deref().is_some_and(|until| until != "idle") {
        return Err(Problem::invalid("`until` must be `idle`"));
    }
    let last = call.node.session(&session).await?.last_seq;
    if after > last {
        let (after, last) = (after.0, last.0);
        let message =
            format!("there is nothing after {after}: the tape of {session} ends at {last}");
        return Err(Problem::invalid(message).hint("begin with an earlier sequence, or with 0"));
    }
    let is_stream = call.accepts(sse::MEDIA_TYPE);
    let events = call.node.events(&session, after).await?.boxed();
    if is_stream {
        let stopped = call.stopped;
        let idle = until.map(|_| Idle {
            node: call.node,
            session,
            last,
        });
        let feed = Feed {
            events,
            idle,
            cursor: after,
            state: State::New,
            stopped,
        };
        let headers = [
            (header::CONTENT_TYPE, sse::MEDIA_TYPE),
            (header::CACHE_CONTROL, "no-store"),
        ];
        return Ok((headers, Body::from_stream(unfold(feed, Feed::next))).into_response());
    }
    let stored = usize::try_from(last.0 - after.0).unwrap_or(usize::MAX);
    let list = List {
        events,
        left: stored.min(limit.unwrap_or(usize::MAX)),
        is_new: true,
        is_over: false,
    };
    let headers = [(header::CONTENT_TYPE, "application/json")];
    Ok((headers, Body::from_stream(unfold(list, List::next))).into_response())
}

type Events = BoxStream<'static, Result<Event, StoreError>>;

/// Stored events as a JSON list that is never held whole.
struct List {
    events: Events,
    left: usize,
    is_new: bool,
    is_over: bool,
}

impl List {
    /// The next piece of text. A store that fails half-way breaks the answer off, so that nobody takes
    /// a part for the whole.
    async fn next(mut self) -> Option<(Result<Bytes, StoreError>, Self)> {
        if self.is_over {
            return None;
        }
        let start = if self.is_new { "[" } else { "," };
        let event = loop {
            if self.left == 0 {
                self.is_over = true;
                let end = if self.is_new { "[]" } else { "]" };
                return Some((Ok(Bytes::from_static(end.as_bytes())), self));
            }
            match self.events.next().await {
                Some(Ok(event)) if event.seq == Seq(0) => {}
                Some(Ok(event)) => break event,
                Some(Err(error)) => {
                    self.is_over = true;
                    return Some((Err(error), self));
                }
                None => self.left = 0,
            }
        };
        self.left -= 1;
        self.is_new = false;
        let text = serde_json::to_string(&event).unwrap_or_default();
        Some((Ok(format!("{start}{text}").into()), self))
    }
}

/// Knows when a session has nothing to do.
struct Idle {
    node: Node,
    session: SessionId,
    /// The end of the tape when last looked at.
    last: Seq,
}

impl Idle {
    /// Whether nothing more will come after this place without somebody's doing.
    async fn is_at(&mut self, cursor: Seq, kind: Option<&str>) -> bool {
        let may_end = kind.is_none_or(|kind| kind.starts_with("turn_") || kind == "tool_in_doubt");
        if cursor < self.last || !may_end {
            return false;
        }
        // A session that was removed meanwhile has nothing to do either.
        let Ok(view) = self.node.session(&self.session).await else {
            return true;
        };
        self.last = view.last_seq;
        let is_at_rest =
            |state: mainstay_sessions::TurnState| state.is_final() || state.is_parked();
        cursor >= view.last_seq && view.turns.iter().all(|turn| is_at_rest(turn.state))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Over,
}

/// A stream of server-sent events.
struct Feed {
    events: Events,
    idle: Option<Idle>,
    cursor: Seq,
    state: State,
    stopped: watch::Receiver<bool>,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let frame = match self.state {
            State::Over => return None,
            State::New => {
                self.state = State::Open;
                match self.is_idle(None).await {
                    true => self.end("the session is idle"),
                    false => Bytes::from_static(sse::OPENING.as_bytes()),
                }
            }
            State::Open => self.wait().await,
        };
        Some((Ok(frame), self))
    }

    async fn wait(&mut self) -> Bytes {
        let event = tokio::select! {
            biased;
            () = stop(&mut self.stopped) => return self.end("the node is stopping"),
            event = self.events.next() => event,
            () = tokio::time::sleep(KEEPALIVE) => return sse::comment("still here"),
        };
        match event {
            None => self.end("the node is stopping"),
            Some(Ok(event)) => {
                self.cursor = self.cursor.max(event.seq);
                let mut frame = sse::frame(&event);
                if event.seq > Seq(0) && self.is_idle(Some(&event.kind)).await {
                    let end = self.end("the session is idle");
                    frame = [frame, end].concat().into();
                }
                frame
            }
            Some(Err(error)) => {
                let code = error.code();
                tracing::error!(%error, "a stream of events ends early");
                self.end(&format!("the store failed: {code}"))
            }
        }
    }

    async fn is_idle(&mut self, kind: Option<&str>) -> bool {
        match &mut self.idle {
            Some(idle) => idle.is_at(self.cursor, kind).await,
            None => false,
        }
    }

    fn end(&mut self, why: &str) -> Bytes {
        self.state = State::Over;
        sse::comment(why)
    }
}

/// Ends when the listener stops; never where there is no listener.
pub(super) async fn stop(stopped: &mut watch::Receiver<bool>) {
    if stopped.wait_for(|is_stopped| *is_stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}
