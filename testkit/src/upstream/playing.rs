//! A body that is sent in steps: bytes, pauses, silence, and the connection closed in between.

use http_body::{Body, Frame};
use hyper::body::Bytes;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

#[derive(Debug)]
pub(super) enum Step {
    Send(Bytes),
    Wait(Duration),
    /// Nothing more, and no end.
    Silence,
    /// The connection closes.
    Close,
}

/// The connection is to be closed.
#[derive(Debug)]
pub(super) struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

/// What is still to be sent; `kept` is dropped when nobody wants any more of it.
pub(super) struct Playing<T> {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
    kept: T,
}

impl<T> Playing<T> {
    pub(super) fn new(steps: Vec<Step>, kept: T) -> Self {
        Self {
            steps: steps.into(),
            pause: None,
            kept,
        }
    }
}

/// Told that the last byte was handed over.
pub(super) trait Ended {
    fn ended(&mut self);
}

impl<T: Ended + Unpin> Body for Playing<T> {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = &mut this.pause {
                std::task::ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            let step = this.steps.pop_front();
            // A body of known length is not asked for more than that.
            if this.steps.is_empty() && !matches!(step, Some(Step::Silence)) {
                this.kept.ended();
            }
            match step {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Wait(time)) => this.pause = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Close) => return Poll::Ready(Some(Err(Closed))),
                Some(Step::Silence) => {
                    this.steps.push_front(Step::Silence);
                    // Nobody wakes it again: only the other side's leaving ends it.
                    return Poll::Pending;
                }
            }
        }
    }
}
