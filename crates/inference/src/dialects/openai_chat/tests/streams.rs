use super::super::{StreamReader, stream_writer};
use super::{assemble, context, read_stream, write_stream};
use crate::{
    Answer, DecodeError, Event, Failure, FinishReason, Part, PartKind, Request, Sse, StreamDecoder,
    StreamEncoder, Tokens, ToolCall,
};
use serde_json::{Value, json};

fn chunk(delta: &Value, finish_reason: &Value) -> String {
    let chunk = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]});
    format!("data: {chunk}\n\n")
}

/// A stream of these deltas and this end.
fn stream(deltas: &[Value], finish_reason: &str) -> String {
    let mut wire: String = deltas
        .iter()
        .map(|delta| chunk(delta, &Value::Null))
        .collect();
    wire.push_str(&chunk(&json!({}), &json!(finish_reason)));
    wire.push_str("data: [DONE]\n\n");
    wire
}

fn read(wire: &str) -> Result<Answer, DecodeError> {
    read_stream(&mut StreamReader::new(&Request::default()), wire).map(assemble)
}

fn piece(index: Option<u64>, id: Option<&str>, name: Option<&str>, arguments: &str) -> Value {
    json!({"tool_calls": [{"index": index, "id": id, "type": "function",
        "function": {"name": name, "arguments": arguments}}]})
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        signature: None,
    })
}

#[test]
fn a_stream_of_openai_is_read() {
    let mut wire = String::from(
        "data: {\"id\":\"\",\"model\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\n",
    );
    wire.push_str(&chunk(
        &json!({"role": "assistant", "content": "", "refusal": null}),
        &Value::Null,
    ));
    wire.push_str(&chunk(&json!({"content": "Hel"}), &Value::Null));
    wire.push_str(&chunk(&json!({"content": "lo"}), &Value::Null));
    wire.push_str(&chunk(&json!({}), &json!("stop")));
    wire.push_str("data: {\"id\":\"c1\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2,\"total_tokens\":6}}\n\n");
    let mut reader = StreamReader::new(&Request::default());
    let mut events = Vec::new();
    for block in wire.split("\n\n").filter(|block| !block.is_empty()) {
        let data = block.strip_prefix("data: ").unwrap();
        reader.decode(&Sse { name: "", data }, &mut events).unwrap();
    }
    assert!(!reader.is_complete());
    reader
        .decode(
            &Sse {
                name: "",
                data: "[DONE]",
            },
            &mut events,
        )
        .unwrap();
    assert!(reader.is_complete());
    reader.end(&mut events).unwrap();
    let text = |text: &str| Event::Delta {
        part: 0,
        text: text.to_owned(),
    };
    assert_eq!(
        events,
        [
            Event::Started {
                id: "c1".to_owned(),
                model: "m".to_owned()
            },
            Event::PartStarted {
                part: 0,
                kind: PartKind::Text
            },
            text("Hel"),
            text("lo"),
            Event::PartEnded { part: 0 },
            Event::Counted(Tokens {
                input: 4,
                output: 2,
                ..Tokens::default()
            }),
            Event::Finished {
                reason: FinishReason::Stop,
                stop: None
            },
        ]
    );
}

#[test]
fn calls_are_told_apart_however_servers_number_them() {
    let two = [call("a", "f", "{\"x\":1}"), call("b", "g", "{}")];
    let ways: [&[Value]; 5] = [
        // As OpenAI does it.
        &[
            piece(Some(0), Some("a"), Some("f"), ""),
            piece(Some(0), None, None, "{\"x\""),
            piece(Some(0), None, None, ":1}"),
            piece(Some(1), Some("b"), Some("g"), "{}"),
        ],
        // Every call has the index 0 and an id of its own.
        &[
            piece(Some(0), Some("a"), Some("f"), "{\"x\":1}"),
            piece(Some(0), Some("b"), Some("g"), "{}"),
        ],
        // There is no index.
        &[
            piece(None, Some("a"), Some("f"), "{\"x\""),
            piece(None, None, None, ":1}"),
            piece(None, Some("b"), Some("g"), ""),
        ],
        // Ids and names come again with every piece.
        &[
            piece(Some(0), Some("a"), Some("f"), "{\"x\""),
            piece(Some(0), Some("a"), Some("f"), ":1}"),
            piece(Some(1), Some("b"), Some("g"), ""),
            piece(Some(1), Some("b"), Some("g"), "{}"),
        ],
        // The id comes first, the name later.
        &[
            piece(Some(0), Some("a"), None, ""),
            piece(Some(0), None, Some("f"), "{\"x\":1}"),
            piece(Some(1), Some("b"), Some("g"), "{}"),
        ],
    ];
    for deltas in ways {
        let answer = read(&stream(deltas, "stop")).unwrap();
        assert_eq!(answer.parts, two);
        assert_eq!(answer.reason, FinishReason::ToolCalls);
    }
}

