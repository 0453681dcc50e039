//! Streams, event by event.

use super::{decode, split};
use crate::dialects::anthropic::{StreamReader, stream_writer};
use crate::{
    AnswerContext, Assembly, DecodeError, Event, Failure, FinishReason, Part, PartKind, Request,
    StreamDecoder as _, StreamEncoder as _, Tokens,
};
use serde_json::{Value, json};

fn wire(events: &[Value]) -> Vec<(String, String)> {
    let wire = |event: &Value| {
        (
            event["type"].as_str().unwrap_or("").to_owned(),
            event.to_string(),
        )
    };
    events.iter().map(wire).collect()
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "type": "message",
        "role": "assistant", "model": "claude-x", "content": [], "stop_reason": null,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1,
            "cache_creation_input_tokens": 8,
            "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 2}}}})
}

fn block(index: u64, head: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": head})
}

fn delta(index: u64, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u64) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": 9, "cache_creation_input_tokens": 8}}),
        json!({"type": "message_stop"}),
    ]
}

fn read(events: &[Value]) -> crate::Answer {
    let mut reader = StreamReader::default();
    let events = decode(&mut reader, &wire(events)).unwrap();
    assert!(reader.is_complete());
    let mut assembly = Assembly::default();
    for event in events {
        assembly.add(event).unwrap();
    }
    assembly.finish().unwrap()
}

