//! Failures, told as Anthropic tells them.

use crate::Failure;
use serde::Serialize;

/// The field by which clients let Anthropic keep the conversation. Elsewhere nobody keeps it; a client that
/// is told so sends the whole of it.
const THREAD: &str = "thread";
const NO_THREAD: Details = Details {
    error_code: "thread_unsupported_request",
    unsupported: [THREAD],
};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// What clients read to help themselves.
#[derive(Serialize)]
struct Details {
    error_code: &'static str,
    unsupported: [&'static str; 1],
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
            details: (failure.param == Some(THREAD)).then_some(NO_THREAD),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn clients_are_told_that_no_thread_is_kept() {
        let told = |param| {
            let body = write_failure(&Failure {
                status: 400,
                code: "inference.unsupported",
                message: "It has no such thing.",
                param: Some(param),
                request_id: "req_1",
            });
            let body: Value = serde_json::from_slice(&body).unwrap();
            body["error"].clone()
        };
        let details =
            json!({"error_code": "thread_unsupported_request", "unsupported": ["thread"]});
        assert_eq!(
            told("thread"),
            json!({
                "type": "invalid_request_error", "message": "thread: It has no such thing.",
                "code": "inference.unsupported", "details": details,
            })
        );
        assert_eq!(
            told("top_k"),
            json!({
                "type": "invalid_request_error", "message": "top_k: It has no such thing.",
                "code": "inference.unsupported",
            })
        );
    }
}
