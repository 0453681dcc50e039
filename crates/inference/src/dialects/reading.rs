//! Reading what callers sent, so that a refusal names the field.

use super::InvalidRequest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

impl InvalidRequest {
    /// A refusal of one field.
    pub(super) fn at(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            message: message.into(),
        }
    }
}

/// Reads JSON that stands at `place` (empty for the whole body). Only a failure pays for knowing where.
pub(super) fn read_at<'a, T: Deserialize<'a>>(
    json: &'a [u8],
    place: &str,
) -> Result<T, InvalidRequest> {
    serde_json::from_slice(json).map_err(|_| why::<T>(json, place))
}

fn why<'a, T: Deserialize<'a>>(json: &'a [u8], place: &str) -> InvalidRequest {
    let mut reader = serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Ok(_) => refusal("", place, "something follows the JSON"),
        Err(error) => refusal(&error.path().to_string(), place, &error.inner().to_string()),
    }
}

/// Reads a value that stands at `place`.
pub(super) fn read_value<T: DeserializeOwned>(
    value: Value,
    place: &str,
) -> Result<T, InvalidRequest> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| refusal(&error.path().to_string(), place, &error.inner().to_string()))
}

fn refusal(path: &str, place: &str, message: &str) -> InvalidRequest {
    let path = if path == "." { "" } else { path };
    let param = match (place.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (false, true) => place.to_owned(),
        (false, false) if path.starts_with('[') => format!("{place}{path}"),
        (false, false) => format!("{place}.{path}"),
    };
    let message = match message.rsplit_once(" at line ") {
        Some((message, _)) => message,
        None => message,
    };
    InvalidRequest {
        param: (!param.is_empty()).then_some(param),
        message: message.to_owned(),
    }
}
