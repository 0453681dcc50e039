//! One remote and its state: every call has a deadline, and the first failure switches it off.

use super::channel::{Channel, open};
use super::{RemoteError, RemoteOptions};
use http::uri::PathAndQuery;
use prost::Message;
use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) options: RemoteOptions,
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
    is_off: AtomicBool,
    first_failure: Mutex<Option<RemoteError>>,
    handle: Handle,
    /// Present until it is dropped.
    runtime: Option<Runtime>,
}

/// When a call must have ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Link {
    pub(super) fn new(options: RemoteOptions) -> Result<Self, RemoteError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("remote-cache")
            .enable_all()
            .build()
            .map_err(|error| RemoteError::SetUp(Arc::new(error)))?;
        Ok(Self {
            channel: open(&options, options.origin()?)?,
            authorization: options.authorization()?,
            is_off: AtomicBool::new(false),
            first_failure: Mutex::new(None),
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            options,
        })
    }

    pub(super) fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Acquire)
    }

    pub(super) fn take_failure(&self) -> Option<RemoteError> {
        let first = self.first_failure.lock();
        first.unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn check_on(&self) -> Result<(), RemoteError> {
        match self.is_off() {
            true => Err(RemoteError::Off),
            false => Ok(()),
        }
    }

    /// A deadline for a call that moves so many bytes.
    pub(super) fn deadline(&self, bytes: u64) -> Deadline {
        let after = self.options.call + Duration::from_secs(bytes >> 20);
        Deadline {
            at: Instant::now() + after,
            after,
        }
    }

    /// Calls a method with one message each way.
    pub(super) fn unary<I, O>(&self, method: &'static str, message: I) -> Result<O, RemoteError>
    where
        I: Message + Default + 'static,
        O: Message + Default + 'static,
    {
        self.try_unary(method, message)?
            .map_err(|status| self.judge(&status))
    }

    /// The same, where the caller knows what to make of some failures.
    pub(super) fn try_unary<I, O>(
        &self,
        method: &'static str,
        message: I,
    ) -> Result<Result<O, Status>, RemoteError>
    where
        I: Message + Default + 'static,
        O: Message + Default + 'static,
    {
        self.check_on()?;
        let deadline = self.deadline(message.encoded_len() as u64);
        let mut channel = self.channel();
        let request = self.request(message);
        let path = PathAndQuery::from_static(method);
        let answer = channel.unary(request, path, ProstCodec::<I, O>::default());
        let answer = self.wait(deadline, answer)?;
        Ok(answer.map(tonic::Response::into_inner))
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(value) = &self.authorization {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        request
    }

    /// Waits for a step of a call: no longer than the whole call may take, and no longer than one answer
    /// may take.
    pub(super) fn wait<T>(
        &self,
        deadline: Deadline,
        step: impl Future<Output = T>,
    ) -> Result<T, RemoteError> {
        let at = deadline.at.min(Instant::now() + self.options.call);
        let done = self
            .handle
            .block_on(async { tokio::time::timeout_at(at, step).await });
        done.map_err(|_| {
            self.fail(RemoteError::TimedOut {
                url: self.options.url.clone(),
                after: deadline.after.min(self.options.call),
            })
        })
    }

    pub(super) fn spawn<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.handle.spawn(call)
    }

    /// What a failed call means: a refusal of this one request, or the end of the whole remote.
    pub(super) fn judge(&self, status: &Status) -> RemoteError {
        let code = format!("{:?}", status.code());
        let message = status.message().to_owned();
        match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange => RemoteError::Rejected { code, message },
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated => {
                let url = self.options.url.clone();
                self.fail(match status.source() {
                    Some(_) => RemoteError::Unreachable {
                        url,
                        source: Arc::new(status.clone()),
                    },
                    None => RemoteError::Unusable { url, code, message },
                })
            }
        }
    }

    /// Switches the remote off for good.
    pub(super) fn fail(&self, error: RemoteError) -> RemoteError {
        if !self.is_off.swap(true, Ordering::AcqRel) {
            let mut first = self
                .first_failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *first = Some(error.clone());
        }
        error
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Calls that still run were given up; nobody waits for them.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
