//! What a provider's error means, whatever dialect it speaks. The status decides last: words that name the
//! cause come first, because the same status stands for a rate limit and for an empty account.

mod numbers;
mod told;
mod words;

#[cfg(test)]
mod tests;

pub use words::Cleaner;

use crate::{InferenceError, Origin, ResponseProblem};
use serde_json::Value;
use std::time::Duration;
use told::Told;

/// The typed form of a response with an error's status; whatever its body is, it has one.
///
/// `retry_after` is what the headers ask for, `is_cut` says that the body is only the beginning of it.
#[must_use]
pub fn fault(
    origin: Origin,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    is_cut: bool,
    cleaner: &Cleaner,
) -> InferenceError {
    let told = match serde_json::from_slice::<Value>(body) {
        Ok(value) => Told::of_value(&value, cleaner),
        Err(_) => Told::of_words(cleaner.clean_cut(body, is_cut)),
    };
    let fault = Fault {
        status,
        is_answer: false,
        retry_after: retry_after.or(told.retry_after),
        told,
    };
    fault.classify(origin)
}

/// The typed form of an error that came where an answer was announced: within a stream, or as a body of
/// success.
#[must_use]
pub fn stream_fault(origin: Origin, value: &Value, cleaner: &Cleaner) -> InferenceError {
    let told = Told::of_value(value, cleaner);
    let named = told.names.iter().filter_map(|name| name.parse().ok());
    let status = named.into_iter().find(|status| (400..600).contains(status));
    let fault = Fault {
        status: status.unwrap_or(200),
        is_answer: status.is_none(),
        retry_after: told.retry_after,
        told,
    };
    fault.classify(origin)
}

const QUOTA: &[&str] = &[
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "insufficient_balance",
    "exceeded_current_quota_error",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "linked_organization_spend_limit_reached",
];
const QUOTA_PHRASES: &[&str] = &["credit balance is too low", "specified api usage limits"];
const FILTER: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "content_filtered",
    "invalid_prompt",
    "moderation_blocked",
];
const FILTER_PHRASES: &[&str] = &["content filtering policy"];
const CONTEXT: &[&str] = &["context_length_exceeded", "exceed_context_size_error"];
const CONTEXT_PHRASES: &[&str] = &[
    "maximum context length",
    "maximum model length",
    "prompt is too long",
    "exceed context limit",
    "exceeds the maximum number of tokens",
    "exceeds the available context size",
    "context window",
    "`max_new_tokens` must be <=",
];
const MODEL: &[&str] = &["model_not_found", "deploymentnotfound", "model_not_exist"];
const KEY: &[&str] = &[
    "invalid_api_key",
    "api_key_invalid",
    "authentication_error",
    "unauthenticated",
];
const KEY_PHRASES: &[&str] = &[
    "incorrect api key",
    "invalid api key",
    "invalid authorization header",
];
const PERMISSION: &[&str] = &["permission_error", "permission_denied"];
const PERMISSION_PHRASES: &[&str] = &["user location is not supported"];
const RATE: &[&str] = &[
    "rate_limit_exceeded",
    "rate_limit_error",
    "resource_exhausted",
    "tokens",
    "requests",
];
const OVERLOAD: &[&str] = &[
    "overloaded_error",
    "server_overloaded",
    "overloaded",
    "unavailable",
    "service_unavailable",
    "server_is_overloaded",
    "slow_down",
    "inference.backpressure",
];
const SERVER: &[&str] = &[
    "server_error",
    "internal_error",
    "internal_server_error",
    "internalservererror",
    "api_error",
    "internal",
];
const LATE: &[&str] = &["timeout_error", "deadline_exceeded"];
const REQUEST: &[&str] = &[
    "invalid_request_error",
    "invalid_argument",
    "badrequesterror",
    "request_too_large",
    "not_found_error",
    "not_found",
];

struct Fault {
    /// The HTTP status; 200 for an error within an answer that names none.
    status: u16,
    is_answer: bool,
    retry_after: Option<Duration>,
    told: Told,
}

/// What an error is about.
enum Kind {
    Quota,
    Filter(String),
    Context,
    Model,
    Key,
    Permission,
    Rate,
    Overload,
    /// With its status; 200 within an answer.
    Server(u16),
    Request(u16),
    /// From somebody who is no such provider.
    Elsewhere(u16),
    Unknown,
}