#[test]
fn calls_without_ids_get_some() {
    let deltas = [
        piece(Some(0), None, Some("f"), "{\"x\":1}"),
        piece(Some(0), None, Some("f"), "{\"x\":2}"),
        piece(Some(0), None, Some("g"), "{}"),
    ];
    let answer = read(&stream(&deltas, "tool_calls")).unwrap();
    assert_eq!(
        answer.parts,
        [
            call("call_0_0", "f", "{\"x\":1}"),
            call("call_0_1", "f", "{\"x\":2}"),
            call("call_0_2", "g", "{}"),
        ]
    );
}

#[test]
fn broken_calls_end_the_stream() {
    let twice = [
        piece(Some(0), Some("a"), Some("f"), "{}"),
        piece(Some(1), Some("a"), Some("g"), "{}"),
    ];
    assert_eq!(
        read(&stream(&twice, "tool_calls")),
        Err(DecodeError::DuplicateToolId("a".to_owned()))
    );
    let nameless = [piece(Some(0), Some("a"), None, "{}")];
    assert_eq!(
        read(&stream(&nameless, "tool_calls")),
        Err(DecodeError::IncompleteToolCall)
    );
    let mixed = [
        piece(Some(0), Some("a"), Some("f"), "{}"),
        piece(Some(1), Some("b"), Some("g"), "{"),
        piece(Some(0), None, None, "}"),
    ];
    assert!(matches!(
        read(&stream(&mixed, "tool_calls")),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn pieces_of_calls_may_alternate() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), ""),
        piece(Some(0), None, None, "{\"x\""),
        piece(Some(1), Some("b"), Some("g"), "{"),
        piece(Some(0), None, None, ":1}"),
        piece(Some(1), None, None, "}"),
    ];
    let wire = stream(&deltas, "tool_calls");
    let whole = [call("a", "f", "{\"x\":1}"), call("b", "g", "{}")];
    assert_eq!(read(&wire).unwrap().parts, whole);
    let request = Request::default();
    let events = read_stream(&mut StreamReader::new(&request), &wire).unwrap();
    let written = write_stream(&mut stream_writer(&context(&request)), &events);
    assert_eq!(read(&written).unwrap().parts, whole);
}

#[test]
fn thoughts_of_all_servers_are_read() {
    for field in ["reasoning_content", "reasoning"] {
        let deltas = [
            json!({field: "H", "content": null}),
            json!({field: "m"}),
            json!({"content": "Yes"}),
        ];
        let answer = read(&stream(&deltas, "stop")).unwrap();
        assert!(matches!(&answer.parts[0], Part::Reasoning { text, .. } if text == "Hm"));
        assert_eq!(answer.parts[1], Part::text("Yes"));
    }
    let pieces =
        json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]});
    let answer = read(&stream(&[pieces, json!({"content": "Yes"})], "stop")).unwrap();
    assert_eq!(answer.parts.len(), 2);
}

#[test]
fn a_stream_is_whole_by_its_end_or_its_reason() {
    let half = chunk(&json!({"content": "Hel"}), &Value::Null);
    assert_eq!(read(&half), Err(DecodeError::Cut));
    assert_eq!(read(""), Err(DecodeError::Cut));
    let told = format!("{half}{}", chunk(&json!({}), &json!("length")));
    assert_eq!(read(&told).unwrap().reason, FinishReason::Length);
    let done = format!("{half}data: [DONE]\n\n");
    assert_eq!(read(&done).unwrap().reason, FinishReason::Stop);
    assert!(matches!(
        read("data: [DONE]\n\n"),
        Err(DecodeError::Malformed(_))
    ));
    let silent = Err(DecodeError::Malformed(
        "the answer ended without saying why".to_owned(),
    ));
    for delta in [
        json!({"role": "assistant"}),
        piece(Some(0), Some("a"), Some("f"), "{}"),
    ] {
        for word in [Value::Null, json!("")] {
            let done = format!("{}data: [DONE]\n\n", chunk(&delta, &word));
            assert_eq!(read(&done), silent);
        }
    }
    let empty = stream(&[json!({"role": "assistant"})], "length");
    assert_eq!(read(&empty).unwrap().parts, []);
    let filtered = stream(&[json!({"content": "x"})], "content_filter");
    assert_eq!(read(&filtered).unwrap().reason, FinishReason::ContentFilter);
}

#[test]
fn a_stream_that_broke_off_is_no_answer() {
    let half = piece(Some(0), Some("a"), Some("f"), "{\"x\": ");
    let nameless = piece(Some(0), Some("a"), None, "");
    for word in ["abort", "cancelled", "insufficient_system_resource"] {
        for delta in [&json!({"content": "Hel"}), &half, &nameless] {
            let broken = read(&stream(std::slice::from_ref(delta), word));
            assert!(matches!(broken, Err(DecodeError::Fault(_))), "{word}");
        }
    }
}

#[test]
fn usage_may_come_with_every_chunk() {
    let counted = |output: u64, finish_reason: Value| {
        let chunk = json!({"id": "c", "model": "m",
            "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": finish_reason}],
            "usage": {"prompt_tokens": 3, "completion_tokens": output}});
        format!("data: {chunk}\n\n")
    };
    let wire = counted(1, Value::Null) + &counted(2, json!("stop"));
    assert_eq!(read(&wire).unwrap().tokens.unwrap().output, 2);
}

