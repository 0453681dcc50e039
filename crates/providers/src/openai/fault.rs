//! What a provider's error means. The status decides last: words that name the cause come first,
//! because the same status stands for a rate limit and for an empty account.

use super::words::Cleaner;
use crate::{InferenceError, Origin, ResponseProblem};
use serde_json::Value;
use std::time::Duration;

/// An error as the provider told it.
pub(super) struct Fault {
    /// The HTTP status; 200 for an error within an answer.
    status: u16,
    /// `type`, `code`, `status` and reasons, in lower case.
    names: Vec<String>,
    /// Cleaned words.
    message: String,
    numbers: Option<(u64, u64)>,
    retry_after: Option<Duration>,
}

const QUOTA: &[&str] = &[
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
];
const FILTER: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "content_filtered",
];
const CONTEXT: &[&str] = &["context_length_exceeded", "exceed_context_size_error"];
const CONTEXT_PHRASES: &[&str] = &[
    "maximum context length",
    "prompt is too long",
    "exceeds the maximum number of tokens",
    "exceeds the available context size",
    "context window",
];
const MODEL: &[&str] = &["model_not_found", "deploymentnotfound", "model_not_exist"];
const KEY: &[&str] = &["invalid_api_key", "api_key_invalid", "authentication_error"];
const PERMISSION: &[&str] = &["permission_error", "permission_denied"];
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
];
const SERVER: &[&str] = &[
    "server_error",
    "internal_error",
    "internal_server_error",
    "api_error",
    "internal",
];

