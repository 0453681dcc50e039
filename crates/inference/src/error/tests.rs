//! The form of every failure, and what follows from it.

use crate::{CircuitClass, InferenceError, NetworkPhase, Origin, ResponseProblem, TimeoutPhase};
use mainstay_contract::{Coded as _, RetryAdvice, Usd};
use serde_json::{Value, json};
use std::time::Duration;

fn origin() -> Origin {
    Origin {
        provider: "p".to_owned(),
        model: "m".to_owned(),
        answering: false,
    }
}

fn message() -> String {
    "why".to_owned()
}

/// What is expected of one failure: its JSON beside the origin, its code, whether to try again and how
/// the circuit counts it.
struct Case {
    error: InferenceError,
    data: Value,
    code: &'static str,
    is_retryable: bool,
    class: CircuitClass,
}

fn case(
    error: InferenceError,
    data: Value,
    code: &'static str,
    is_retryable: bool,
    class: CircuitClass,
) -> Case {
    Case {
        error,
        data,
        code,
        is_retryable,
        class,
    }
}

fn check(cases: Vec<Case>) {
    for case in cases {
        let mut data = case.data;
        for (name, value) in [
            ("provider", json!("p")),
            ("model", json!("m")),
            ("answering", json!(false)),
        ] {
            data[name] = value;
        }
        assert_eq!(serde_json::to_value(&case.error).unwrap(), data);
        assert_eq!(case.error.code().as_str(), case.code);
        assert_eq!(case.error.is_retryable(), case.is_retryable, "{data}");
        assert_eq!(case.error.circuit_class(), case.class, "{data}");
        let is_failure = case.class == CircuitClass::Failure;
        assert_eq!(case.error.counts_as_circuit_failure(), is_failure);
        assert_eq!(case.error.origin(), &origin());
        assert_eq!(case.error.report().data, data);
    }
}

#[test]
fn what_is_not_ready_is_told_so() {
    let wait = Duration::from_micros(1500);
    check(vec![case(
        InferenceError::NotReady {
            origin: origin(),
            asked: "team".to_owned(),
            deployment: "d".to_owned(),
            retry_after: wait,
            message: message(),
        },
        json!({"kind": "not_ready", "asked": "team", "deployment": "d", "retry_after": 2,
                "message": "why"}),
        "inference.backpressure",
        true,
        CircuitClass::None,
    )]);
}

#[test]
fn limits_of_the_provider_and_of_ours() {
    let origin = origin();
    let wait = Duration::from_micros(1500);
    check(vec![
        case(
            InferenceError::RateLimited {
                origin: origin.clone(),
                retry_after: Some(wait),
                message: message(),
            },
            json!({"kind": "rate_limited", "retry_after": 2, "message": "why"}),
            "inference.rate_limited",
            true,
            CircuitClass::None,
        ),
        case(
            InferenceError::Backpressure {
                origin: origin.clone(),
                retry_after: None,
                message: message(),
            },
            json!({"kind": "backpressure", "retry_after": null, "message": "why"}),
            "inference.backpressure",
            true,
            CircuitClass::Overload,
        ),
        case(
            InferenceError::QuotaExhausted {
                origin: origin.clone(),
                message: message(),
            },
            json!({"kind": "quota_exhausted", "message": "why"}),
            "inference.quota_exhausted",
            false,
            CircuitClass::None,
        ),
        case(
            InferenceError::CircuitOpen {
                origin: origin.clone(),
                opened_at_unix_ms: 1,
                retry_at_unix_ms: 3,
                retry_after: wait,
            },
            json!({"kind": "circuit_open", "opened_at_unix_ms": 1, "retry_at_unix_ms": 3,
                "retry_after": 2}),
            "inference.circuit_open",
            false,
            CircuitClass::None,
        ),
        case(
            InferenceError::BudgetExceeded {
                origin,
                deployment: "d".to_owned(),
                budget: "team".to_owned(),
                limit: Usd::from_nanos(2_000_000_000),
                spent: Usd::from_nanos(1_500_000_000),
                reserved: Usd::ZERO,
                resets_at_unix_ms: Some(9),
            },
            json!({"kind": "budget_exceeded", "deployment": "d", "budget": "team",
                "limit": Usd::from_nanos(2_000_000_000), "spent": Usd::from_nanos(1_500_000_000),
                "reserved": Usd::ZERO, "resets_at_unix_ms": 9}),
            "inference.budget_exceeded",
            false,
            CircuitClass::None,
        ),
    ]);
}