#[test]
fn a_failure_in_a_stream_is_told_as_it_stands() {
    let fault = json!({"error": {"message": "overloaded", "code": 503}});
    let wire = chunk(&json!({"content": "Hel"}), &Value::Null) + &format!("data: {fault}\n\n");
    assert_eq!(read(&wire), Err(DecodeError::Fault(fault)));
    let named = "event: error\ndata: {\"message\":\"no\"}\n\n";
    assert_eq!(
        read(named),
        Err(DecodeError::Fault(json!({"message": "no"})))
    );
    assert!(matches!(
        read("data: {\"choices\":\n\n"),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn a_second_choice_is_an_error_unless_it_was_asked_for() {
    let second =
        json!({"id": "c", "model": "m", "choices": [{"index": 1, "delta": {"content": "b"}}]});
    let wire = format!("data: {second}\n\n") + &stream(&[json!({"content": "a"})], "stop");
    assert!(matches!(read(&wire), Err(DecodeError::Malformed(_))));
    let for_two = Request {
        choices: Some(2),
        ..Request::default()
    };
    let answer = read_stream(&mut StreamReader::new(&for_two), &wire).map(assemble);
    assert_eq!(answer.unwrap().parts, [Part::text("a")]);
}

#[test]
fn custom_calls_and_annotations_come_through_a_stream() {
    let deltas = [
        json!({"content": "See."}),
        json!({"annotations": [{"type": "url_citation"}], "images": []}),
        json!({"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "sel"}}]}),
        json!({"tool_calls": [{"index": 0, "custom": {"input": "ect"}}]}),
    ];
    let answer = read(&stream(&deltas, "tool_calls")).unwrap();
    let custom = json!({"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select"}});
    assert!(matches!(&answer.parts[2], Part::Opaque(opaque) if opaque.value == custom));
    let request = Request {
        stream_usage: true,
        ..Request::default()
    };
    let wire = write_stream(&mut stream_writer(&context(&request)), &answer.events());
    assert_eq!(read(&wire).unwrap(), answer);
}

#[test]
fn a_written_stream_is_what_clients_expect() {
    let request = Request {
        stream_usage: true,
        ..Request::default()
    };
    let answer = Answer {
        id: "x1".to_owned(),
        model: "m".to_owned(),
        parts: vec![Part::text("Hi"), call("a", "f", "{}")],
        reason: FinishReason::ToolCalls,
        stop: None,
        tokens: Some(Tokens {
            input: 1,
            output: 2,
            ..Tokens::default()
        }),
    };
    let wire = write_stream(&mut stream_writer(&context(&request)), &answer.events());
    let head = r#"data: {"id":"x1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":["#;
    let choice = |delta: &str, reason: &str| {
        format!(
            "{head}{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    let expected = [
        choice(r#"{"role":"assistant","content":""}"#, "null"),
        choice(r#"{"content":"Hi"}"#, "null"),
        choice(
            r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}"#,
            "null",
        ),
        choice(
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#,
            "null",
        ),
        choice("{}", "\"tool_calls\""),
        format!(
            "{head}],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3,\"prompt_tokens_details\":{{\"cached_tokens\":0,\"cache_write_tokens\":0,\"audio_tokens\":0}},\"completion_tokens_details\":{{\"reasoning_tokens\":0,\"audio_tokens\":0}}}}}}\n\n"
        ),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(wire, expected.concat());
    let silent = Request::default();
    let wire = write_stream(&mut stream_writer(&context(&silent)), &answer.events());
    assert!(!wire.contains("usage"));
}

#[test]
fn a_failed_stream_has_an_error_and_no_end() {
    let request = Request::default();
    let mut writer = stream_writer(&context(&request));
    let started = Event::Started {
        id: "x".to_owned(),
        model: "m".to_owned(),
    };
    let mut wire = write_stream(&mut writer, &[started]).into_bytes();
    let failure = Failure {
        status: 504,
        code: "inference.timeout",
        message: "The provider fell silent.",
        param: None,
        request_id: "req_1",
    };
    writer.fail(&failure, &mut wire);
    let wire = String::from_utf8(wire).unwrap();
    assert!(!wire.contains("[DONE]"));
    assert_eq!(
        read(&wire),
        Err(DecodeError::Fault(json!({"error": {
            "message": "The provider fell silent.", "type": "server_error", "param": null,
            "code": "inference.timeout",
        }})))
    );
}

#[test]
fn every_piece_of_a_call_has_a_function() {
    // The official client's stream helper stops at one without.
    let request = Request::default();
    let mut writer = stream_writer(&context(&request));
    let events = [
        Event::Started {
            id: "x".to_owned(),
            model: "m".to_owned(),
        },
        Event::PartStarted {
            part: 0,
            kind: PartKind::ToolCall {
                id: "a".to_owned(),
                name: "f".to_owned(),
            },
        },
        Event::Signature {
            part: 0,
            signature: "sig".to_owned(),
        },
    ];
    let wire = write_stream(&mut writer, &events);
    let pieces = wire.matches("\"tool_calls\"").count();
    assert_eq!((pieces, wire.matches("\"function\":{").count()), (2, 2));
}
