use super::super::{StreamReader, stream_writer};
use super::{assemble, context, read_stream, write_stream};
use crate::{
    Answer, DecodeError, Event, Failure, FinishReason, Part, Request, StreamEncoder, Tokens,
    ToolCall,
};
use serde_json::{Value, json};

fn wire(events: &[Value]) -> String {
    let line = |event: &Value| {
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    };
    events.iter().map(line).collect()
}

fn read(wire: &str) -> Result<Answer, DecodeError> {
    read_stream(&mut StreamReader::new(), wire).map(assemble)
}

fn response(status: &str) -> Value {
    json!({"id": "resp_1", "object": "response", "status": status, "model": "m", "output": [],
        "error": null, "tools": [{"type": "function"}], "usage": null})
}

fn created() -> Value {
    json!({"type": "response.created", "sequence_number": 0, "response": response("in_progress")})
}

fn completed() -> Value {
    let mut response = response("completed");
    response["usage"] = json!({"input_tokens": 3, "output_tokens": 2, "total_tokens": 5});
    json!({"type": "response.completed", "sequence_number": 9, "response": response})
}

#[test]
fn a_stream_of_openai_is_read() {
    let of_item = |index: u64, item: Value, what: &str| json!({"type": format!("response.output_item.{what}"), "output_index": index, "item": item});
    let thought = |sealed: Value, summary: Value| json!({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": sealed});
    let piece = |kind: &str, index: u64, summary: u64, delta: &str| {
        json!({"type": format!("response.{kind}.delta"), "output_index": index, "item_id": "x",
            "content_index": 0, "summary_index": summary, "delta": delta, "logprobs": []})
    };
    let said = json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [
        {"type": "output_text", "text": "See.", "annotations": [{"type": "url_citation"}]}]});
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed"});
    let call = |arguments: &str| json!({"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": arguments});
    let answer = read(&wire(&[
        created(),
        of_item(0, thought(json!("early"), json!([])), "added"),
        piece("reasoning_summary_text", 0, 0, "One."),
        piece("reasoning_summary_text", 0, 1, "Two."),
        of_item(0, thought(json!("gAAA"), json!([{"text": "One."}, {"text": "Two."}])), "done"),
        of_item(1, search.clone(), "added"),
        json!({"type": "response.web_search_call.searching", "output_index": 1, "delta": {"of": 1}}),
        of_item(1, search.clone(), "done"),
        of_item(2, json!({"type": "message", "id": "msg_1", "content": []}), "added"),
        piece("output_text", 2, 0, "Se"),
        piece("output_text", 2, 0, "e."),
        json!({"type": "response.output_text.done", "output_index": 2, "content_index": 0, "text": "See."}),
        of_item(2, said, "done"),
        of_item(3, call(""), "added"),
        piece("function_call_arguments", 3, 0, "{}"),
        json!({"type": "response.function_call_arguments.done", "output_index": 3, "arguments": "{}"}),
        of_item(3, call("{}"), "done"),
        completed(),
    ]))
    .unwrap();
    assert_eq!(answer.id, "resp_1");
    assert_eq!(answer.reason, FinishReason::ToolCalls);
    assert_eq!(answer.tokens.unwrap().total(), 5);
    assert_eq!(
        answer.parts[0],
        Part::Reasoning {
            text: "One.\n\nTwo.".to_owned(),
            signature: None,
            sealed: Some("gAAA".to_owned()),
            id: Some("rs_1".to_owned()),
        }
    );
    assert!(matches!(&answer.parts[1], Part::Opaque(opaque) if opaque.value == search));
    assert_eq!(answer.parts[2], Part::text("See."));
    assert!(matches!(&answer.parts[3], Part::Opaque(_)));
    assert_eq!(
        answer.parts[4],
        Part::ToolCall(ToolCall {
            id: "a".to_owned(),
            name: "f".to_owned(),
            arguments: "{}".to_owned(),
            signature: None,
        })
    );
    let request = Request::default();
    let again = write_stream(&mut stream_writer(&context(&request)), &answer.events());
    assert!(again.contains("response.output_text.annotation.added"));
    assert_eq!(read(&again).unwrap(), answer);
}

#[test]
fn items_that_only_come_whole_are_read() {
    let call = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": ""});
    let said = json!({"type": "message", "content": [{"type": "output_text", "text": "Hi."}]});
    let done = |index: u64, item: Value| json!({"type": "response.output_item.done", "output_index": index, "item": item});
    let answer = read(&wire(&[
        created(),
        done(0, said),
        done(1, call),
        completed(),
    ]))
    .unwrap();
    assert_eq!(answer.parts[0], Part::text("Hi."));
    assert!(matches!(&answer.parts[1], Part::ToolCall(call) if call.arguments == "{}"));
}

