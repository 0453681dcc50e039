//! How a flight failed, with all that led to it.

use super::FailureClass;
use crate::{InferenceError, Origin, Tokens};
use mainstay_contract::{EffectState, Usd};
use std::sync::Arc;
use std::time::Duration;

/// A flight that ended badly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct GateError {
    /// The failure that the caller is told.
    pub error: InferenceError,
    /// The failures before it, with the deployments that they happened at, first first.
    pub earlier: Vec<(Arc<str>, InferenceError)>,
    /// The deployment of the last failure; absent where none was asked.
    pub deployment: Option<Arc<str>>,
    /// How many calls were made.
    pub attempts: u32,
    /// What they cost.
    pub usd: Usd,
    /// What was counted or estimated for them.
    pub tokens: Tokens,
    /// How long it took in all.
    pub elapsed: Duration,
}

impl GateError {
    /// Whether it took effect, as far as anybody knows: what was never sent did not.
    #[must_use]
    pub const fn effect(&self) -> EffectState {
        match self.attempts {
            0 => EffectState::None,
            _ => self.error.effect(),
        }
    }

    /// A failure of our own, in which nothing was spent that anybody knows of.
    #[must_use]
    pub fn internal(message: &str, elapsed: Duration) -> Self {
        Self {
            error: InferenceError::Internal {
                origin: Origin::default(),
                message: message.to_owned(),
            },
            earlier: Vec::new(),
            deployment: None,
            attempts: 0,
            usd: Usd::ZERO,
            tokens: Tokens::default(),
            elapsed,
        }
    }
}

/// Whether the deployment cannot be asked for this at all: its wire has no word for it, or its model no way.
pub(super) fn is_refused_unsent(error: &InferenceError) -> bool {
    matches!(error, InferenceError::Unsupported { origin, .. } if !origin.answering)
}

/// Which failures another deployment may help against; none says that it cannot.
pub(super) fn class(error: &InferenceError) -> Option<FailureClass> {
    Some(match error {
        InferenceError::RateLimited { .. }
        | InferenceError::Backpressure { .. }
        | InferenceError::NotReady { .. }
        | InferenceError::CircuitOpen { .. } => FailureClass::Limited,
        InferenceError::NetworkError { .. }
        | InferenceError::ServerError { .. }
        | InferenceError::Timeout { .. }
        | InferenceError::BadResponse { .. }
        | InferenceError::CudaContextPoisoned { .. } => FailureClass::Failed,
        error if is_refused_unsent(error) => FailureClass::Failed,
        InferenceError::ContextLengthExceeded { .. } => FailureClass::ContextLength,
        InferenceError::ContentFiltered { .. } => FailureClass::ContentFiltered,
        InferenceError::Unauthorized { .. }
        | InferenceError::Forbidden { .. }
        | InferenceError::Misdirected { .. }
        | InferenceError::QuotaExhausted { .. }
        | InferenceError::ModelNotFound { .. }
        | InferenceError::KeyUnavailable { .. } => FailureClass::Access,
        InferenceError::BudgetExceeded { .. } | InferenceError::PriceUnknown { .. } => {
            FailureClass::Budget
        }
        InferenceError::BadRequest { .. }
        | InferenceError::Unsupported { .. }
        | InferenceError::ScriptExhausted { .. }
        | InferenceError::RecordingFailed { .. }
        | InferenceError::LedgerFailed { .. }
        | InferenceError::Internal { .. } => return None,
    })
}
