//! Why an artifact is not kept or not given, as Turborepo's client hears it.

use crate::server::access::refusal;
use crate::store::StoreError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Bad(&'static str),
    #[error("no such artifact")]
    Unknown,
    #[error("this cache is read-only")]
    ReadOnly,
    #[error("nothing was sent for too long")]
    Paused,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Self::Bad(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Unknown => (StatusCode::NOT_FOUND, "not_found"),
            // At this code the client stops writing and goes on reading.
            Self::ReadOnly => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Paused => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::Store(StoreError::TooLarge { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
            }
            Self::Store(error) => {
                // Paths of this machine stay in the log.
                tracing::error!(%error, cause = ?std::error::Error::source(error), "the store failed");
                return match error {
                    StoreError::Full { .. } => {
                        let status = StatusCode::INSUFFICIENT_STORAGE;
                        refusal(status, "full", "no space is left")
                    }
                    StoreError::Busy => {
                        let status = StatusCode::SERVICE_UNAVAILABLE;
                        refusal(status, "busy", "too much is on its way in")
                    }
                    _ => {
                        let status = StatusCode::INTERNAL_SERVER_ERROR;
                        refusal(status, "store_failed", "the store failed")
                    }
                };
            }
        };
        refusal(status, code, &self.to_string())
    }
}
