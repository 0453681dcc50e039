//! Server-sent events, as text.

use axum::body::Bytes;
use mainstay_contract::Event;
use std::fmt::Write;

/// The media type of a stream.
pub(super) const MEDIA_TYPE: &str = "text/event-stream";

/// What a stream begins with: browsers come back after this many milliseconds.
pub(super) const OPENING: &str = "retry: 500\n\n";

/// An event; live previews (sequence 0) have no id, so that nobody resumes from them.
pub(super) fn frame(event: &Event) -> Bytes {
    let mut text = String::new();
    if event.seq.0 > 0 {
        let _infallible = writeln!(text, "id: {}", event.seq.0);
    }
    // Kinds are words of ours or of a plugin; a line break in one must not forge a field.
    let kind: String = event.kind.chars().filter(|c| !c.is_control()).collect();
    let data = serde_json::to_string(event).unwrap_or_default();
    let _infallible = write!(text, "event: {kind}\ndata: {data}\n\n");
    text.into()
}

/// A line that readers skip.
pub(super) fn comment(text: &str) -> Bytes {
    format!(": {text}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_contract::{Seq, SessionId, Timestamp};
    use serde_json::json;

    #[test]
    fn frames_are_one_event_each() {
        let mut event = Event {
            session: SessionId::new("s").unwrap(),
            seq: Seq(7),
            at: Timestamp(1),
            turn: None,
            kind: "text_delta\nid: 9".to_owned(),
            data: json!({ "text": "a\nb\r\n\u{2028}" }),
        };
        let text = String::from_utf8(frame(&event).to_vec()).unwrap();
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert_eq!(lines[..2], ["id: 7", "event: text_deltaid: 9"]);
        assert!(lines[2].starts_with("data: {") && lines[3..] == ["", ""]);
        event.seq = Seq(0);
        assert!(frame(&event).starts_with(b"event: "));
    }
}
