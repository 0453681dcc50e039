//! What providers send in place of an answer.

use crate::DecodeError;
use serde_json::Value;

/// The whole of what is sent, if it reports a failure.
pub(crate) fn fault_in(body: &[u8]) -> Option<DecodeError> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let error = value.get("error")?;
    (!error.is_null()).then_some(DecodeError::Fault(value))
}

/// It is not JSON, or of another shape.
pub(crate) fn malformed(error: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed(format!("the answer has another shape than agreed: {error}"))
}
