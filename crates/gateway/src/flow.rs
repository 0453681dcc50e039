//! One request on its way: makes the calls that the gate asks for, and hands on the one answer.

use crate::deadline::{self, Deadline};
use crate::gateway::Gateway;
use crate::mail::{Directive, Receiver};
use crate::meter::Meter;
use crate::trace::{FlowTrace, Question};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use mainstay_contract::{Timestamp, Usd};
use mainstay_inference::{
    Answer, Answering, Ask, Assembly, AssemblyError, AttemptId, BoxFuture, Ending, Event,
    FailureClass, FinishReason, FlightId, GateError, InferenceError, Input, Origin, Outcome, Piece,
    Provider, ProviderCall, Success, Tokens,
};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

/// How a flow fails.
pub type FlowError = Box<GateError>;

/// Who answers, as far as it is known when the answer begins.
#[derive(Debug, Clone)]
pub struct Start {
    /// The deployment.
    pub deployment: Arc<str>,
    /// How many calls were made for it so far.
    pub attempts: u32,
    /// What the caller should know: budgets that are used up, fields that the provider has none of.
    pub warnings: Vec<String>,
}

/// A request on its way. Dropping it is leaving: the provider's call ends, and what came is paid for.
pub struct Flow {
    gateway: Gateway,
    id: FlightId,
    mail: Receiver,
    call: ProviderCall,
    input_tokens: u64,
    began: Instant,
    /// When the caller gives up.
    deadline: Option<Deadline>,
    /// Whether another model answers where this one's filter does not let it.
    answers_filter: bool,
    opening: FuturesUnordered<BoxFuture<'static, (AttemptId, Arc<str>, Opened)>>,
    cancelled: Vec<AttemptId>,
    current: Option<Current>,
    pieces: VecDeque<Piece>,
    ending: Option<Ending>,
    warnings: Vec<String>,
    /// By which the log tells of it; empty where it has none.
    request_id: String,
    /// Absent where nobody wants to be told.
    trace: Option<Box<FlowTrace>>,
}

struct Current {
    attempt: AttemptId,
    deployment: Arc<str>,
    /// Absent once it is complete.
    answering: Option<Box<dyn Answering>>,
    meter: Meter,
}

/// How a call began: with its first content, with a whole answer, or not.
enum Opened {
    Begun {
        answering: Option<Box<dyn Answering>>,
        pieces: Vec<Piece>,
        meter: Meter,
        /// What the provider was not told.
        left_out: Option<String>,
    },
    Failed {
        error: InferenceError,
        tokens: Tokens,
    },
}

/// How many fields a warning names.
const NAMES_MAX: usize = 20;

impl Flow {
    /// Lets a request begin.
    #[must_use]
    pub fn new(gateway: &Gateway, ask: Ask, call: ProviderCall) -> Self {
        let input_tokens = ask.input_tokens;
        let deadline = Deadline::of(gateway, &ask);
        let settings = gateway.settings();
        let fallback = settings.gate.models.get(&ask.model);
        let mut fallback = fallback.iter().flat_map(|model| &model.fallback);
        let answers_filter =
            fallback.any(|fallback| fallback.on.contains(&FailureClass::ContentFiltered));
        let trace = gateway
            .telemetry()
            .map(|_| Box::new(FlowTrace::new(ask.spender.key.clone())));
        let (id, mail) = gateway.ask(ask);
        Self {
            gateway: gateway.clone(),
            id,
            mail,
            call,
            input_tokens,
            began: Instant::now(),
            deadline,
            answers_filter,
            opening: FuturesUnordered::new(),
            cancelled: Vec::new(),
            current: None,
            pieces: VecDeque::new(),
            ending: None,
            warnings: Vec::new(),
            request_id: String::new(),
            trace,
        }
    }

    /// Names the request, in the log and in its trace, and the caller's own span (`traceparent`).
    pub fn named(&mut self, request_id: &str, parent: Option<&str>) {
        request_id.clone_into(&mut self.request_id);
        if let Some(trace) = &mut self.trace {
            trace.named(request_id, parent);
        }
    }

