//! Requests for vectors: the same gate, one call after the other.

use crate::deadline::{self, Deadline};
use crate::flow::FlowError;
use crate::gateway::Gateway;
use crate::mail::{Directive, Receiver};
use crate::trace::{FlowTrace, Question};
use futures_util::FutureExt;
use mainstay_inference::{
    Ask, AttemptId, EmbeddingRequest, Embeddings, Ending, FlightId, GateError, InferenceError,
    Input, Origin, Outcome, Success, Tokens,
};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

const BROKEN: &str = "the provider's adapter broke a promise";

/// How a request for vectors is called: its id, and the caller's own span (`traceparent`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) parent: Option<&'a str>,
}

/// A request on its way. Dropping it before its end is leaving.
struct Flight<'a> {
    gateway: &'a Gateway,
    id: FlightId,
    request: Arc<EmbeddingRequest>,
    request_id: &'a str,
    /// What it is likely to be, where the provider counts nothing.
    estimated: Tokens,
    made: Option<Embeddings>,
    ending: Option<Ending>,
    /// Absent where nobody wants to be told.
    trace: Option<Box<FlowTrace>>,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let question = Question::Embeddings(&self.request);
        let trace = self.trace.take();
        self.gateway
            .tell_trace(trace, self.ending.as_ref(), question);
        if self.ending.is_none() {
            let came = Tokens::default();
            let flight = self.id;
            self.gateway.tell(Input::Left { flight, came });
        }
    }
}

impl Gateway {
    /// Makes vectors.
    ///
    /// # Errors
    /// How the request failed.
    pub(crate) async fn embed(
        &self,
        ask: Ask,
        request: Arc<EmbeddingRequest>,
        named: Named<'_>,
    ) -> Result<(Embeddings, Success), FlowError> {
        let estimated = Tokens {
            input: ask.input_tokens,
            ..Tokens::default()
        };
        let began = Instant::now();
        let deadline = Deadline::of(self, &ask);
        let trace = self.telemetry().map(|_| {
            let mut trace = Box::new(FlowTrace::new(ask.spender.key.clone()));
            trace.named(named.request_id, named.parent);
            trace
        });
        let (id, mut mail) = self.ask(ask);
        let mut flight = Flight {
            gateway: self,
            id,
            request,
            request_id: named.request_id,
            estimated,
            made: None,
            ending: None,
            trace,
        };
        let ending = tokio::select! {
            biased;
            ending = flight.follow(&mut mail) => ending,
            deadline = deadline::over(deadline) => {
                flight.expire(deadline);
                flight.follow(&mut mail).await
            }
        };
        flight.ending.clone_from(&ending);
        match (ending, flight.made.take()) {
            (Some(Ok(success)), Some(embeddings)) => {
                self.metrics().took(&success.deployment, began.elapsed());
                Ok((embeddings, success))
            }
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(_)) | None, _) => Err(Box::new(GateError::internal(BROKEN, began.elapsed()))),
        }
    }
}

impl Flight<'_> {
    /// Does what the gate asks for until it says how the flight ended; nothing where the gate has gone.
    async fn follow(&mut self, mail: &mut Receiver) -> Option<Ending> {
        loop {
            match mail.recv().await? {
                Directive::Call {
                    attempt,
                    deployment,
                    ..
                } => self.call(attempt, &deployment).await,
                Directive::Cancel(_) => {}
                Directive::Finish(ending) => return Some(ending),
            }
        }
    }

    fn expire(&self, deadline: Deadline) {
        self.gateway.tell(Input::Expired {
            flight: self.id,
            came: Tokens::default(),
            error: deadline.passed(&self.request.model, false),
        });
    }

    async fn call(&mut self, attempt: AttemptId, deployment: &Arc<str>) {
        if let Some(trace) = &mut self.trace {
            trace.attempt_began(attempt.number, deployment, &self.gateway.settings());
        }
        let made = match self.gateway.provider(deployment) {
            Some(provider) => {
                let call = AssertUnwindSafe(provider.embed(Arc::clone(&self.request)));
                call.catch_unwind().await.unwrap_or_else(|_| Err(broken()))
            }
            None => Err(broken()),
        };
        let outcome = match made {
            Ok(embeddings) => {
                let tokens = embeddings.tokens.or(Some(self.estimated));
                if let Some(trace) = &mut self.trace {
                    trace.response = Some((String::new(), embeddings.model.clone()));
                }
                self.made = Some(embeddings);
                Outcome::Answered { tokens }
            }
            Err(error) => {
                let log = self.gateway.log();
                log.call(self.request_id, deployment, attempt.number, &error);
                let tokens = Tokens::default();
                Outcome::Failed { error, tokens }
            }
        };
        if let Some(trace) = &mut self.trace {
            trace.attempt_ended(attempt.number, &outcome);
        }
        self.gateway.tell(Input::Ended { attempt, outcome });
    }
}

fn broken() -> InferenceError {
    InferenceError::Internal {
        origin: Origin::default(),
        message: BROKEN.to_owned(),
    }
}
