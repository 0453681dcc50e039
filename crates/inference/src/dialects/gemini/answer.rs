//! Whole answers: a stream of one piece.

use super::stream_read::StreamReader;
use crate::{Answer, Assembly, DecodeError, StreamDecoder as _};

/// Reads the body of an answer.
///
/// # Errors
/// [`DecodeError`]; a failure in an answer's place is its `Fault`.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, DecodeError> {
    let json = std::str::from_utf8(body)
        .map_err(|_| DecodeError::Malformed("the answer is no UTF-8".to_owned()))?;
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    reader.read(json, &mut events)?;
    reader
        .end(&mut events)
        .map_err(|_| DecodeError::Malformed("the answer does not say why it ended".to_owned()))?;
    let mut assembly = Assembly::default();
    let broken = |error: crate::AssemblyError| DecodeError::Malformed(error.to_string());
    for event in events {
        assembly.add(event).map_err(broken)?;
    }
    assembly.finish().map_err(broken)
}
