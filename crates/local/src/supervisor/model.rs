//! The handle of a model that runs on this machine.

use super::config::{LocalConfig, ModelCard, Status, Unready};
use super::run::{self, Call, Job, Reply};
use crate::error::LocalError;
use crate::protocol::{self, RequestId};
use crate::request::{Embeddings, GenerateRequest, LocalEvent};
use futures_util::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot, watch};

/// A model that runs on this machine. Clones speak to the same one; when the last is dropped, it is shut down.
#[derive(Debug, Clone)]
pub struct LocalModel {
    calls: mpsc::UnboundedSender<Call>,
    status: watch::Receiver<Status>,
    next: Arc<AtomicU64>,
}

impl LocalModel {
    /// Starts a supervisor and its first worker, and returns at once; requests wait until the model is loaded.
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn start(config: LocalConfig) -> Self {
        let (calls, called) = mpsc::unbounded_channel();
        let (told, status) = watch::channel(run::first_status());
        tokio::spawn(run::run(config, called, told));
        Self {
            calls,
            status,
            next: Arc::default(),
        }
    }

    /// Continues a conversation. Dropping the stream cancels the work.
    ///
    /// # Errors
    /// [`LocalError::BadRequest`] where a value lies outside its range. Everything else arrives as the
    /// stream's last item.
    pub fn generate(&self, request: GenerateRequest) -> Result<Generation, LocalError> {
        request.check()?;
        let job = Job::Generate(Box::new(request));
        Ok(Generation(self.submit(job)))
    }

    /// Says what texts mean. Dropping the future cancels the work.
    ///
    /// # Errors
    /// Where the model cannot do it.
    pub async fn embed(&self, inputs: Vec<String>) -> Result<Embeddings, LocalError> {
        let mut request = self.submit(Job::Embed(Arc::new(inputs)));
        match std::future::poll_fn(|context| request.poll(context)).await {
            Some(Reply::Embedded(embeddings)) => Ok(embeddings),
            Some(Reply::Failed(error)) => Err(error),
            Some(Reply::Event(_)) => Err(LocalError::internal("texts were continued")),
            None => Err(LocalError::ShuttingDown),
        }
    }

    /// How the model is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Every change of how the model is doing.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until the model takes requests.
    ///
    /// # Errors
    /// Where it will not by itself soon: it is in quarantine, or shut down.
    pub async fn ready(&self) -> Result<ModelCard, Unready> {
        let mut status = self.status.clone();
        loop {
            let readiness = status.borrow_and_update().readiness.clone();
            match readiness {
                Err(Unready::Starting | Unready::Restarting { .. }) => {}
                settled => return settled,
            }
            if status.changed().await.is_err() {
                return Err(Unready::Stopped);
            }
        }
    }

    /// Ends the quarantine.
    pub fn reset(&self) {
        let _gone = self.calls.send(Call::Reset);
    }

    /// Lets requests end, then ends the worker. Nothing of it is left when this returns.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.calls.send(Call::Shutdown(done)).is_ok() {
            let _gone = ended.await;
        }
    }

    fn submit(&self, job: Job) -> Request {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let (replies, replied) = mpsc::unbounded_channel();
        let calls = self.calls.clone();
        match fits(id, &job) {
            // Where nobody hears, the channel of replies ends, and that is told.
            Ok(()) => drop(calls.send(Call::Submit(id, job, replies))),
            Err(error) => drop(replies.send(Reply::Failed(error))),
        }
        Request {
            id,
            calls,
            replied,
            is_ended: false,
        }
    }
}

/// Checks that the worker can be told of a job at all.
fn fits(id: RequestId, job: &Job) -> Result<(), LocalError> {
    let (field, measured) = match job {
        Job::Generate(request) => ("messages", protocol::line(&(id, request))),
        Job::Embed(inputs) => ("input", protocol::line(&(id, inputs.as_slice()))),
    };
    let room = 1024;
    match measured {
        Ok(line) if line.len() + room <= protocol::LINE_BYTES_MAX => Ok(()),
        Ok(_) => Err(LocalError::bad_request(field, protocol::LineError::TooLong)),
        Err(error) => Err(LocalError::bad_request(field, error)),
    }
}

/// A request on its way; dropped before its end, it is cancelled.
#[derive(Debug)]
struct Request {
    id: RequestId,
    calls: mpsc::UnboundedSender<Call>,
    replied: mpsc::UnboundedReceiver<Reply>,
    is_ended: bool,
}

impl Request {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Reply>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let reply = match self.replied.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(reply) => reply,
        };
        self.is_ended = !matches!(reply, Some(Reply::Event(LocalEvent::Text(_))));
        Poll::Ready(Some(
            reply.unwrap_or(Reply::Failed(LocalError::ShuttingDown)),
        ))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.is_ended {
            let _gone = self.calls.send(Call::Cancel(self.id));
        }
    }
}

/// The answer to a conversation, as it arrives. It ends after [`LocalEvent::Finished`] or an error.
#[derive(Debug)]
pub struct Generation(Request);

impl Generation {
    /// The next part; none after the last.
    pub async fn next(&mut self) -> Option<Result<LocalEvent, LocalError>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<LocalEvent, LocalError>>> {
        self.0.poll(context).map(|reply| {
            reply.map(|reply| match reply {
                Reply::Event(event) => Ok(event),
                Reply::Failed(error) => Err(error),
                Reply::Embedded(_) => Err(LocalError::internal("a conversation was embedded")),
            })
        })
    }
}

impl Stream for Generation {
    type Item = Result<LocalEvent, LocalError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(context)
    }
}
