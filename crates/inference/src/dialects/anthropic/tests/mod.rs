//! What the wire keeps, and what it refuses.

mod answers;
mod properties;
mod request_read;
mod request_write;
mod streams;

use super::{Options, Thinking, read_request, write_request};
use crate::{Event, Request, Role, Sse, StreamDecoder};
use serde_json::{Value, json};

pub(super) fn options() -> Options {
    Options {
        output_tokens_default: 4096,
        thinking: Thinking::Adaptive,
        system_in_place: false,
    }
}

/// A request with these messages.
fn body(messages: Value) -> Value {
    json!({"model": "claude-x", "max_tokens": 100, "messages": messages})
}

fn read(body: &Value) -> Request {
    Request {
        caller: Some(crate::Dialect::Anthropic),
        ..read_request(body.to_string().as_bytes()).unwrap()
    }
}

fn write(request: &Request) -> Value {
    let written = write_request(request, "claude-x", &options()).unwrap();
    serde_json::from_slice(&written.body).unwrap()
}

/// That the wire says the same after reading and writing.
fn survives(body: &Value) {
    assert_eq!(&write(&read(body)), body);
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

/// Requests of another dialect.
fn asked(messages: Vec<crate::Message>) -> Request {
    Request {
        model: "m".to_owned(),
        messages,
        output_tokens_max: Some(100),
        ..Request::default()
    }
}

fn said(role: Role, text: &str) -> crate::Message {
    crate::Message::text(role, text)
}

/// The server-sent events of a stream.
fn split(stream: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(stream).unwrap();
    let event = |block: &str| {
        let (name, data) = block.split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap().to_owned();
        (name, data.strip_prefix("data: ").unwrap().to_owned())
    };
    text.split_terminator("\n\n").map(event).collect()
}

fn decode(
    reader: &mut impl StreamDecoder,
    stream: &[(String, String)],
) -> Result<Vec<Event>, crate::DecodeError> {
    let mut events = Vec::new();
    for (name, data) in stream {
        reader.decode(&Sse { name, data }, &mut events)?;
    }
    Ok(events)
}
