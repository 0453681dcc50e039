//! Why a model call failed: the typed form that stands in a report's `data`.

mod report;

pub(crate) use report::OURS;

#[cfg(test)]
mod tests;

use mainstay_contract::Usd;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// Where a failure came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Origin {
    /// The provider.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// Whether the provider had begun to answer, so that tokens may have been billed.
    pub answering: bool,
}

/// What the connection was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkPhase {
    /// Looking up the host's name.
    Resolve,
    /// Connecting.
    Connect,
    /// Agreeing on encryption, certificates included.
    Tls,
    /// Sending: the provider cannot have the whole request.
    Send,
    /// Waiting for the first byte of the answer; perhaps still sending.
    Response,
    /// Receiving the answer.
    Stream,
}

/// Which limit ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutPhase {
    /// Connecting, encryption included.
    Connect,
    /// Until the first piece of the answer.
    FirstToken,
    /// Between two pieces.
    Idle,
    /// The whole call.
    Total,
    /// The caller's own.
    Caller,
}

/// In what way a response is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseProblem {
    /// The stream ended before it was complete.
    CutStream,
    /// It is not JSON of the agreed shape, or no UTF-8.
    Malformed,
    /// Success was announced, and an error of no known kind delivered.
    ErrorBody,
    /// Two tool calls share an id.
    DuplicateToolId,
    /// A tool call lacks a part.
    IncompleteToolCall,
    /// The model ended it without an answer, with a reason of the provider's: a call that it could not write, most often.
    BrokenOff,
    /// It is larger than accepted.
    TooLarge,
    /// It has another content type, or no content.
    NotAnAnswer,
}

/// In what way a failure speaks against a deployment. Each way is counted apart: a few failures mean more
/// than a few moments of overload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitClass {
    /// Not at all: the request or its limits are the cause.
    None,
    /// It does not work.
    Failure,
    /// It has too much to do.
    Overload,
    /// It does not let us in.
    Access,
}