    /// Ends when it is certain who answers: with the first content, or with a whole answer.
    ///
    /// # Errors
    /// How the request failed.
    pub async fn begin(&mut self) -> Result<Start, FlowError> {
        loop {
            let opened = tokio::select! {
                biased;
                directive = self.mail.recv() => {
                    if let Some(Err(error)) = self.follow(directive) {
                        return Err(error);
                    }
                    continue;
                }
                Some(opened) = self.opening.next(), if !self.opening.is_empty() => opened,
                deadline = deadline::over(self.deadline) => return Err(self.give_up(deadline).await),
            };
            let (attempt, deployment, opened) = opened;
            if self.cancelled.contains(&attempt) {
                continue;
            }
            match opened {
                Opened::Failed { error, tokens } => {
                    let log = self.gateway.log();
                    log.call(&self.request_id, &deployment, attempt.number, &error);
                    self.attempt_ended(attempt, Outcome::Failed { error, tokens });
                }
                Opened::Begun {
                    answering,
                    pieces,
                    meter,
                    left_out,
                } => {
                    self.warnings.extend(left_out);
                    self.gateway.tell(Input::Content { attempt });
                    self.opening.clear();
                    pieces.iter().for_each(|piece| self.watch(piece));
                    self.pieces = pieces.into();
                    let metrics = self.gateway.metrics();
                    metrics.first_content(&deployment, self.began.elapsed());
                    let start = Start {
                        deployment: Arc::clone(&deployment),
                        attempts: attempt.number + 1,
                        warnings: std::mem::take(&mut self.warnings),
                    };
                    self.current = Some(Current {
                        attempt,
                        deployment,
                        answering,
                        meter,
                    });
                    return Ok(start);
                }
            }
        }
    }

    /// The next piece of the answer; nothing after its end in good order.
    ///
    /// # Errors
    /// How the answer broke off.
    pub async fn next(&mut self) -> Result<Option<Piece>, FlowError> {
        if let Some(piece) = self.pieces.pop_front() {
            return Ok(Some(piece));
        }
        if self.ending.is_some() {
            return Ok(None);
        }
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        let read = match &mut current.answering {
            Some(answering) => tokio::select! {
                biased;
                read = AssertUnwindSafe(answering.next()).catch_unwind() => match read {
                    Ok(read) => read,
                    Err(_) => Err(panicked(&current.deployment)),
                },
                deadline = deadline::over(self.deadline) => return Err(self.give_up(deadline).await),
            },
            None => Ok(None),
        };
        let attempt = current.attempt;
        let outcome = match read {
            Ok(Some(piece)) => {
                current.meter.add(&piece);
                self.watch(&piece);
                return Ok(Some(piece));
            }
            Ok(None) => Outcome::Answered {
                tokens: Some(current.meter.tokens()),
            },
            Err(error) => Outcome::Failed {
                error,
                tokens: current.meter.tokens(),
            },
        };
        current.answering = None;
        self.attempt_ended(attempt, outcome);
        self.ended().await.map(|_| None)
    }

    /// Tells the gate and the trace how a call ended.
    fn attempt_ended(&mut self, attempt: AttemptId, outcome: Outcome) {
        if let Some(trace) = &mut self.trace {
            trace.attempt_ended(attempt.number, &outcome);
        }
        self.gateway.tell(Input::Ended { attempt, outcome });
    }

