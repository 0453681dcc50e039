//! Reading a large body takes a while, in which others want to be served: it is read on a thread of its own.

use axum::body::Bytes;
use mainstay_contract::{Code, ErrorReport, Responsible};

/// Bodies from this size on, in bytes.
const LARGE: usize = 256 << 10;
/// More values than any question has. Each takes some hundred bytes once it is read, whatever it took on its way.
const VALUES_MAX: usize = 500_000;

/// Reads a body, apart from the workers where it is large.
///
/// # Errors
/// The report of a body that would take too much room, or of a reader that broke down.
pub(super) async fn read<T: Send + 'static>(
    body: Bytes,
    reader: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ErrorReport> {
    if body.len() < LARGE {
        return Ok(reader());
    }
    let reading =
        tokio::task::spawn_blocking(move || (values(&body) <= VALUES_MAX).then(reader)).await;
    let read = reading.map_err(|error| ErrorReport::new(Code::Internal, error.to_string()))?;
    read.ok_or_else(too_many)
}

fn too_many() -> ErrorReport {
    let message = format!("the body holds more than {VALUES_MAX} values");
    let mut report = ErrorReport::new(Code::RequestTooLarge, message);
    report.responsible = Responsible::Caller;
    report
}

/// About how many values a JSON text has: one for each comma and each bracket that opens.
fn values(json: &[u8]) -> usize {
    let (mut count, mut is_text, mut is_escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b',' | b'[' | b'{' if !is_text => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        for (json, count) in [
            (r#""a,b[c{""#, 1),
            (r#"{"a": "x\"y,", "b": [1, 2, 3]}"#, 6),
            (r#"["\\", ","]"#, 3),
            ("", 1),
        ] {
            assert_eq!(values(json.as_bytes()), count, "{json}");
        }
    }
}
