use super::super::{read_answer, write_answer, write_failure};
use super::context;
use crate::{Answer, DecodeError, Failure, FinishReason, Part, Request, Tokens, ToolCall};
use serde_json::{Value, json};

fn read(value: &Value) -> Result<Answer, DecodeError> {
    read_answer(value.to_string().as_bytes(), &Request::default())
}

fn of_message(message: Value, finish_reason: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]})
}

#[test]
fn an_answer_of_openai_is_read_with_all_that_was_counted() {
    let answer = read(&json!({
        "id": "chatcmpl-9", "object": "chat.completion", "created": 1, "model": "gpt-5-2025",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello.",
            "refusal": null, "annotations": []}, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 7, "audio_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 2,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}},
        "service_tier": "default", "system_fingerprint": "fp_1",
    }));
    assert_eq!(
        answer.unwrap(),
        Answer {
            id: "chatcmpl-9".to_owned(),
            model: "gpt-5-2025".to_owned(),
            parts: vec![Part::text("Hello.")],
            reason: FinishReason::Stop,
            stop: None,
            tokens: Some(Tokens {
                input: 19,
                cache_read: 7,
                input_audio: 1,
                output: 10,
                reasoning: 4,
                output_audio: 2,
                ..Tokens::default()
            }),
        }
    );
}

#[test]
fn thoughts_are_read_under_both_names() {
    for field in ["reasoning_content", "reasoning"] {
        let message = json!({"role": "assistant", "content": "Yes.", field: "Hm."});
        let answer = read(&of_message(message, json!("stop"))).unwrap();
        assert!(matches!(&answer.parts[0], Part::Reasoning { text, .. } if text == "Hm."));
        assert_eq!(answer.parts[1], Part::text("Yes."));
    }
}

#[test]
fn calls_are_mended_where_servers_leave_things_out() {
    let message = json!({"role": "assistant", "content": null, "tool_calls": [
        {"type": "function", "function": {"name": "f", "arguments": ""}},
        {"id": "", "function": {"name": "g", "arguments": {"x": 1}}},
    ]});
    let answer = read(&of_message(message, json!("stop"))).unwrap();
    let call = |id: &str, name: &str, arguments: &str| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            signature: None,
        })
    };
    assert_eq!(
        answer.parts,
        [
            call("call_0_0", "f", "{}"),
            call("call_0_1", "g", "{\"x\":1}")
        ]
    );
    assert_eq!(answer.reason, FinishReason::ToolCalls);
}

#[test]
fn broken_calls_and_choices_are_errors() {
    let call = |id: &str, name: Value| {
        json!({"id": id, "type": "function",
        "function": {"name": name, "arguments": "{}"}})
    };
    let twice = json!({"tool_calls": [call("a", json!("f")), call("a", json!("g"))]});
    assert_eq!(
        read(&of_message(twice, json!("tool_calls"))),
        Err(DecodeError::DuplicateToolId("a".to_owned()))
    );
    let nameless = json!({"tool_calls": [call("a", Value::Null)]});
    assert_eq!(
        read(&of_message(nameless, json!("tool_calls"))),
        Err(DecodeError::IncompleteToolCall)
    );
    let choice = |index: u64, text: &str| {
        json!({"index": index, "message": {"content": text},
        "finish_reason": "stop"})
    };
    let two = json!({"id": "x", "model": "m", "choices": [choice(1, "b"), choice(0, "a")]});
    assert!(matches!(read(&two), Err(DecodeError::Malformed(_))));
    let for_two = Request {
        choices: Some(2),
        ..Request::default()
    };
    let first = read_answer(two.to_string().as_bytes(), &for_two).unwrap();
    assert_eq!(first.parts, [Part::text("a")]);
    assert!(matches!(
        read(&json!({"choices": []})),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn a_failure_in_a_success_is_told_as_it_stands() {
    for fault in [
        json!({"error": {"message": "overloaded", "code": 503}}),
        json!({"error": "no", "choices": 5}),
    ] {
        assert_eq!(read(&fault), Err(DecodeError::Fault(fault.clone())));
    }
}

#[test]
fn an_answer_that_broke_off_is_none() {
    let call = json!({"content": null, "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\": "}}]});
    for word in [
        "abort",
        "cancelled",
        "canceled",
        "error",
        "insufficient_system_resource",
    ] {
        for message in [&json!({"content": "half"}), &call] {
            let broken = read(&of_message(message.clone(), json!(word)));
            assert!(matches!(broken, Err(DecodeError::Fault(_))), "{word}");
        }
    }
    let word = "function_call_filter: MALFORMED_FUNCTION_CALL";
    let broken = read(&of_message(call.clone(), json!(word)));
    assert!(matches!(broken, Err(DecodeError::BrokenOff(text)) if text.contains(word)));
    let silent = Err(DecodeError::Malformed(
        "the answer ended without saying why".to_owned(),
    ));
    for word in [Value::Null, json!("")] {
        assert_eq!(read(&of_message(json!({"content": "half"}), word)), silent);
    }
}