#[test]
fn faults_of_the_request() {
    let origin = origin();
    check(vec![
        case(
            InferenceError::ContentFiltered {
                origin: origin.clone(),
                reason: "content_filter".to_owned(),
                message: message(),
            },
            json!({"kind": "content_filtered", "reason": "content_filter", "message": "why"}),
            "inference.content_filtered",
            false,
            CircuitClass::None,
        ),
        case(
            InferenceError::ContextLengthExceeded {
                origin: origin.clone(),
                tokens: Some(5000),
                max_tokens: Some(4096),
                message: message(),
            },
            json!({"kind": "context_length_exceeded", "tokens": 5000, "max_tokens": 4096,
                "message": "why"}),
            "inference.context_length_exceeded",
            false,
            CircuitClass::None,
        ),
        case(
            InferenceError::BadRequest {
                origin: origin.clone(),
                status: 400,
                param: Some("stop".to_owned()),
                message: message(),
            },
            json!({"kind": "bad_request", "status": 400, "param": "stop", "message": "why"}),
            "inference.bad_request",
            false,
            CircuitClass::None,
        ),
        case(
            InferenceError::ModelNotFound {
                origin: origin.clone(),
                message: message(),
            },
            json!({"kind": "model_not_found", "message": "why"}),
            "inference.model_not_found",
            false,
            CircuitClass::None,
        ),
        case(
            InferenceError::Unauthorized {
                origin: origin.clone(),
                message: message(),
            },
            json!({"kind": "unauthorized", "message": "why"}),
            "inference.unauthorized",
            false,
            CircuitClass::Access,
        ),
        case(
            InferenceError::Forbidden {
                origin,
                message: message(),
            },
            json!({"kind": "forbidden", "message": "why"}),
            "inference.forbidden",
            false,
            CircuitClass::Access,
        ),
    ]);
}

#[test]
fn faults_of_the_provider() {
    let origin = origin();
    check(vec![
        case(
            InferenceError::NetworkError {
                origin: origin.clone(),
                phase: NetworkPhase::Connect,
                message: message(),
            },
            json!({"kind": "network_error", "phase": "connect", "message": "why"}),
            "inference.network_error",
            true,
            CircuitClass::Failure,
        ),
        case(
            InferenceError::ServerError {
                origin: origin.clone(),
                status: 500,
                retry_after: None,
                message: message(),
            },
            json!({"kind": "server_error", "status": 500, "retry_after": null, "message": "why"}),
            "inference.server_error",
            true,
            CircuitClass::Failure,
        ),
        case(
            InferenceError::Timeout {
                origin: origin.clone(),
                phase: TimeoutPhase::FirstToken,
                after: Duration::from_secs(1),
                elapsed: Duration::from_millis(1001),
            },
            json!({"kind": "timeout", "phase": "first_token", "after": 1000, "elapsed_ms": 1001}),
            "inference.timeout",
            true,
            CircuitClass::Failure,
        ),
        case(
            InferenceError::BadResponse {
                origin: origin.clone(),
                problem: ResponseProblem::CutStream,
                message: message(),
            },
            json!({"kind": "bad_response", "problem": "cut_stream", "message": "why"}),
            "inference.bad_response",
            true,
            CircuitClass::Failure,
        ),
        case(
            InferenceError::CudaContextPoisoned {
                origin,
                device: "0".to_owned(),
                code: Some(700),
                message: message(),
            },
            json!({"kind": "cuda_context_poisoned", "device": "0", "code": 700, "message": "why"}),
            "inference.cuda_context_poisoned",
            true,
            CircuitClass::Failure,
        ),
    ]);
}

#[test]
fn faults_of_our_own() {
    let origin = origin();
    let recording = |is_disk_full| InferenceError::RecordingFailed {
        origin: self::origin(),
        is_disk_full,
        message: message(),
    };
    check(vec![
        case(
            InferenceError::ScriptExhausted {
                origin: origin.clone(),
                step: 3,
                steps: 2,
            },
            json!({"kind": "script_exhausted", "step": 3, "steps": 2}),
            "inference.script_exhausted",
            false,
            CircuitClass::None,
        ),
        case(
            recording(true),
            json!({"kind": "recording_failed", "is_disk_full": true, "message": "why"}),
            "store.disk_full",
            false,
            CircuitClass::None,
        ),
        case(
            recording(false),
            json!({"kind": "recording_failed", "is_disk_full": false, "message": "why"}),
            "store.io_failed",
            false,
            CircuitClass::None,
        ),
        case(
            InferenceError::Internal {
                origin,
                message: message(),
            },
            json!({"kind": "internal", "message": "why"}),
            "inference.internal",
            false,
            CircuitClass::None,
        ),
    ]);
}

#[test]
fn what_was_begun_or_is_not_offered_is_not_tried_again() {
    let answering = Origin {
        answering: true,
        ..origin()
    };
    let poisoned = InferenceError::CudaContextPoisoned {
        origin: answering,
        device: "0".to_owned(),
        code: None,
        message: message(),
    };
    assert!(!poisoned.is_retryable());
    assert_eq!(poisoned.report().retry.advice, RetryAdvice::After);
    let missing = InferenceError::ServerError {
        origin: origin(),
        status: 501,
        retry_after: None,
        message: message(),
    };
    assert!(!missing.is_retryable());
}
