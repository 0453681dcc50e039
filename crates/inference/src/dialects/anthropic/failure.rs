//! Failures, told as Anthropic tells them.

use crate::Failure;
use serde::Serialize;

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Told<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    /// Ours, for a stream has no headers any more that could tell it.
    code: &'a str,
}

/// Writes the body of a failed response, and the data of a stream's `error` event.
#[must_use]
pub(crate) fn write_failure(failure: &Failure<'_>) -> Vec<u8> {
    let named;
    let message = match failure.param {
        // The wire has no field for the name, so the sentence has to say it.
        Some(param) if !failure.message.contains(param) => {
            named = format!("{param}: {}", failure.message);
            named.as_str()
        }
        _ => failure.message,
    };
    let wire = Wire {
        kind: "error",
        error: Told {
            kind: kind(failure.status),
            message,
            code: failure.code,
        },
        request_id: failure.request_id,
    };
    serde_json::to_vec(&wire).unwrap_or_default()
}

const fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}
