//! A stream to a caller: the provider's own bytes where the dialects are one, or what its events say.
//!
//! While nothing comes, comments keep the connection alive. A failure ends the stream as the dialect tells
//! failures, never as an end in good order.

use super::cache::Keeper;
use super::refusal::Refusal;
use crate::{Flow, FlowError};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use mainstay_inference::{BoxFuture, Piece, StreamEncoder};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// After so long without a piece a comment is sent.
const SILENCE: Duration = Duration::from_secs(15);

type Read = (Box<Flow>, Result<Option<Piece>, FlowError>);

enum State {
    Idle(Box<Flow>),
    Reading(BoxFuture<'static, Read>),
    Over,
}

/// The body of a streamed answer.
pub(super) struct FlowBody {
    state: State,
    encoder: Box<dyn StreamEncoder>,
    /// Whether the provider's bytes are handed on as they are.
    is_raw: bool,
    silence: Pin<Box<Sleep>>,
    model: String,
    request_id: String,
    keeper: Option<Keeper>,
}

impl FlowBody {
    pub(super) fn new(
        flow: Flow,
        encoder: Box<dyn StreamEncoder>,
        is_raw: bool,
        model: String,
        request_id: String,
    ) -> Self {
        Self {
            state: State::Idle(Box::new(flow)),
            encoder,
            is_raw,
            silence: Box::pin(tokio::time::sleep(SILENCE)),
            model,
            request_id,
            keeper: None,
        }
    }

    /// Lets the answer be kept.
    pub(super) fn kept_by(self, keeper: Option<Keeper>) -> Self {
        Self { keeper, ..self }
    }

    /// What a piece says to the caller.
    fn say(&mut self, piece: Piece) -> Bytes {
        let bytes = match self.is_raw {
            true => piece.raw,
            false => {
                let mut out = Vec::new();
                for event in &piece.events {
                    self.encoder.encode(event, &mut out);
                }
                Bytes::from(out)
            }
        };
        if let Some(keeper) = &mut self.keeper {
            keeper.add(&piece.events, &bytes);
        }
        bytes
    }

    fn fail(&mut self, error: &FlowError) -> Bytes {
        let refusal = Refusal::of_flow(error, &self.model);
        let mut out = Vec::new();
        self.encoder
            .fail(&refusal.failure(&self.request_id), &mut out);
        Bytes::from(out)
    }
}

impl Body for FlowBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = self.get_mut();
        loop {
            let mut reading = match std::mem::replace(&mut body.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Idle(mut flow) => Box::pin(async move {
                    let read = flow.next().await;
                    (flow, read)
                }),
                State::Reading(reading) => reading,
            };
            let (flow, read) = match reading.as_mut().poll(context) {
                Poll::Ready(done) => done,
                Poll::Pending => {
                    body.state = State::Reading(reading);
                    if body.silence.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    body.silence.as_mut().reset(Instant::now() + SILENCE);
                    let comment = Bytes::from_static(b": keepalive\n\n");
                    return Poll::Ready(Some(Ok(Frame::data(comment))));
                }
            };
            body.silence.as_mut().reset(Instant::now() + SILENCE);
            let bytes = match read {
                Err(error) => body.fail(&error),
                Ok(None) => {
                    if let Some(keeper) = body.keeper.take() {
                        keeper.finish();
                    }
                    return Poll::Ready(None);
                }
                Ok(Some(piece)) => {
                    body.state = State::Idle(flow);
                    body.say(piece)
                }
            };
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
