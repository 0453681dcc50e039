//! The face's public error type: the runtime codes of the anchor that this version can raise, with
//! their wire strings, and whatever else a newer node or a plugin says, byte for byte.

use crate::Rejected;
use mainstay_contract::{Code, Coded, ErrorReport, RetryAdvice};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use std::fmt;

/// How long a refused caller is advised to wait for a busy session, in milliseconds.
const BUSY_RETRY_MS: u64 = 1000;

/// A runtime code; on the wire a bare string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RuntimeErrorCode {
    /// An id of the scope is blank or unusable.
    MissingExecutionScopeId,
    /// The turn id and the scope id differ.
    ExecutionScopeTurnIdMismatch,
    /// Another turn holds the session.
    SessionExecutionBusy,
    /// The session store forgets.
    DurableStoreRequiredSessionStore,
    /// A record could not be made durable.
    StoreCommitFailed,
    /// The turn's options are not understood.
    ProtocolTurnExtension,
    /// Any other code, kept as it came.
    Other(String),
}

impl RuntimeErrorCode {
    /// The wire string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::MissingExecutionScopeId => "missing_execution_scope_id",
            Self::ExecutionScopeTurnIdMismatch => "execution_scope_turn_id_mismatch",
            Self::SessionExecutionBusy => "session_execution_busy",
            Self::DurableStoreRequiredSessionStore => "durable_store_required:session_store",
            Self::StoreCommitFailed => "store_commit_failed",
            Self::ProtocolTurnExtension => "protocol_turn_extension",
            Self::Other(text) => text,
        }
    }

    /// Reads a wire string.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let known = [
            Self::MissingExecutionScopeId,
            Self::ExecutionScopeTurnIdMismatch,
            Self::SessionExecutionBusy,
            Self::DurableStoreRequiredSessionStore,
            Self::StoreCommitFailed,
            Self::ProtocolTurnExtension,
        ];
        let known = known.into_iter().find(|code| code.as_str() == text);
        known.unwrap_or_else(|| Self::Other(text.to_owned()))
    }

    /// The code at the edge.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::parse(&format!("runtime.{self}"))
    }
}

impl fmt::Display for RuntimeErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RuntimeErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RuntimeErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

/// A failure of the session runtime in the anchor's own form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RuntimeError {
    /// The code.
    pub code: RuntimeErrorCode,
    /// One sentence for people.
    pub message: String,
}

impl RuntimeError {
    /// A failure with a code of the runtime.
    #[must_use]
    pub fn new(code: RuntimeErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl Coded for RuntimeError {
    fn code(&self) -> Code {
        self.code.code()
    }

    fn report(&self) -> ErrorReport {
        ErrorReport::new(self.code.code(), self.message.clone()).data(json!(self))
    }
}

impl Coded for Rejected {
    fn code(&self) -> Code {
        match self {
            Self::Busy { .. } => Code::SessionExecutionBusy,
            Self::Conflict { .. } => Code::IdempotencyConflict,
            Self::UnknownTurn { .. } | Self::UnknownStep { .. } => Code::NotFound,
            Self::NotInDoubt { .. } => Code::StepNotInDoubt,
        }
    }

    fn report(&self) -> ErrorReport {
        let report = ErrorReport::new(self.code(), self.to_string());
        match self {
            Self::Busy { holder, is_parked } => {
                let error =
                    RuntimeError::new(RuntimeErrorCode::SessionExecutionBusy, self.to_string());
                let report = report.about("turn", holder.as_str()).data(json!(error));
                if *is_parked {
                    report
                        .advise(RetryAdvice::AfterFix)
                        .hint("that turn waits for a word: `mainstay session show` says which")
                        .hint(
                            "give it with `session resolve`, or end the turn with `session cancel`",
                        )
                } else {
                    report
                        .retry_after_ms(BUSY_RETRY_MS)
                        .hint("wait with on_busy queue, hand it over with steer, or interrupt")
                }
            }
            Self::Conflict { turn, .. } | Self::UnknownTurn { turn } => {
                report.about("turn", turn.as_str())
            }
            Self::UnknownStep { step } | Self::NotInDoubt { step } => {
                report.about("step", step.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_byte_for_byte() {
        for text in [
            "session_execution_busy",
            "durable_store_required:session_store",
            "acme.x/é",
        ] {
            let json = serde_json::to_string(text).unwrap();
            let code: RuntimeErrorCode = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&code).unwrap(), json);
        }
        assert_eq!(
            RuntimeErrorCode::SessionExecutionBusy.code(),
            Code::SessionExecutionBusy
        );
    }
}
