//! Requests for vectors: the same gate, one call after the other.

use crate::deadline::{self, Deadline};
use crate::flow::FlowError;
use crate::gateway::Gateway;
use crate::mail::{Directive, Receiver};
use futures_util::FutureExt;
use mainstay_inference::{
    Ask, AttemptId, EmbeddingRequest, Embeddings, Ending, FlightId, GateError, InferenceError,
    Input, Origin, Outcome, Success, Tokens,
};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

const BROKEN: &str = "the provider's adapter broke a promise";

/// A flight that leaves when it is dropped before its end.
struct Leaving<'a> {
    gateway: &'a Gateway,
    flight: FlightId,
    is_over: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let came = Tokens::default();
            let flight = self.flight;
            self.gateway.tell(Input::Left { flight, came });
        }
    }
}

impl Gateway {
    /// Makes vectors.
    ///
    /// # Errors
    /// How the request failed.
    pub async fn embed(
        &self,
        ask: Ask,
        request: Arc<EmbeddingRequest>,
    ) -> Result<(Embeddings, Success), FlowError> {
        let estimated = Tokens {
            input: ask.input_tokens,
            ..Tokens::default()
        };
        let began = Instant::now();
        let deadline = Deadline::of(self, &ask);
        let (flight, mut mail) = self.ask(ask);
        let mut leaving = Leaving {
            gateway: self,
            flight,
            is_over: false,
        };
        let mut made = None;
        let ending = tokio::select! {
            biased;
            ending = self.follow(&mut mail, &request, estimated, &mut made) => ending,
            deadline = deadline::over(deadline) => {
                self.expire(flight, deadline, &request.model);
                self.follow(&mut mail, &request, estimated, &mut made).await
            }
        };
        leaving.is_over = ending.is_some();
        match (ending, made) {
            (Some(Ok(success)), Some(embeddings)) => {
                self.metrics().took(&success.deployment, began.elapsed());
                Ok((embeddings, success))
            }
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(_)) | None, _) => Err(Box::new(GateError::internal(BROKEN, began.elapsed()))),
        }
    }

    /// Does what the gate asks for until it says how the flight ended; nothing where the gate has gone.
    async fn follow(
        &self,
        mail: &mut Receiver,
        request: &Arc<EmbeddingRequest>,
        estimated: Tokens,
        made: &mut Option<Embeddings>,
    ) -> Option<Ending> {
        loop {
            match mail.recv().await? {
                Directive::Call {
                    attempt,
                    deployment,
                    ..
                } => {
                    let new = self.vectors(attempt, &deployment, request, estimated).await;
                    *made = new.or(made.take());
                }
                Directive::Cancel(_) => {}
                Directive::Finish(ending) => return Some(ending),
            }
        }
    }

    fn expire(&self, flight: FlightId, deadline: Deadline, model: &str) {
        self.tell(Input::Expired {
            flight,
            came: Tokens::default(),
            error: deadline.passed(model, false),
        });
    }

    async fn vectors(
        &self,
        attempt: AttemptId,
        deployment: &str,
        request: &Arc<EmbeddingRequest>,
        estimated: Tokens,
    ) -> Option<Embeddings> {
        let made = match self.provider(deployment) {
            Some(provider) => {
                let call = AssertUnwindSafe(provider.embed(Arc::clone(request)));
                call.catch_unwind().await.unwrap_or_else(|_| Err(broken()))
            }
            None => Err(broken()),
        };
        let (outcome, made) = match made {
            Ok(embeddings) => {
                let tokens = embeddings.tokens.or(Some(estimated));
                (Outcome::Answered { tokens }, Some(embeddings))
            }
            Err(error) => {
                let tokens = Tokens::default();
                (Outcome::Failed { error, tokens }, None)
            }
        };
        self.tell(Input::Ended { attempt, outcome });
        made
    }
}

fn broken() -> InferenceError {
    InferenceError::Internal {
        origin: Origin::default(),
        message: BROKEN.to_owned(),
    }
}
