//! Reading what callers sent, so that a refusal names the field.

use super::InvalidRequest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const UNREADABLE: &str = "the request is not JSON that can be read";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How deep `serde_json` reads arrays and objects in each other.
const LEVELS_MAX: usize = 127;

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
        Err(error) => {
            let (path, error) = (error.path().to_string(), error.inner());
            match error.is_data() {
                true => refusal(&path, place, &error.to_string()),
                false => refusal(
                    &path,
                    place,
                    &format!("{UNREADABLE}: {}", fault(json, error)),
                ),
            }
        }
    }
}

/// Why bytes are no JSON, in words that show nothing of them.
pub(super) fn fault(json: &[u8], error: &serde_json::Error) -> String {
    if json.trim_ascii().is_empty() {
        return "it is empty".to_owned();
    }
    if json.starts_with(BYTE_ORDER_MARK) {
        return "it begins with a byte order mark".to_owned();
    }
    if std::str::from_utf8(json).is_err() {
        return "it is not UTF-8".to_owned();
    }
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    match said {
        _ if error.is_eof() => "it ends too early".to_owned(),
        "recursion limit exceeded" => format!("it is nested deeper than {LEVELS_MAX} levels"),
        "number out of range" => "a number does not fit into 64 bits".to_owned(),
        "trailing characters" => "something follows the JSON".to_owned(),
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            r"an escape `\u` is half of a surrogate pair".to_owned()
        }
        _ => said.to_owned(),
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