fn everything() -> Vec<Value> {
    let mut events = vec![
        start(),
        json!({"type": "ping"}),
        block(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        delta(0, json!({"type": "signature_delta", "signature": "sig"})),
        stop(0),
        block(1, json!({"type": "redacted_thinking", "data": "sealed"})),
        stop(1),
        block(2, json!({"type": "text", "text": ""})),
        delta(2, json!({"type": "text_delta", "text": "a"})),
        delta(
            2,
            json!({"type": "citations_delta", "citation": {"type": "x"}}),
        ),
        delta(2, json!({"type": "new_delta"})),
        stop(2),
        json!({"type": "new_event"}),
        block(
            3,
            json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
        ),
        delta(
            3,
            json!({"type": "input_json_delta", "partial_json": "{\"q\":"}),
        ),
        delta(3, json!({"type": "input_json_delta", "partial_json": "1}"})),
        stop(3),
        block(4, json!({"type": "text", "text": "", "citations": []})),
        delta(4, json!({"type": "text_delta", "text": "b"})),
        delta(
            4,
            json!({"type": "citations_delta", "citation": {"cited_text": "c"}}),
        ),
        stop(4),
        block(5, json!({"type": "text", "text": "", "citations": []})),
        delta(5, json!({"type": "text_delta", "text": "plain"})),
        stop(5),
        block(
            6,
            json!({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
        ),
        delta(6, json!({"type": "input_json_delta", "partial_json": ""})),
        stop(6),
    ];
    events.extend(end("tool_use"));
    events
}

#[test]
fn a_stream_with_everything_is_read() {
    let answer = read(&everything());
    assert_eq!(answer.parts.len(), 7);
    assert_eq!(answer.parts[2], Part::text("a"));
    let opaque = |at: usize| match &answer.parts[at] {
        Part::Opaque(opaque) => opaque.value.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(opaque(3)["input"], json!({"q": 1}));
    assert_eq!(opaque(4)["citations"], json!([{"cited_text": "c"}]));
    assert_eq!(answer.parts[5], Part::text("plain"));
    assert!(matches!(&answer.parts[6], Part::ToolCall(call) if call.arguments == "{}"));
    assert_eq!(answer.reason, FinishReason::ToolCalls);
    let tokens = Tokens {
        input: 23,
        cache_read: 5,
        cache_write: 6,
        cache_write_hour: 2,
        output: 9,
        ..Tokens::default()
    };
    assert_eq!(answer.tokens, Some(tokens));
    // And written again, the wire brings the same answer.
    let request = Request::default();
    let mut writer = stream_writer(&context(&request));
    let mut out = Vec::new();
    for event in answer.events() {
        writer.encode(&event, &mut out);
    }
    let mut assembly = Assembly::default();
    for event in decode(&mut StreamReader::default(), &split(&out)).unwrap() {
        assembly.add(event).unwrap();
    }
    assert_eq!(assembly.finish().unwrap(), answer);
}

#[test]
fn counts_may_be_missing() {
    let mut first = start();
    first["message"]["usage"] = Value::Null;
    let last =
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": null});
    let answer = read(&[first, last, json!({"type": "message_stop"})]);
    assert_eq!(answer.tokens, None);
}

#[test]
fn there_is_one_end_and_it_is_required() {
    let [last, done] = end("tool_use");
    let mut reader = StreamReader::default();
    let mut events = decode(&mut reader, &wire(&[start(), last.clone()])).unwrap();
    assert!(!reader.is_complete());
    assert_eq!(reader.end(&mut events), Err(DecodeError::Cut));
    let mut reader = StreamReader::default();
    let events = decode(
        &mut reader,
        &wire(&[start(), last.clone(), done.clone(), done, last]),
    );
    let ends = events.unwrap();
    let ends = ends
        .iter()
        .filter(|event| matches!(event, Event::Finished { .. }));
    assert_eq!(ends.count(), 1);
}

#[test]
fn mistakes_of_the_provider_are_told() {
    let call = |index, id: &str| {
        block(
            index,
            json!({"type": "tool_use", "id": id, "name": "f", "input": {}}),
        )
    };
    let fault = json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
    for (events, error) in [
        (vec![start(), fault.clone()], DecodeError::Fault(fault)),
        (
            vec![start(), call(0, "a"), stop(0), call(1, "a")],
            DecodeError::DuplicateToolId("a".to_owned()),
        ),
        (vec![start(), call(0, "")], DecodeError::IncompleteToolCall),
    ] {
        assert_eq!(
            decode(&mut StreamReader::default(), &wire(&events)),
            Err(error)
        );
    }
    for events in [
        vec![start(), stop(0)],
        vec![
            start(),
            delta(0, json!({"type": "text_delta", "text": "a"})),
        ],
        vec![start(), call(0, "a"), call(0, "b")],
        vec![start(), json!({"type": "message_stop"})],
        vec![json!([])],
    ] {
        let read = decode(&mut StreamReader::default(), &wire(&events));
        assert!(matches!(read, Err(DecodeError::Malformed(_))), "{events:?}");
    }
}

fn context(request: &Request) -> AnswerContext<'_> {
    AnswerContext {
        request,
        created: 0,
        request_id: "r1",
    }
}

#[test]
fn the_start_tells_what_was_counted_before_it() {
    let request = Request::default();
    let mut writer = stream_writer(&context(&request));
    let mut out = Vec::new();
    let tokens = Tokens {
        input: 12,
        ..Tokens::default()
    };
    let started = Event::Started {
        id: "msg_9".to_owned(),
        model: "m".to_owned(),
    };
    for event in [started, Event::Counted(tokens)] {
        writer.encode(&event, &mut out);
    }
    assert!(out.is_empty());
    let kind = PartKind::Text;
    writer.encode(&Event::PartStarted { part: 0, kind }, &mut out);
    let (name, data) = &split(&out)[0];
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(name, "message_start");
    assert_eq!(data["message"]["id"], "msg_9");
    assert_eq!(data["message"]["usage"]["input_tokens"], 12);
    assert_eq!(data["message"]["content"], json!([]));
}

#[test]
fn a_text_is_sent_on_piece_by_piece_while_calls_wait() {
    let request = Request::default();
    let mut writer = stream_writer(&context(&request));
    let mut out = Vec::new();
    let call = |id: &str| PartKind::ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
    };
    let piece = |part: usize, text: &str| Event::Delta {
        part,
        text: text.to_owned(),
    };
    for event in [
        Event::PartStarted {
            part: 0,
            kind: call("a"),
        },
        Event::PartStarted {
            part: 1,
            kind: call("b"),
        },
        piece(1, "{\"b\":"),
        piece(0, "{\"a\":"),
        piece(1, "2}"),
        piece(0, "1}"),
    ] {
        writer.encode(&event, &mut out);
    }
    let names =
        |out: &[u8]| -> Vec<String> { split(out).into_iter().map(|(name, _)| name).collect() };
    assert_eq!(
        names(&out),
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta"
        ]
    );
    out.clear();
    writer.encode(&Event::PartEnded { part: 1 }, &mut out);
    assert!(out.is_empty());
    writer.encode(&Event::PartEnded { part: 0 }, &mut out);
    assert_eq!(
        names(&out),
        [
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop"
        ]
    );
}

#[test]
fn a_failure_is_the_last_word() {
    let request = Request::default();
    let mut writer = stream_writer(&context(&request));
    let mut out = Vec::new();
    let failure = Failure {
        status: 502,
        code: "inference.network_error",
        message: "the connection broke",
        param: None,
        request_id: "r1",
    };
    writer.fail(&failure, &mut out);
    let (name, data) = &split(&out)[0];
    assert_eq!(name, "error");
    assert!(data.contains("api_error") && data.contains("the connection broke"));
    out.clear();
    let end = Event::Finished {
        reason: FinishReason::Stop,
        stop: None,
    };
    writer.encode(&end, &mut out);
    writer.fail(&failure, &mut out);
    assert!(out.is_empty());
}