    /// How the gate says that the flight ended.
    async fn ended(&mut self) -> Ending {
        loop {
            let directive = self.mail.recv().await;
            if let Some(ending) = self.follow(directive) {
                return ending;
            }
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// How the request failed.
    pub async fn answer(&mut self) -> Result<(Answer, Success), FlowError> {
        self.begin().await?;
        let mut assembly = Assembly::default();
        while let Some(piece) = self.next().await? {
            for event in piece.events {
                assembly.add(event).map_err(|error| self.unusable(&error))?;
            }
        }
        let answer = assembly.finish().map_err(|error| self.unusable(&error))?;
        Ok((answer, self.success().unwrap_or_else(|| self.nothing())))
    }

    /// How it ended well; nothing while it goes on.
    #[must_use]
    pub fn success(&self) -> Option<Success> {
        self.ending
            .as_ref()
            .and_then(|ending| ending.as_ref().ok())
            .cloned()
    }

    fn nothing(&self) -> Success {
        Success {
            deployment: self
                .current
                .as_ref()
                .map_or_else(|| "".into(), |current| Arc::clone(&current.deployment)),
            attempts: 0,
            usd: Usd::ZERO,
            tokens: Tokens::default(),
            warnings: Vec::new(),
        }
    }

    /// An answer that broke its own rules; what it cost is known where it came to its end.
    fn unusable(&self, error: &AssemblyError) -> FlowError {
        let success = self.success();
        let deployment = self.current.as_ref();
        Box::new(GateError {
            deployment: deployment.map(|current| Arc::clone(&current.deployment)),
            attempts: success.as_ref().map_or(1, |success| success.attempts),
            usd: success.as_ref().map_or(Usd::ZERO, |success| success.usd),
            tokens: success.map_or_else(Tokens::default, |success| success.tokens),
            ..GateError::internal(&error.to_string(), self.began.elapsed())
        })
    }

    /// Remembers what a trace tells of an answer.
    fn watch(&mut self, piece: &Piece) {
        let Some(trace) = &mut self.trace else { return };
        for event in &piece.events {
            match event {
                Event::Started { id, model } => trace.response = Some((id.clone(), model.clone())),
                Event::Finished { reason, .. } => trace.reason = Some(*reason),
                _ => {}
            }
        }
    }

    /// Ends because the caller's time is over. What came is paid for; the provider is not to blame.
    async fn give_up(&mut self, deadline: Deadline) -> FlowError {
        let current = self.current.take();
        self.opening.clear();
        let came = current.as_ref().map(|current| current.meter.tokens());
        self.gateway.tell(Input::Expired {
            flight: self.id,
            came: came.unwrap_or_default(),
            error: deadline.passed(&self.call.request.model, current.is_some()),
        });
        match self.ended().await {
            Err(error) => error,
            // It was over just before.
            Ok(_) => self.gone(),
        }
    }

    /// Does what the gate asks for; says how the flight ended, once it has.
    fn follow(&mut self, directive: Option<Directive>) -> Option<Ending> {
        match directive {
            Some(Directive::Call {
                attempt,
                deployment,
                failures,
                warnings,
            }) => {
                self.warnings = warnings;
                let provider = self.gateway.provider(&deployment);
                let mut call = self.call.clone();
                call.attempt = call.attempt.saturating_add(failures);
                let meter = Meter::new(self.input_tokens);
                let answers_filter = self.answers_filter;
                let name = Arc::clone(&deployment);
                if let Some(trace) = &mut self.trace {
                    trace.attempt_began(attempt.number, &name, &self.gateway.settings());
                }
                self.opening.push(Box::pin(async move {
                    let opened = open(provider, &name, call, meter, answers_filter).await;
                    (attempt, name, opened)
                }));
                None
            }
            Some(Directive::Cancel(attempt)) => {
                self.cancelled.push(attempt);
                None
            }
            Some(Directive::Finish(ending)) => {
                self.note(&ending);
                self.ending = Some(ending.clone());
                Some(ending)
            }
            // The gateway has gone: nobody would tell us an end.
            None => {
                let ending: Ending = Err(self.gone());
                self.ending = Some(ending.clone());
                Some(ending)
            }
        }
    }

    /// Lets those who look on know how it ended.
    fn note(&self, ending: &Ending) {
        match ending {
            Ok(success) => {
                let elapsed = self.began.elapsed();
                self.gateway.metrics().took(&success.deployment, elapsed);
            }
            Err(error) => {
                let model = &self.call.request.model;
                self.gateway.log().request(&self.request_id, model, error);
            }
        }
    }

    fn gone(&self) -> FlowError {
        let elapsed = self.began.elapsed();
        Box::new(GateError::internal("the gateway ended", elapsed))
    }

    /// Whether the pieces have the provider's own bytes, in the form that was asked for.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.pieces.iter().any(|piece| !piece.raw.is_empty())
    }

    /// When it began, by the gateway's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.gateway.now()
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let question = Question::Chat(&self.call.request);
        let trace = self.trace.take();
        self.gateway
            .tell_trace(trace, self.ending.as_ref(), question);
        if self.ending.is_none() {
            let came = self.current.as_ref().map(|current| current.meter.tokens());
            self.gateway.tell(Input::Left {
                flight: self.id,
                came: came.unwrap_or_default(),
            });
        }
    }
}

