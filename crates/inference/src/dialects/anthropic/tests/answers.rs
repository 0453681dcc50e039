//! Whole answers, and failures.

use crate::dialects::anthropic::{read_answer, write_answer, write_failure};
use crate::{Answer, AnswerContext, DecodeError, Failure, FinishReason, Part, Request, Tokens};
use serde_json::{Value, json};

fn answer(content: Value, reason: &str) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
        "content": content, "stop_reason": reason, "stop_sequence": null,
        "usage": {"input_tokens": 1, "output_tokens": 2}})
}

fn read(value: &Value) -> Result<Answer, DecodeError> {
    read_answer(value.to_string().as_bytes())
}

fn written(answer: &Answer) -> Value {
    let request = Request {
        model: "asked".to_owned(),
        ..Request::default()
    };
    let context = AnswerContext {
        request: &request,
        created: 0,
        request_id: "r1",
    };
    serde_json::from_slice(&write_answer(answer, &context)).unwrap()
}

#[test]
fn every_reason_is_known() {
    for (name, reason, back) in [
        ("end_turn", FinishReason::Stop, "end_turn"),
        ("stop_sequence", FinishReason::Stop, "stop_sequence"),
        ("tool_use", FinishReason::ToolCalls, "tool_use"),
        ("max_tokens", FinishReason::Length, "max_tokens"),
        (
            "model_context_window_exceeded",
            FinishReason::Length,
            "max_tokens",
        ),
        ("refusal", FinishReason::ContentFilter, "refusal"),
        ("pause_turn", FinishReason::Pause, "pause_turn"),
        ("something_new", FinishReason::Stop, "end_turn"),
    ] {
        let mut wire = answer(json!([]), name);
        if name == "stop_sequence" {
            wire["stop_sequence"] = json!("END");
        }
        let read = read(&wire).unwrap();
        assert_eq!(read.reason, reason);
        assert_eq!(written(&read)["stop_reason"], back);
        assert_eq!(written(&read)["stop_sequence"], wire["stop_sequence"]);
    }
}

#[test]
fn usage_is_told_whole() {
    let mut wire = answer(json!([]), "end_turn");
    wire["usage"] = json!({
        "input_tokens": 10, "output_tokens": 7, "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 40, "output_tokens_details": {"thinking_tokens": 3},
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    });
    let read = read(&wire).unwrap();
    let tokens = Tokens {
        input: 80,
        cache_read: 40,
        cache_write: 10,
        cache_write_hour: 20,
        output: 7,
        reasoning: 3,
        ..Tokens::default()
    };
    assert_eq!(read.tokens, Some(tokens));
    assert_eq!(written(&read)["usage"], wire["usage"]);
    let mut sum = wire.clone();
    let _ = sum["usage"]
        .as_object_mut()
        .unwrap()
        .remove("cache_creation");
    assert_eq!(
        super::super::read_answer(sum.to_string().as_bytes())
            .unwrap()
            .tokens
            .unwrap()
            .cache_write,
        30
    );
}

#[test]
fn blocks_of_this_dialect_alone_are_kept() {
    let content = json!([
        {"type": "text", "text": "a", "citations": [{"type": "char_location", "cited_text": "x"}]},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "x"}]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "code_execution_20250825", "tool_id": "s"}},
    ]);
    let read = read(&answer(content.clone(), "end_turn")).unwrap();
    assert!(
        read.parts
            .iter()
            .all(|part| matches!(part, Part::Opaque(_)))
    );
    assert_eq!(written(&read)["content"], content);
}

#[test]
fn calls_are_complete_and_told_apart() {
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let twice = read(&answer(json!([call("a"), call("a")]), "tool_use"));
    assert_eq!(twice, Err(DecodeError::DuplicateToolId("a".to_owned())));
    let nameless = json!([{"type": "tool_use", "id": "a", "input": {}}]);
    assert_eq!(
        read(&answer(nameless, "tool_use")),
        Err(DecodeError::IncompleteToolCall)
    );
}

#[test]
fn what_is_no_answer_is_told() {
    let failure = json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}});
    assert_eq!(read(&failure), Err(DecodeError::Fault(failure.clone())));
    let mut endless = answer(json!([]), "end_turn");
    endless["stop_reason"] = Value::Null;
    for wire in [
        json!({}),
        json!([]),
        endless,
        answer(json!([5]), "end_turn"),
    ] {
        assert!(
            matches!(read(&wire), Err(DecodeError::Malformed(_))),
            "{wire}"
        );
    }
    assert!(matches!(
        read_answer(b"<html>"),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn answers_of_others_have_what_clients_need() {
    let answer = Answer {
        id: String::new(),
        model: String::new(),
        parts: vec![Part::Refusal {
            text: "no".to_owned(),
        }],
        reason: FinishReason::Stop,
        stop: None,
        tokens: None,
    };
    let written = written(&answer);
    assert_eq!(written["id"], "msg_r1");
    assert_eq!(written["model"], "asked");
    assert_eq!(written["stop_reason"], "refusal");
    assert_eq!(written["content"], json!([{"type": "text", "text": "no"}]));
    assert_eq!(written["usage"]["input_tokens"], 0);
}

#[test]
fn failures_have_anthropics_names() {
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        let failure = Failure {
            status,
            code: "inference.x",
            message: "wrong",
            param: Some("messages[0]"),
            request_id: "r1",
        };
        let written: Value = serde_json::from_slice(&write_failure(&failure)).unwrap();
        let told = json!({"type": "error", "request_id": "r1",
            "error": {"type": kind, "message": "messages[0]: wrong", "code": "inference.x"}});
        assert_eq!(written, told);
    }
}

#[test]
fn unknown_fields_change_nothing_of_an_answer() {
    let more = |mut block: Value| {
        block["toolset_name"] = Value::Null;
        block["latency_ms"] = json!(5);
        block
    };
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}});
    let text = json!({"type": "text", "text": "x"});
    let plain = [thought, text, call];
    let told = plain.clone().map(more);
    let plain = read(&answer(json!(plain), "tool_use")).unwrap();
    assert!(matches!(
        &plain.parts[..],
        [Part::Reasoning { .. }, Part::Text { .. }, Part::ToolCall(_)]
    ));
    assert_eq!(read(&answer(json!(told), "tool_use")).unwrap(), plain);
}
