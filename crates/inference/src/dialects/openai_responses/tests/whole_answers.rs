use super::super::{read_answer, read_request, write_answer, write_failure};
use super::context;
use crate::{Answer, DecodeError, Failure, FinishReason, Part, Request, Tokens, ToolCall};
use serde_json::{Value, json};

fn read(value: &Value) -> Result<Answer, DecodeError> {
    read_answer(value.to_string().as_bytes())
}

fn of_output(output: Value, status: &str) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": null,
        "incomplete_details": null, "model": "m", "output": output, "usage": null})
}

#[test]
fn an_answer_of_openai_is_read_with_all_that_was_counted() {
    let mut value = of_output(
        json!([
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "See.", "logprobs": [],
                 "annotations": [{"type": "url_citation", "url": "https://x.example"}]},
                {"type": "refusal", "refusal": "No."},
            ]},
            {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "",
             "status": "completed"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        ]),
        "completed",
    );
    value["usage"] = json!({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 15});
    let answer = read(&value).unwrap();
    assert_eq!(answer.reason, FinishReason::ToolCalls);
    assert_eq!(
        answer.tokens,
        Some(Tokens {
            input: 9,
            cache_read: 4,
            output: 6,
            reasoning: 5,
            ..Tokens::default()
        })
    );
    assert!(matches!(
        &answer.parts[0],
        Part::Reasoning {
            sealed: Some(_),
            id: Some(_),
            ..
        }
    ));
    assert_eq!(answer.parts[1], Part::text("See."));
    assert!(matches!(&answer.parts[3], Part::Refusal { .. }));
    assert!(matches!(&answer.parts[4], Part::ToolCall(call) if call.arguments == "{}"));
    let request = Request::default();
    let body: Value = serde_json::from_slice(&write_answer(&answer, &context(&request))).unwrap();
    let content = &body["output"][1]["content"][0];
    assert_eq!(
        content["annotations"],
        value["output"][1]["content"][0]["annotations"]
    );
    assert_eq!(body["output"][3], value["output"][3]);
    assert_eq!(read(&body).unwrap(), answer);
}

#[test]
fn ends_and_failures_are_kept_apart() {
    let mut cut = of_output(json!([]), "incomplete");
    cut["incomplete_details"] = json!({"reason": "max_output_tokens"});
    assert_eq!(read(&cut).unwrap().reason, FinishReason::Length);
    cut["incomplete_details"] = json!({"reason": "content_filter"});
    assert_eq!(read(&cut).unwrap().reason, FinishReason::ContentFilter);
    let mut failed = of_output(json!([]), "failed");
    failed["error"] = json!({"code": "server_error", "message": "no"});
    assert_eq!(read(&failed), Err(DecodeError::Fault(failed.clone())));
    let fault = json!({"error": {"message": "no"}});
    assert_eq!(read(&fault), Err(DecodeError::Fault(fault.clone())));
    for body in [
        of_output(json!([]), "queued"),
        json!({"id": "x"}),
        json!([]),
    ] {
        assert!(
            matches!(read(&body), Err(DecodeError::Malformed(_))),
            "{body}"
        );
    }
}

#[test]
fn broken_calls_are_errors() {
    let call = |name: Value| json!({"type": "function_call", "call_id": "a", "name": name, "arguments": "{}"});
    let twice = of_output(json!([call(json!("f")), call(json!("g"))]), "completed");
    assert_eq!(
        read(&twice),
        Err(DecodeError::DuplicateToolId("a".to_owned()))
    );
    let nameless = of_output(json!([call(Value::Null)]), "completed");
    assert_eq!(read(&nameless), Err(DecodeError::IncompleteToolCall));
}

#[test]
fn a_written_answer_has_all_that_clients_expect() {
    let request = read_request(
        json!({"model": "asked", "input": "x", "instructions": "Be brief.", "metadata": {"a": "b"},
            "store": true, "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}],
            "tool_choice": "required", "reasoning": {"effort": "low"}, "text": {"verbosity": "low"}})
        .to_string()
        .as_bytes(),
    )
    .unwrap();
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
            Part::text("Hi."),
            Part::ToolCall(ToolCall {
                id: "a".to_owned(),
                name: "f".to_owned(),
                arguments: String::new(),
                signature: None,
            }),
        ],
        reason: FinishReason::Length,
        stop: None,
        tokens: Some(Tokens {
            input: 3,
            output: 2,
            ..Tokens::default()
        }),
    };
    let body: Value = serde_json::from_slice(&write_answer(&answer, &context(&request))).unwrap();
    assert_eq!(
        body,
        json!({
            "id": "resp_req_1", "object": "response", "created_at": 1_700_000_000,
            "status": "incomplete", "error": null, "incomplete_details": {"reason": "max_output_tokens"},
            "model": "asked",
            "output": [
                {"type": "reasoning", "id": "rs_unnamed_0_resp_req_1",
                 "summary": [{"type": "summary_text", "text": "Hm."}],
                 "encrypted_content": "mainstay.signature:sig"},
                {"type": "message", "id": "msg_1_resp_req_1", "status": "completed", "role": "assistant",
                 "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Hi."}]},
                {"type": "function_call", "id": "fc_2_resp_req_1", "call_id": "a", "name": "f",
                 "arguments": "{}", "status": "incomplete"},
            ],
            "usage": {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 5},
            "background": false, "instructions": "Be brief.", "max_output_tokens": null,
            "max_tool_calls": null, "metadata": {"a": "b"}, "parallel_tool_calls": true,
            "previous_response_id": null, "prompt_cache_key": null,
            "reasoning": {"effort": "low", "summary": null}, "safety_identifier": null,
            "service_tier": null, "store": false, "temperature": null,
            "text": {"format": {"type": "text"}, "verbosity": "low"}, "tool_choice": "required",
            "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}],
            "top_logprobs": 0, "top_p": null, "truncation": "disabled", "user": null,
        })
    );
    // What the caller sends back is what was answered.
    let again = read_request(
        json!({"model": "m", "input": body["output"]})
            .to_string()
            .as_bytes(),
    )
    .unwrap();
    assert_eq!(again.messages[0].parts[..2], answer.parts[..2]);
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