/// Makes a call and reads up to its first content. A provider that panics has failed, and nothing else.
///
/// An answer of nothing but the news that it was filtered is a failure where the model says who answers then
/// (`answers_filter`); elsewhere it is what the caller is told.
async fn open(
    provider: Option<Arc<dyn Provider>>,
    deployment: &str,
    call: ProviderCall,
    mut meter: Meter,
    answers_filter: bool,
) -> Opened {
    let Some(provider) = provider else {
        let error = InferenceError::Internal {
            origin: Origin::default(),
            message: format!("{deployment} has no provider"),
        };
        return Opened::Failed {
            error,
            tokens: Tokens::default(),
        };
    };
    let reading = async {
        let mut answering = match provider.call(call).await {
            Ok(answering) => answering,
            Err(error) => {
                let tokens = Tokens::default();
                return Opened::Failed { error, tokens };
            }
        };
        let left_out = not_told(deployment, answering.left_out());
        let mut pieces = Vec::with_capacity(1);
        loop {
            match answering.next().await {
                Ok(Some(piece)) => {
                    let has_content = meter.add(&piece);
                    pieces.push(piece);
                    if has_content {
                        let answering = Some(answering);
                        return Opened::Begun {
                            answering,
                            pieces,
                            meter,
                            left_out,
                        };
                    }
                }
                Ok(None) if answers_filter && is_filtered(&pieces) => {
                    let tokens = meter.tokens();
                    let error = filtered(deployment);
                    return Opened::Failed { error, tokens };
                }
                Ok(None) => {
                    return Opened::Begun {
                        answering: None,
                        pieces,
                        meter,
                        left_out,
                    };
                }
                Err(error) => {
                    let tokens = meter.tokens();
                    return Opened::Failed { error, tokens };
                }
            }
        }
    };
    match AssertUnwindSafe(reading).catch_unwind().await {
        Ok(opened) => opened,
        Err(_) => Opened::Failed {
            error: panicked(deployment),
            tokens: Tokens::default(),
        },
    }
}

/// Which fields of the question a provider was not told, as a caller reads it in a header.
fn not_told(deployment: &str, fields: &[String]) -> Option<String> {
    let is_name =
        |field: &&String| field.len() <= 100 && field.chars().all(|c| c.is_ascii_graphic());
    let names: Vec<&str> = fields.iter().filter(is_name).map(String::as_str).collect();
    let (shown, rest) = names.split_at(names.len().min(NAMES_MAX));
    if shown.is_empty() {
        return None;
    }
    let more = if rest.is_empty() { "" } else { ", and more" };
    Some(format!(
        "{deployment} was not told: {}{more}",
        shown.join(", ")
    ))
}

fn is_filtered(pieces: &[Piece]) -> bool {
    let mut events = pieces.iter().flat_map(|piece| &piece.events);
    let is_filtered = |event: &Event| {
        let reason = FinishReason::ContentFilter;
        matches!(event, Event::Finished { reason: found, .. } if *found == reason)
    };
    !events.clone().any(Event::is_content) && events.any(is_filtered)
}

fn filtered(deployment: &str) -> InferenceError {
    InferenceError::ContentFiltered {
        origin: Origin {
            provider: deployment.to_owned(),
            ..Origin::default()
        },
        reason: "content_filter".to_owned(),
        message: "it said nothing but that its filter ended the answer".to_owned(),
    }
}

fn panicked(deployment: &str) -> InferenceError {
    tracing::error!(deployment, "a provider panicked");
    InferenceError::Internal {
        origin: Origin::default(),
        message: "the provider's adapter broke a promise".to_owned(),
    }
}
