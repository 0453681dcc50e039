//! The events of a run of tasks: what is kept as a list, or all that comes as a stream.

use super::call::{Answer, Call};
use super::events::{self, KEEPALIVE};
use super::problem::Problem;
use super::sse;
use crate::tasks::{Page, Run, TaskEvent};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

/// How many events are sent in one piece.
const PAGE: usize = 16;

/// The events of a run after a place.
pub(super) async fn events(call: Call) -> Answer {
    let call = call.known_query(&["after"])?;
    let run = call.node.task_run(call.text("run"))?;
    let after = call.place()?;
    let last = run.last_seq();
    if after > last {
        let message = format!("there is nothing after {after}: the events end at {last}");
        return Err(Problem::invalid(message).hint("begin with an earlier sequence, or with 0"));
    }
    if !call.accepts(sse::MEDIA_TYPE) {
        let Page { dropped, events } = run.page(after, usize::MAX).0;
        let dropped = dropped.map(|(from, to)| numbered(to, gap(from, to)));
        let all = dropped.into_iter().chain(events.iter().map(listed));
        return Ok(Json(all.collect::<Vec<_>>()).into_response());
    }
    let feed = Feed {
        run,
        cursor: after,
        state: State::New,
        stopped: call.stopped,
    };
    let headers = [
        (header::CONTENT_TYPE, sse::MEDIA_TYPE),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(unfold(feed, Feed::next))).into_response())
}

/// What stands in the place of events that are gone.
fn gap(from: u64, to: u64) -> Value {
    json!({ "event": "dropped", "from": from, "to": to })
}

fn listed(event: &TaskEvent) -> Value {
    numbered(
        event.seq,
        serde_json::from_slice(&event.data).unwrap_or_default(),
    )
}

/// In a list, an event says its place itself.
fn numbered(seq: u64, mut event: Value) -> Value {
    event["seq"] = json!(seq);
    event
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Over,
}

/// A stream of server-sent events, which ends with the run.
struct Feed {
    run: Arc<Run>,
    cursor: u64,
    state: State,
    stopped: watch::Receiver<bool>,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let frames = match self.state {
            State::Over => return None,
            State::New => {
                self.state = State::Open;
                Bytes::from_static(sse::OPENING.as_bytes())
            }
            State::Open => self.wait().await,
        };
        Some((Ok(frames), self))
    }

    async fn wait(&mut self) -> Bytes {
        tokio::select! {
            biased;
            // A node that stops has ended its runs, and whoever follows one hears how.
            () = self.run.news(self.cursor) => {}
            () = events::stop(&mut self.stopped) => return self.end("the node is stopping"),
            () = tokio::time::sleep(KEEPALIVE) => return sse::comment("still here"),
        }
        let (Page { dropped, events }, has_more) = self.run.page(self.cursor, PAGE);
        let mut frames = Vec::new();
        if let Some((from, to)) = dropped {
            self.cursor = to;
            let gap = gap(from, to).to_string();
            frames.extend(sse::frame_of(Some(to), b"dropped", gap.as_bytes()));
        }
        for TaskEvent { seq, kind, data } in &events {
            self.cursor = *seq;
            frames.extend(sse::frame_of(Some(*seq), kind, data));
        }
        if events.is_empty() && !has_more {
            return self.end("the run is over");
        }
        frames.into()
    }

    fn end(&mut self, why: &str) -> Bytes {
        self.state = State::Over;
        sse::comment(why)
    }
}
