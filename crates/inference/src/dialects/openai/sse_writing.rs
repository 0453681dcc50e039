//! Lines of server-sent events, written straight into the buffer that is sent.

use serde::Serialize;
use std::io::Write as _;

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

/// Writes one event with a name.
pub(crate) fn named_line<T: Serialize + ?Sized>(name: &str, value: &T, out: &mut Vec<u8>) {
    let _ = writeln!(out, "event: {name}");
    line(value, out);
}

/// Ends an event.
pub(crate) fn end_line(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n\n");
}
