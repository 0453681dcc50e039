//! Failures as OpenAI's clients expect them.
//!
//! `type` follows the status. `code` is a word that clients of OpenAI know, where there is one: they
//! decide by it whether to try again or to shorten the conversation. Otherwise it is our own code.

use super::json;
use crate::Failure;
use serde::Serialize;

/// `{"message": …, "type": …, "param": …, "code": …}`.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorObject<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'a str,
}

impl<'a> ErrorObject<'a> {
    /// The code.
    pub(crate) const fn code(&self) -> &'a str {
        self.code
    }
}

/// The inner object of a failure.
pub(crate) fn error_object<'a>(failure: &Failure<'a>) -> ErrorObject<'a> {
    let code = known_code(failure);
    ErrorObject {
        message: failure.message,
        r#type: kind(failure.status, code),
        param: failure.param,
        code,
    }
}

/// The body of a failure.
pub(crate) fn write_failure(failure: &Failure<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        error: ErrorObject<'a>,
    }
    let mut body = Vec::with_capacity(128);
    let error = error_object(failure);
    json(&Body { error }, &mut body);
    body
}

fn known_code<'a>(failure: &Failure<'a>) -> &'a str {
    match failure.code.rsplit('.').next().unwrap_or_default() {
        "rate_limited" => "rate_limit_exceeded",
        "quota_exhausted" | "budget_exceeded" => "insufficient_quota",
        "content_filtered" => "content_filter",
        "context_length_exceeded" => "context_length_exceeded",
        "model_not_found" => "model_not_found",
        "not_found" if failure.status == 404 => "unknown_url",
        _ if failure.status == 405 => "method_not_supported",
        // The operator's key at a provider is none of the caller's: only 401 tells of the caller's own.
        _ if failure.status == 401 => "invalid_api_key",
        _ => failure.code,
    }
}

fn kind(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (_, "insufficient_quota") => "insufficient_quota",
        (429, _) => "requests",
        (400..=499, _) => "invalid_request_error",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_wrong_address_has_the_words_of_openai() {
        for (status, code, known) in [
            (404, "runtime.not_found", "unknown_url"),
            (405, "runtime.invalid_request", "method_not_supported"),
            (404, "inference.model_not_found", "model_not_found"),
        ] {
            let body = write_failure(&Failure {
                status,
                code,
                message: "m",
                param: None,
                request_id: "r",
            });
            let told: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(told["error"]["type"], "invalid_request_error");
            assert_eq!(told["error"]["code"], known);
        }
    }

    #[test]
    fn who_is_too_busy_limits_nobodys_rate() {
        let body = write_failure(&Failure {
            status: 503,
            code: "inference.backpressure",
            message: "m",
            param: None,
            request_id: "r",
        });
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["error"]["type"], "server_error");
        assert_eq!(told["error"]["code"], "inference.backpressure");
    }

    #[test]
    fn clients_find_the_words_they_know() {
        let cases = [
            (
                429,
                "inference.rate_limited",
                "requests",
                "rate_limit_exceeded",
            ),
            (
                402,
                "inference.quota_exhausted",
                "insufficient_quota",
                "insufficient_quota",
            ),
            (
                400,
                "inference.content_filtered",
                "invalid_request_error",
                "content_filter",
            ),
            (
                400,
                "inference.context_length_exceeded",
                "invalid_request_error",
                "context_length_exceeded",
            ),
            (
                404,
                "inference.model_not_found",
                "invalid_request_error",
                "model_not_found",
            ),
            (
                401,
                "node.unauthorized",
                "invalid_request_error",
                "invalid_api_key",
            ),
            (
                502,
                "inference.unauthorized",
                "server_error",
                "inference.unauthorized",
            ),
            (
                504,
                "inference.timeout",
                "server_error",
                "inference.timeout",
            ),
        ];
        for (status, code, kind, known) in cases {
            let body = write_failure(&Failure {
                status,
                code,
                message: "It \"failed\".",
                param: Some("model"),
                request_id: "req_1",
            });
            assert_eq!(
                serde_json::from_slice::<Value>(&body).unwrap(),
                json!({"error": {
                    "message": "It \"failed\".", "type": kind, "param": "model", "code": known,
                }})
            );
        }
    }
}