#[test]
fn a_stream_is_whole_only_by_its_end() {
    let piece = json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hi"});
    assert_eq!(
        read(&wire(&[created(), piece.clone()])),
        Err(DecodeError::Cut)
    );
    assert_eq!(read(""), Err(DecodeError::Cut));
    let mut cut = response("incomplete");
    cut["incomplete_details"] = json!({"reason": "max_output_tokens"});
    let end = json!({"type": "response.incomplete", "response": cut});
    let answer = read(&wire(&[created(), piece, end])).unwrap();
    assert_eq!(answer.reason, FinishReason::Length);
    assert_eq!(answer.parts, [Part::text("Hi")]);
}

#[test]
fn a_failure_in_a_stream_is_told_as_it_stands() {
    let mut failed = response("failed");
    failed["error"] = json!({"code": "server_error", "message": "no"});
    for event in [
        json!({"type": "response.failed", "sequence_number": 1, "response": failed}),
        json!({"type": "error", "code": "server_error", "message": "no", "param": null}),
    ] {
        let read = read(&wire(&[created(), event.clone()]));
        assert_eq!(read, Err(DecodeError::Fault(event)));
    }
}

#[test]
fn a_written_stream_has_every_event_in_its_order() {
    let request = Request::default();
    let answer = Answer {
        id: "resp_1".to_owned(),
        model: "m".to_owned(),
        parts: vec![
            Part::Reasoning {
                text: "Hm.".to_owned(),
                signature: None,
                sealed: Some("s".to_owned()),
                id: Some("rs_1".to_owned()),
            },
            Part::text("Hi."),
            Part::Refusal {
                text: "No.".to_owned(),
            },
            Part::ToolCall(ToolCall {
                id: "a".to_owned(),
                name: "f".to_owned(),
                arguments: "{}".to_owned(),
                signature: None,
            }),
        ],
        reason: FinishReason::ToolCalls,
        stop: None,
        tokens: Some(Tokens::default()),
    };
    let wire = write_stream(&mut stream_writer(&context(&request)), &answer.events());
    let mut names = Vec::new();
    for (number, block) in wire.trim_end().split("\n\n").enumerate() {
        let (name, data) = block.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["sequence_number"], number);
        assert_eq!(data["type"], name.strip_prefix("event: ").unwrap());
        names.push(
            data["type"]
                .as_str()
                .unwrap()
                .trim_start_matches("response.")
                .to_owned(),
        );
    }
    assert_eq!(
        names,
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "content_part.added",
            "refusal.delta",
            "refusal.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
}

#[test]
fn the_last_item_of_an_answer_that_was_cut_is_incomplete() {
    let request = Request::default();
    let call = Part::ToolCall(ToolCall {
        id: "a".to_owned(),
        name: "f".to_owned(),
        arguments: "{\"x\": ".to_owned(),
        signature: None,
    });
    for (parts, reason, statuses) in [
        (
            vec![Part::text("Hi."), call.clone()],
            FinishReason::Length,
            ["completed", "incomplete"],
        ),
        (
            vec![call.clone(), Part::text("Hi.")],
            FinishReason::Length,
            ["completed", "incomplete"],
        ),
        (
            vec![call.clone(), call],
            FinishReason::ToolCalls,
            ["completed", "completed"],
        ),
    ] {
        let answer = Answer {
            id: "resp_1".to_owned(),
            model: "m".to_owned(),
            parts,
            reason,
            stop: None,
            tokens: None,
        };
        let wire = write_stream(&mut stream_writer(&context(&request)), &answer.events());
        let data = wire.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        let done = events
            .iter()
            .filter(|event| event["type"] == "response.output_item.done");
        let told: Vec<&Value> = done.map(|event| &event["item"]["status"]).collect();
        assert_eq!(told, statuses);
        let output = &events.last().unwrap()["response"]["output"];
        let ended: Vec<&Value> = output
            .as_array()
            .unwrap()
            .iter()
            .map(|item| &item["status"])
            .collect();
        assert_eq!(ended, statuses);
    }
}

#[test]
fn a_failed_stream_says_so_twice_and_has_no_end() {
    let request = Request::default();
    let failure = Failure {
        status: 429,
        code: "inference.rate_limited",
        message: "Too many.",
        param: None,
        request_id: "req_1",
    };
    let started = Event::Started {
        id: "x".to_owned(),
        model: "m".to_owned(),
    };
    for events in [&[][..], &[started]] {
        let mut writer = stream_writer(&context(&request));
        let mut wire = write_stream(&mut writer, events).into_bytes();
        writer.fail(&failure, &mut wire);
        let wire = String::from_utf8(wire).unwrap();
        assert!(wire.contains("event: response.failed\n"));
        assert!(!wire.contains("response.completed"));
        let last = wire.trim_end().rsplit("data: ").next().unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["type"], "error");
        assert_eq!(last["code"], "rate_limit_exceeded");
        assert_eq!(last["error"]["message"], "Too many.");
        assert!(matches!(read(&wire), Err(DecodeError::Fault(_))));
    }
}
