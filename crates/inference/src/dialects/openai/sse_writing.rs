//! Lines of server-sent events, written straight into the buffer that is sent.

use serde::Serialize;

/// Writes JSON. Our own types always can be written.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // A buffer takes every byte, and keys are texts: there is nothing that could fail.
    let _ = serde_json::to_writer(out, value);
}

/// Writes one event without a name.
pub(crate) fn line<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    json(value, out);
    end_line(out);
}

/// Ends an event.
pub(crate) fn end_line(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n\n");
}