/// How a model call failed. Messages hold no secret, no control character and at most 500 characters
/// of what the provider said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "`origin`, `message`, `status` and `retry_after` say the same in every variant"
)]
pub enum InferenceError {
    /// The provider limits the rate of requests.
    #[error("{} limits the rate of requests{}", .origin.provider, said(.message))]
    RateLimited {
        #[serde(flatten)]
        origin: Origin,
        #[serde(serialize_with = "milliseconds")]
        retry_after: Option<Duration>,
        message: String,
    },
    /// The provider is overloaded.
    #[error("{} is overloaded{}", .origin.provider, said(.message))]
    Backpressure {
        #[serde(flatten)]
        origin: Origin,
        #[serde(serialize_with = "milliseconds")]
        retry_after: Option<Duration>,
        message: String,
    },
    /// The deployment is not ready; the call was not made.
    #[error("{} is not ready{}", place(.asked, .deployment), said(.message))]
    NotReady {
        #[serde(flatten)]
        origin: Origin,
        /// The model that was asked for.
        asked: String,
        /// The deployment that was to answer.
        deployment: String,
        #[serde(serialize_with = "whole_milliseconds")]
        retry_after: Duration,
        /// Why, where it is known.
        message: String,
    },
    /// The quota or credit is used up; waiting does not help.
    #[error("the quota at {} is used up{}", .origin.provider, said(.message))]
    QuotaExhausted {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// The provider or its model refused the content.
    #[error("{} refused the content{}", .origin.provider, said(.message))]
    ContentFiltered {
        #[serde(flatten)]
        origin: Origin,
        /// The provider's name for the cause; empty where it has none.
        reason: String,
        message: String,
    },
    /// The conversation, or the answer to it, is longer than the model accepts.
    #[error("the conversation is longer than {} accepts{}", .origin.model, said(.message))]
    ContextLengthExceeded {
        #[serde(flatten)]
        origin: Origin,
        /// The tokens of the conversation, where the provider says so.
        tokens: Option<u64>,
        /// The tokens the model accepts, where the provider says so.
        max_tokens: Option<u64>,
        message: String,
    },
    /// The provider refused the request as malformed.
    #[error("{} {}{}", .origin.provider, told("refused the request", *.status), said(.message))]
    BadRequest {
        #[serde(flatten)]
        origin: Origin,
        /// 200 where the error came as an answer and named no status.
        status: u16,
        /// The field that it refused, in its own words, where it names one.
        #[serde(skip_serializing_if = "Option::is_none")]
        param: Option<String>,
        message: String,
    },
    /// Whoever answered is no such provider: the address leads elsewhere.
    #[error("the address of {} leads elsewhere (status {status}){}", .origin.provider, said(.message))]
    Misdirected {
        #[serde(flatten)]
        origin: Origin,
        status: u16,
        message: String,
    },
    /// The provider does not have the model: it does not know it, or what it takes to use it is not there.
    #[error("{} does not have the model {}{}", .origin.provider, .origin.model, said(.message))]
    ModelNotFound {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// The provider refused the key.
    #[error("{} refused the key{}", .origin.provider, said(.message))]
    Unauthorized {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// The provider does not allow the request to this key.
    #[error("{} does not allow the request{}", .origin.provider, said(.message))]
    Forbidden {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// The provider could not be reached, or the connection broke.
    #[error("the connection to {} failed{}", .origin.provider, said(.message))]
    NetworkError {
        #[serde(flatten)]
        origin: Origin,
        /// What the connection was doing.
        phase: NetworkPhase,
        message: String,
    },
    /// The provider failed.
    #[error("{} {}{}", .origin.provider, told("failed", *.status), said(.message))]
    ServerError {
        #[serde(flatten)]
        origin: Origin,
        /// 200 where the error came as an answer and named no status.
        status: u16,
        #[serde(serialize_with = "milliseconds")]
        retry_after: Option<Duration>,
        message: String,
    },
    /// The provider did not answer in time.
    #[error("{}", late(.origin, *.phase, *.after))]
    Timeout {
        #[serde(flatten)]
        origin: Origin,
        /// Which limit ran out.
        phase: TimeoutPhase,
        /// The limit.
        #[serde(serialize_with = "whole_milliseconds")]
        after: Duration,
        /// How long the call took in all.
        #[serde(rename = "elapsed_ms", serialize_with = "whole_milliseconds")]
        elapsed: Duration,
    },
    /// The provider answered with something that is no answer.
    #[error("{} {}{}", .origin.provider, no_answer(*.problem), said(.message))]
    BadResponse {
        #[serde(flatten)]
        origin: Origin,
        /// In what way.
        problem: ResponseProblem,
        message: String,
    },
    /// The provider failed too often; the call was not made.
    #[error("{} failed too often and is left alone for {} ms", .origin.provider, .retry_after.as_millis())]
    CircuitOpen {
        #[serde(flatten)]
        origin: Origin,
        /// When the circuit opened, in milliseconds since the Unix epoch.
        opened_at_unix_ms: u64,
        /// When a call is let through to try, likewise.
        retry_at_unix_ms: u64,
        #[serde(serialize_with = "whole_milliseconds")]
        retry_after: Duration,
    },
    /// A budget leaves too little for the call; it was not made.
    #[error(
        "the budget {budget} of {limit} USD has too little left for this call: {spent} spent, {reserved} reserved"
    )]
    BudgetExceeded {
        #[serde(flatten)]
        origin: Origin,
        /// The deployment that was to answer.
        deployment: String,
        /// The budget's name.
        budget: String,
        /// What it allows.
        limit: Usd,
        /// What is spent.
        spent: Usd,
        /// What calls under way may still cost.
        reserved: Usd,
        /// When it starts anew, in milliseconds since the Unix epoch, if it does.
        resets_at_unix_ms: Option<u64>,
    },
    /// The worker of a local model was lost, with its device's context or by itself; it is started anew.
    #[error("the worker on {device} was lost{}", said(.message))]
    CudaContextPoisoned {
        #[serde(flatten)]
        origin: Origin,
        /// The device.
        device: String,
        /// CUDA's number of the error, where it is known.
        code: Option<u32>,
        message: String,
    },
    /// The request asks for what the provider's wire cannot say.
    #[error("{} cannot do this: {param}{}", .origin.provider, said(.message))]
    Unsupported {
        #[serde(flatten)]
        origin: Origin,
        /// The field of the request.
        param: String,
        message: String,
    },
    /// The key for the provider cannot be read, or not be sent.
    #[error("the key of {} cannot be used{}", .origin.provider, said(.message))]
    KeyUnavailable {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// A budget counts the call, and nobody knows what it costs.
    #[error("the price of {} is not known, and the budget {budget} counts it", .origin.model)]
    PriceUnknown {
        #[serde(flatten)]
        origin: Origin,
        /// The budget's name.
        budget: String,
    },
    /// The scripted model has no step for this call.
    #[error("the script {} has {steps} steps, and step {step} was asked for", .origin.model)]
    ScriptExhausted {
        #[serde(flatten)]
        origin: Origin,
        /// The step asked for, counted from 1.
        step: u64,
        /// How many there are.
        steps: u64,
    },
    /// The answer came and could not be recorded.
    #[error("the answer could not be recorded{}", said(.message))]
    RecordingFailed {
        #[serde(flatten)]
        origin: Origin,
        /// Whether the disk is full.
        is_disk_full: bool,
        message: String,
    },
    /// What a call may cost could not be written down, so it was not made.
    #[error("the call was not made, because what it may cost could not be written down{}", said(.message))]
    LedgerFailed {
        #[serde(flatten)]
        origin: Origin,
        /// Whether the disk is full.
        is_disk_full: bool,
        message: String,
    },
    /// We broke a promise of our own.
    #[error("the call could not be made{}", said(.message))]
    Internal {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

const ERROR_AS_ANSWER: &str = "answered 200 with an error";

fn told(what: &str, status: u16) -> String {
    match status {
        200 => ERROR_AS_ANSWER.to_owned(),
        _ => format!("{what} with status {status}"),
    }
}

const fn no_answer(problem: ResponseProblem) -> &'static str {
    match problem {
        ResponseProblem::ErrorBody => ERROR_AS_ANSWER,
        _ => "sent no usable answer",
    }
}

/// A deployment, as a caller who asked for another name finds it.
fn place(asked: &str, deployment: &str) -> String {
    if asked == deployment {
        deployment.to_owned()
    } else {
        format!("{deployment} (for {asked})")
    }
}

fn late(origin: &Origin, phase: TimeoutPhase, after: Duration) -> String {
    let ms = whole_ms(after);
    let what = match phase {
        TimeoutPhase::Connect => "no connection",
        TimeoutPhase::FirstToken => "no first token",
        TimeoutPhase::Idle => "silence within the answer",
        TimeoutPhase::Total => "not complete",
        TimeoutPhase::Caller => return format!("the caller's limit of {ms} ms is over"),
    };
    format!(
        "{} did not answer in time: {what} after {ms} ms",
        origin.provider
    )
}

/// Whole milliseconds, rounded up so that nobody comes back too early.
fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn whole_milliseconds<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole_ms(*duration))
}

fn milliseconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(whole_ms).serialize(serializer)
}