#[test]
fn ends_are_kept_apart() {
    for (word, reason) in [
        (json!("length"), FinishReason::Length),
        (json!("content_filter"), FinishReason::ContentFilter),
        (json!("max_tokens"), FinishReason::Length),
        (json!("model_length"), FinishReason::Length),
        (json!("eos"), FinishReason::Stop),
        (json!("eos_token"), FinishReason::Stop),
        (json!("stop_sequence"), FinishReason::Stop),
    ] {
        let answer = read(&of_message(json!({"content": null}), word)).unwrap();
        assert_eq!(answer.reason, reason);
        assert_eq!(answer.parts, []);
    }
    let refusal = read(&of_message(
        json!({"content": null, "refusal": "No."}),
        json!("stop"),
    ));
    assert!(matches!(&refusal.unwrap().parts[..], [Part::Refusal { text }] if text == "No."));
}

#[test]
fn a_written_answer_has_all_that_clients_expect() {
    let answer = Answer {
        id: String::new(),
        model: String::new(),
        parts: vec![
            Part::Reasoning {
                text: "Hm.".to_owned(),
                signature: Some("sig".to_owned()),
                sealed: None,
                id: None,
            },
            Part::ToolCall(ToolCall {
                id: "a".to_owned(),
                name: "f".to_owned(),
                arguments: String::new(),
                signature: Some("google".to_owned()),
            }),
        ],
        reason: FinishReason::ToolCalls,
        stop: None,
        tokens: Some(Tokens {
            input: 3,
            output: 2,
            ..Tokens::default()
        }),
    };
    let request = Request {
        model: "asked".to_owned(),
        ..Request::default()
    };
    let body: Value = serde_json::from_slice(&write_answer(&answer, &context(&request))).unwrap();
    assert_eq!(
        body,
        json!({
            "id": "chatcmpl-req_1", "object": "chat.completion", "created": 1_700_000_000,
            "model": "asked",
            "choices": [{
                "index": 0, "finish_reason": "tool_calls", "logprobs": null,
                "message": {
                    "role": "assistant", "content": null, "refusal": null,
                    "reasoning_content": "Hm.",
                    "reasoning_blocks": [{"text": "Hm.", "signature": "sig"}],
                    "tool_calls": [{"id": "a", "type": "function",
                        "function": {"name": "f", "arguments": "{}"},
                        "extra_content": {"google": {"thought_signature": "google"}}}],
                },
            }],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}},
        })
    );
}

#[test]
fn annotations_and_pictures_come_through() {
    let list = json!([{"type": "url_citation", "url_citation": {"url": "https://x.example"}}]);
    let pictures =
        json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]);
    let message = json!({"content": "See.", "annotations": list, "images": pictures});
    let answer = read(&of_message(message, json!("stop"))).unwrap();
    let request = Request::default();
    let body: Value = serde_json::from_slice(&write_answer(&answer, &context(&request))).unwrap();
    assert_eq!(body["choices"][0]["message"]["annotations"], list);
    assert_eq!(body["choices"][0]["message"]["images"], pictures);
    assert!(body.get("usage").is_none());
}

#[test]
fn a_failure_is_a_body_with_an_error() {
    let failure = Failure {
        status: 404,
        code: "inference.model_not_found",
        message: "There is no model `m`.",
        param: Some("model"),
        request_id: "req_1",
    };
    assert_eq!(
        serde_json::from_slice::<Value>(&write_failure(&failure)).unwrap(),
        json!({"error": {
            "message": "There is no model `m`.", "type": "invalid_request_error",
            "param": "model", "code": "model_not_found",
        }})
    );
}
