//! Server-sent events, as text.

use axum::body::Bytes;
use mainstay_contract::Event;

/// The media type of a stream.
pub(super) const MEDIA_TYPE: &str = "text/event-stream";

/// What a stream begins with: browsers come back after this many milliseconds.
pub(super) const OPENING: &str = "retry: 500\n\n";

/// An event; live previews (sequence 0) have no id, so that nobody resumes from them.
pub(super) fn frame(event: &Event) -> Bytes {
    // Kinds are words of ours or of a plugin; a line break in one must not forge a field.
    let kind: String = event.kind.chars().filter(|c| !c.is_control()).collect();
    let data = serde_json::to_string(event).unwrap_or_default();
    let id = (event.seq.0 > 0).then_some(event.seq.0);
    frame_of(id, kind.as_bytes(), data.as_bytes())
}

/// An event of parts; none of them breaks a line.
pub(super) fn frame_of(id: Option<u64>, kind: &[u8], data: &[u8]) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let parts = [id.as_bytes(), b"event: ", kind, b"\ndata: ", data, b"\n\n"];
    parts.concat().into()
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