impl Fault {
    /// Reads the body of an error response; whatever it is, it makes a fault.
    pub(super) fn of_body(
        status: u16,
        body: &[u8],
        is_cut: bool,
        retry_after: Option<Duration>,
        cleaner: &Cleaner,
    ) -> Self {
        let mut fault = match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::of_value(&value, cleaner),
            Err(_) => Self::with_message(cleaner.clean_cut(body, is_cut)),
        };
        fault.status = status;
        fault.retry_after = retry_after.or(fault.retry_after);
        fault
    }

    /// Reads an error that came where an answer was announced.
    pub(super) fn of_event(value: &Value, cleaner: &Cleaner) -> Self {
        let mut fault = Self::of_value(value, cleaner);
        let mut named = fault.names.iter().filter_map(|name| name.parse().ok());
        fault.status = named
            .find(|status| (400..600).contains(status))
            .unwrap_or(200);
        fault
    }

    fn with_message(message: String) -> Self {
        Self {
            status: 0,
            names: Vec::new(),
            numbers: None,
            message,
            retry_after: None,
        }
    }

    fn of_value(value: &Value, cleaner: &Cleaner) -> Self {
        let value = value.get(0).unwrap_or(value);
        let error = value.get("error").unwrap_or(value);
        let details = error
            .get("details")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let name = |value: Option<&Value>| match value? {
            Value::String(text) => Some(text.to_ascii_lowercase()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let inner = error.get("innererror").and_then(|inner| inner.get("code"));
        let mut names: Vec<String> = [
            error.get("code"),
            error.get("type"),
            error.get("status"),
            inner,
        ]
        .into_iter()
        .filter_map(name)
        .collect();
        names.extend(
            details
                .iter()
                .filter_map(|detail| name(detail.get("reason"))),
        );
        let message = [
            error.get("message"),
            Some(error),
            value.get("message"),
            value.get("detail"),
        ]
        .into_iter()
        .find_map(|value| value?.as_str().map(str::to_owned))
        .unwrap_or_else(|| error.to_string());
        let field = |field: &str| error.get(field).and_then(Value::as_u64);
        Self {
            numbers: field("n_prompt_tokens").zip(field("n_ctx")),
            retry_after: details.iter().find_map(retry_delay),
            names,
            ..Self::with_message(cleaner.clean(&message))
        }
    }

    fn is_named(&self, any: &[&str]) -> bool {
        self.names.iter().any(|name| any.contains(&name.as_str()))
    }

    fn is_about_context(&self) -> bool {
        let words = self.message.to_ascii_lowercase();
        self.is_named(CONTEXT)
            || (matches!(self.status, 200 | 400 | 413 | 422)
                && CONTEXT_PHRASES.iter().any(|phrase| words.contains(phrase)))
    }

    fn is_about_model(&self) -> bool {
        self.is_named(MODEL)
            || (self.status == 404 && self.message.to_ascii_lowercase().contains("model"))
    }

    /// The typed error.
    pub(super) fn classify(self, origin: Origin) -> InferenceError {
        let status = self.status;
        let is_answer = status == 200;
        if status == 402 || self.is_named(QUOTA) {
            InferenceError::QuotaExhausted {
                origin,
                message: self.message,
            }
        } else if self.is_named(FILTER) {
            InferenceError::ContentFiltered {
                origin,
                message: self.message,
            }
        } else if self.is_about_context() {
            let (tokens, limit) = self.context_numbers();
            InferenceError::ContextLengthExceeded {
                origin,
                tokens,
                limit,
                message: self.message,
            }
        } else if self.is_about_model() {
            InferenceError::ModelNotFound {
                origin,
                message: self.message,
            }
        } else if status == 401 || self.is_named(KEY) {
            InferenceError::Unauthorized {
                origin,
                message: self.message,
            }
        } else if status == 403 || (is_answer && self.is_named(PERMISSION)) {
            InferenceError::Forbidden {
                origin,
                message: self.message,
            }
        } else if status == 429 || (is_answer && self.is_named(RATE)) {
            InferenceError::RateLimited {
                origin,
                retry_after: self.retry_after,
                message: self.message,
            }
        } else if matches!(status, 503 | 529)
            || ((is_answer || status >= 500) && self.is_named(OVERLOAD))
        {
            InferenceError::Backpressure {
                origin,
                retry_after: self.retry_after,
                message: self.message,
            }
        } else if matches!(status, 408 | 409 | 500..=599) || (is_answer && self.is_named(SERVER)) {
            let status = if is_answer { 500 } else { status };
            InferenceError::ServerError {
                origin,
                status,
                retry_after: self.retry_after,
                message: self.message,
            }
        } else if matches!(status, 300..=499) {
            InferenceError::BadRequest {
                origin,
                status,
                message: self.message,
            }
        } else {
            InferenceError::BadResponse {
                origin,
                problem: ResponseProblem::ErrorBody,
                message: self.message,
            }
        }
    }

    /// The conversation's tokens and the model's limit. A request that is too long is longer than what
    /// is accepted, so of the first two numbers the larger is the request.
    fn context_numbers(&self) -> (Option<u64>, Option<u64>) {
        if let Some((tokens, limit)) = self.numbers {
            return (Some(tokens), Some(limit));
        }
        match whole_numbers(&self.message).as_slice() {
            [] => (None, None),
            [limit] => (None, Some(*limit)),
            [one, other, ..] => (Some(*one.max(other)), Some(*one.min(other))),
        }
    }
}

/// Google's `RetryInfo`: `{"retryDelay": "17s"}`.
fn retry_delay(detail: &Value) -> Option<Duration> {
    let seconds: f64 = detail
        .get("retryDelay")?
        .as_str()?
        .strip_suffix('s')?
        .parse()
        .ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Numbers that stand alone: not those within names such as `gpt-4.1`.
fn whole_numbers(text: &str) -> Vec<u64> {
    text.split(|letter: char| letter.is_whitespace() || "()[]:;>=".contains(letter))
        .filter_map(|word| {
            let digits = word.trim_end_matches([',', '.']).replace([',', '_'], "");
            digits.parse().ok().filter(|number| *number >= 16)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(message: &str) -> (Option<u64>, Option<u64>) {
        Fault::with_message(message.to_owned()).context_numbers()
    }

    #[test]
    fn both_numbers_are_read_from_every_known_wording() {
        let both = (Some(5000), Some(4096));
        for message in [
            "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
            "gpt-4.1 maximum context length is 4096 tokens. However, you requested 5000 tokens (4900 in the messages, 100 in the completion).",
            "prompt is too long: 5000 tokens > 4096 maximum",
            "The input token count (5,000) exceeds the maximum number of tokens allowed (4,096).",
        ] {
            assert_eq!(numbers(message), both, "{message}");
        }
        assert_eq!(
            numbers("the maximum context length is 4096"),
            (None, Some(4096))
        );
        assert_eq!(numbers("too long"), (None, None));
    }
}
