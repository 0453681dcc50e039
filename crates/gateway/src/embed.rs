//! Requests for vectors: the same gate, one call after the other.

use crate::deadline::{self, Deadline};
use crate::flow::FlowError;
use crate::gateway::{Directive, Gateway};
use futures_util::FutureExt;
use mainstay_contract::Usd;
use mainstay_inference::{
    Ask, AttemptId, EmbeddingRequest, Embeddings, FlightId, GateError, InferenceError, Input,
    Origin, Outcome, Success, Tokens,
};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
        let mut over = pin!(deadline::over(deadline));
        let mut is_late = false;
        loop {
            let directive = tokio::select! {
                biased;
                directive = mail.recv() => directive,
                deadline = &mut over, if !is_late => {
                    is_late = true;
                    self.expire(flight, deadline, &request.model);
                    continue;
                }
            };
            match directive {
                Some(Directive::Call {
                    attempt,
                    deployment,
                    ..
                }) => {
                    tokio::select! {
                        biased;
                        new = self.vectors(attempt, &deployment, &request, estimated) => {
                            made = new.or(made);
                        }
                        deadline = &mut over, if !is_late => {
                            is_late = true;
                            self.expire(flight, deadline, &request.model);
                        }
                    }
                }
                Some(Directive::Cancel(_)) => {}
                Some(Directive::Finish(ending)) => {
                    leaving.is_over = true;
                    return match (ending, made) {
                        (Ok(success), Some(embeddings)) => Ok((embeddings, success)),
                        (Ok(_), None) => Err(lost(began.elapsed())),
                        (Err(error), _) => Err(error),
                    };
                }
                None => return Err(lost(began.elapsed())),
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
        message: "the provider's adapter broke a promise".to_owned(),
    }
}

fn lost(elapsed: Duration) -> FlowError {
    Box::new(GateError {
        error: broken(),
        earlier: Vec::new(),
        deployment: None,
        attempts: 0,
        usd: Usd::ZERO,
        tokens: Tokens::default(),
        elapsed,
    })
}