impl Fault {
    fn kind(&self) -> Kind {
        let status = self.status;
        // Names speak for themselves only where no status does.
        let is_named = |any: &[&str]| self.is_answer && self.told.is_named(any);
        if status == 402 || self.told.is_named(QUOTA) || self.told.says(QUOTA_PHRASES) {
            Kind::Quota
        } else if let Some(reason) = self.filter() {
            Kind::Filter(reason)
        } else if self.is_about_context() {
            Kind::Context
        } else if self.is_about_model() {
            Kind::Model
        } else if status == 401
            || self.told.is_named(KEY)
            || (status == 400 && self.told.says(KEY_PHRASES))
        {
            Kind::Key
        } else if status == 403
            || is_named(PERMISSION)
            || (status == 400 && self.told.says(PERMISSION_PHRASES))
        {
            Kind::Permission
        } else if status == 429 || is_named(RATE) {
            Kind::Rate
        } else if matches!(status, 503 | 529)
            || ((self.is_answer || status >= 500) && self.told.is_named(OVERLOAD))
        {
            Kind::Overload
        } else if matches!(status, 408 | 409 | 500..=599) || is_named(LATE) || is_named(SERVER) {
            Kind::Server(status)
        } else if self.is_elsewhere() {
            Kind::Elsewhere(status)
        } else if matches!(status, 300..=499) || is_named(REQUEST) {
            Kind::Request(status)
        } else {
            Kind::Unknown
        }
    }

    /// The filter's name, where one refused the content.
    fn filter(&self) -> Option<String> {
        let is_filter = |name: &&String| FILTER.contains(&name.as_str());
        let named = self.told.names.iter().rfind(is_filter).cloned();
        named.or_else(|| {
            self.told
                .says(FILTER_PHRASES)
                .then(|| "content_filter".to_owned())
        })
    }

    fn is_about_context(&self) -> bool {
        self.told.is_named(CONTEXT)
            || (matches!(self.status, 200 | 400 | 413 | 422) && self.told.says(CONTEXT_PHRASES))
    }

    fn is_about_model(&self) -> bool {
        let is_missing = self.status == 404
            || (self.is_answer && self.told.is_named(&["not_found_error", "not_found"]));
        self.told.is_named(MODEL) || (is_missing && self.told.says(&["model"]))
    }

    /// Whether the address leads elsewhere: no provider answers a question so, and none that is meant says of
    /// its own route, in its own words, that it is missing.
    fn is_elsewhere(&self) -> bool {
        let is_nameless = self.told.names.is_empty() || self.told.says(&["invalid url"]);
        matches!(self.status, 300..=399 | 405 | 407) || (self.status == 404 && is_nameless)
    }

    fn classify(self, origin: Origin) -> InferenceError {
        let kind = self.kind();
        let retry_after = self.retry_after;
        let (message, param) = (self.told.message, self.told.param);
        match kind {
            Kind::Quota => InferenceError::QuotaExhausted { origin, message },
            Kind::Filter(reason) => InferenceError::ContentFiltered {
                origin,
                reason,
                message,
            },
            Kind::Context => {
                let told = numbers::of_context(&message);
                let (tokens, max_tokens) = match self.told.numbers {
                    Some((tokens, limit)) => (Some(tokens), Some(limit)),
                    None => told,
                };
                InferenceError::ContextLengthExceeded {
                    origin,
                    tokens,
                    max_tokens,
                    message,
                }
            }
            Kind::Model => InferenceError::ModelNotFound { origin, message },
            Kind::Key => InferenceError::Unauthorized { origin, message },
            Kind::Permission => InferenceError::Forbidden { origin, message },
            Kind::Rate => InferenceError::RateLimited {
                origin,
                retry_after,
                message,
            },
            Kind::Overload => InferenceError::Backpressure {
                origin,
                retry_after,
                message,
            },
            Kind::Server(status) => InferenceError::ServerError {
                origin,
                status,
                retry_after,
                message,
            },
            Kind::Request(status) => InferenceError::BadRequest {
                origin,
                status,
                param,
                message,
            },
            Kind::Elsewhere(status) => InferenceError::Misdirected {
                origin,
                status,
                message,
            },
            Kind::Unknown => InferenceError::BadResponse {
                origin,
                problem: ResponseProblem::ErrorBody,
                message,
            },
        }
    }
}
