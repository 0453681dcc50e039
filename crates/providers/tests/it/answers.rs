//! Good answers, and answers that only look like one.

use crate::server::{Act, GOOD, Server, ask, events, failure, json, provider, response, settings};
use mainstay_contract::{Coded, EffectState, Message, Role, ToolCall, Usage};
use mainstay_providers::{
    HttpSettings, InferenceError, ModelAnswer, ModelRequest, ResponseLimits, ResponseProblem,
    ToolSpec,
};
use serde_json::{Value, json};

fn whole() -> ModelAnswer {
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    ModelAnswer {
        text: "Hé 🦀".to_owned(),
        tool_calls: vec![call("a", "shell", "{\"x\":1}"), call("b", "files", "{}")],
        usage: Usage {
            input_tokens: 12,
            output_tokens: 7,
        },
    }
}

async fn problem(acts: Vec<Act>) -> ResponseProblem {
    let error = failure(acts).await;
    assert_eq!(error.effect(), EffectState::Unknown);
    match error {
        InferenceError::BadResponse { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

fn stream_of(choices: &[&str]) -> Vec<Act> {
    let chunk = |choice: &&str| format!("data: {{\"choices\":[{choice}]}}\n\n");
    let body: String = choices.iter().map(chunk).collect();
    events(&format!("{body}data: [DONE]\n\n"))
}

#[tokio::test]
async fn a_stream_becomes_an_answer_and_the_request_is_as_agreed() {
    let server = Server::start(events(GOOD)).await;
    let url = format!("{}/?api-version=1", server.url);
    let call = ToolCall {
        id: "t1".into(),
        name: "shell".into(),
        arguments: "{}".into(),
    };
    let assistant = Message {
        tool_calls: vec![call],
        ..Message::text(Role::Assistant, "")
    };
    let request = ModelRequest {
        messages: vec![
            Message::text(Role::System, "be brief"),
            Message::text(Role::User, "hi"),
            assistant,
            Message::tool_result("t1", "ok"),
        ],
        tools: vec![ToolSpec {
            name: "shell".into(),
            description: "runs".into(),
            parameters: json!({"type": "object"}),
        }],
        attempt: 0,
    };
    let mut pieces = Vec::new();
    let provider = provider(settings(&url));
    let answer = provider
        .call(&request, &mut |text| pieces.push(text.to_owned()))
        .await
        .unwrap();
    assert_eq!(answer, whole());
    assert_eq!(pieces, ["Hé ", "🦀"]);
    let sent = server.requests.lock().unwrap()[0].clone();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /v1/chat/completions?api-version=1 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains("authorization: Bearer sk-live-0123456789abcdef"),
        "{head}"
    );
    let expected = json!({
        "model": "tiny-1",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "shell", "arguments": "{}"}}]},
            {"role": "tool", "content": "ok", "tool_call_id": "t1"},
        ],
        "tools": [{"type": "function", "function":
            {"name": "shell", "description": "runs", "parameters": {"type": "object"}}}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
}

#[tokio::test]
async fn a_stream_cut_at_any_byte_is_an_error_or_the_whole() {
    let chunked: String = GOOD
        .split_inclusive("\n\n")
        .map(|event| format!("{:x}\r\n{event}\r\n", event.len()))
        .collect();
    let framed = "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n";
    for (headers, body) in [
        ("content-type: text/event-stream\r\n", GOOD.to_owned()),
        (framed, format!("{chunked}0\r\n\r\n")),
    ] {
        let bytes = response(200, headers, &body);
        // What comes after the reason of the end tells no more than what was counted.
        let reason = b"\"finish_reason\":\"tool_calls\"}]}";
        let ends = |window: &[u8]| window == reason;
        let done = bytes.windows(reason.len()).rposition(ends).unwrap() + reason.len();
        let played = bytes.clone();
        let server = Server::start_with(move |cut| vec![Act::Send(played[..cut].to_vec())]).await;
        let provider = provider(settings(&server.url));
        for cut in 0..=bytes.len() {
            match ask(&*provider).await {
                Ok(answer) => {
                    assert!(
                        cut >= done,
                        "cut at byte {cut} of {} passes as whole",
                        bytes.len()
                    );
                    let (text, calls) = (answer.text, answer.tool_calls);
                    assert_eq!((text, calls), (whole().text, whole().tool_calls));
                    assert!([whole().usage, Usage::default()].contains(&answer.usage));
                }
                Err(error) => {
                    assert!(cut < bytes.len(), "the whole stream is refused: {error}");
                    assert_eq!(error.effect(), EffectState::Unknown, "{error}");
                    let is_cut = matches!(
                        error,
                        InferenceError::NetworkError { .. } | InferenceError::BadResponse { .. }
                    );
                    assert!(is_cut, "at {cut}: {error:?}");
                }
            }
        }
        assert_eq!(server.hits(), bytes.len() + 1);
    }
}

#[tokio::test]
async fn what_is_not_whole_is_no_answer() {
    let without_reason = GOOD.replace("\"finish_reason\":\"tool_calls\"", "\"finish_reason\":null");
    let without_end = without_reason.replace("data: [DONE]\n\n", "");
    assert_eq!(
        problem(events(&without_end)).await,
        ResponseProblem::CutStream
    );
    // Calls may be half of what was meant, where nothing says that they are all.
    assert_eq!(
        problem(events(&without_reason)).await,
        ResponseProblem::Malformed
    );
    let silent = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":null}]}"#;
    assert_eq!(problem(json(200, silent)).await, ResponseProblem::Malformed);
    assert_eq!(problem(events("")).await, ResponseProblem::CutStream);
    assert_eq!(
        problem(events("data: {\"choices\":[\n\n")).await,
        ResponseProblem::Malformed
    );
    assert_eq!(
        problem(events("data: {\"choices\":{}}\n\n")).await,
        ResponseProblem::Malformed
    );
    assert_eq!(
        problem(events("data: {}\n\n")).await,
        ResponseProblem::CutStream
    );
    assert_eq!(
        problem(json(200, "{\"choices\":[")).await,
        ResponseProblem::Malformed
    );
    assert_eq!(problem(json(200, "")).await, ResponseProblem::Malformed);
    assert_eq!(problem(json(200, "[]")).await, ResponseProblem::Malformed);
    let page = response(
        200,
        "content-type: text/html\r\n",
        "<html><b>Sign in</b></html>",
    );
    assert_eq!(
        problem(vec![Act::Send(page)]).await,
        ResponseProblem::NotAnAnswer
    );
    let mut broken = response(200, "content-type: text/event-stream\r\n", "data: ");
    broken.extend(b"\xff\n\n");
    assert_eq!(
        problem(vec![Act::Send(broken)]).await,
        ResponseProblem::Malformed
    );
}

#[tokio::test]
async fn an_encoding_that_was_not_asked_for_is_told_by_its_name() {
    let encoded = |status, name: &str| {
        let headers = format!("content-type: application/json\r\ncontent-encoding: {name}\r\n");
        vec![Act::Send(response(status, &headers, "\u{1f}\u{8b}\u{8}"))]
    };
    for name in ["gzip", "br"] {
        let told = failure(encoded(200, name)).await;
        let says = format!("its body is encoded as `{name}`, which was not asked for");
        assert_eq!(told.code().as_str(), "inference.bad_response");
        assert!(told.to_string().ends_with(&says), "{told}");
        let refused = failure(encoded(429, name)).await;
        assert_eq!(refused.code().as_str(), "inference.rate_limited");
        assert!(refused.to_string().ends_with(&says), "{refused}");
    }
    let plain = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    let headers = "content-type: application/json\r\ncontent-encoding: identity\r\n";
    let server = Server::start(vec![Act::Send(response(200, headers, plain))]).await;
    let answer = ask(&*provider(settings(&server.url))).await.unwrap();
    assert_eq!(answer.text, "hi");
}

#[tokio::test]
async fn servers_that_leave_out_one_of_the_two_ends_are_understood() {
    let without_done = GOOD.replace("data: [DONE]\n\n", "");
    let server = Server::start(events(&without_done)).await;
    let answer = ask(&*provider(settings(&server.url))).await.unwrap();
    assert_eq!(answer, whole());
    let server = Server::start(stream_of(&[r#"{"delta":{"content":"hi"}}"#])).await;
    let answer = ask(&*provider(settings(&server.url))).await.unwrap();
    assert_eq!(answer.text, "hi");
}

#[tokio::test]
async fn tool_calls_must_be_whole_and_apart() {
    let duplicate = GOOD.replace("\"id\":\"b\"", "\"id\":\"a\"");
    assert_eq!(
        problem(events(&duplicate)).await,
        ResponseProblem::DuplicateToolId
    );
    let nameless = GOOD.replace("\"name\":\"files\",", "");
    assert_eq!(
        problem(events(&nameless)).await,
        ResponseProblem::IncompleteToolCall
    );
    let second = r#"{"index":1,"delta":{"content":"other"}}"#;
    assert_eq!(
        problem(stream_of(&[second])).await,
        ResponseProblem::Malformed
    );
}

#[tokio::test]
async fn another_name_under_the_same_index_is_another_call() {
    let one = r#"{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"x","arguments":"{}"}}]}}"#;
    let other =
        r#"{"delta":{"tool_calls":[{"index":0,"function":{"name":"y"}}]},"finish_reason":"stop"}"#;
    let server = Server::start(stream_of(&[one, other])).await;
    let answer = ask(&*provider(settings(&server.url))).await.unwrap();
    let calls = answer.tool_calls.iter();
    let calls: Vec<_> = calls
        .map(|call| (call.id.as_str(), call.name.as_str()))
        .collect();
    assert_eq!(calls, [("a", "x"), ("call_0_1", "y")]);
}

#[tokio::test]
async fn tool_calls_without_index_or_id_are_told_apart() {
    let call = |id: &str, name: &str, index: &str| {
        format!(
            r#"{{"delta":{{"tool_calls":[{{{index}"id":"{id}","function":{{"name":"{name}","arguments":""}}}}]}}}}"#
        )
    };
    let (one, two, end) = (
        call("p", "x", "\"index\":0,"),
        call("q", "x", "\"index\":0,"),
        r#"{"finish_reason":"stop"}"#,
    );
    let (three, nameless) = (call("r", "z", ""), call("", "w", "\"index\":9,"));
    let server = Server::start(stream_of(&[&one, &two, &three, &nameless, end])).await;
    let answer = ask(&*provider(settings(&server.url))).await.unwrap();
    let ids: Vec<&str> = answer
        .tool_calls
        .iter()
        .map(|call| call.id.as_str())
        .collect();
    assert_eq!(ids, ["p", "q", "r", "call_0_3"]);
    assert!(answer.tool_calls.iter().all(|call| call.arguments == "{}"));
    assert_eq!(answer.usage, Usage::default(), "nothing is invented");
}

#[tokio::test]
async fn an_endpoint_that_does_not_stream_is_understood() {
    let body = r#"{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
    let server = Server::start(json(200, body)).await;
    let answer = ask(&*provider(settings(&server.url))).await.unwrap();
    let usage = Usage {
        input_tokens: 3,
        output_tokens: 1,
    };
    assert_eq!(
        answer,
        ModelAnswer {
            text: "hi".into(),
            tool_calls: vec![],
            usage
        }
    );
}

#[tokio::test]
async fn an_answer_that_was_stopped_is_not_passed_off_as_finished() {
    let stopped = |reason: &str| {
        let end = format!(r#"{{"delta":{{"content":"so"}},"finish_reason":"{reason}"}}"#);
        failure(stream_of(&[&end]))
    };
    let filtered = stopped("content_filter").await;
    assert_eq!(filtered.code().as_str(), "inference.content_filtered");
    assert_eq!(
        stopped("length").await.code().as_str(),
        "inference.context_length_exceeded"
    );
    for (word, code) in [
        ("error", "inference.server_error"),
        ("abort", "inference.server_error"),
        ("insufficient_system_resource", "inference.backpressure"),
    ] {
        assert_eq!(stopped(word).await.code().as_str(), code);
    }
    let refusal = r#"{"delta":{"refusal":"I will not."},"finish_reason":"stop"}"#;
    let refused = failure(stream_of(&[refusal])).await;
    assert_eq!(refused.code().as_str(), "inference.content_filtered");
    assert!(refused.to_string().ends_with("I will not."), "{refused}");
}

#[tokio::test]
async fn endless_answers_end() {
    let limits = ResponseLimits {
        body_bytes_max: 100_000,
        event_bytes_max: 10_000,
    };
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"word \"}}]}\n\n";
    let line = vec![b'x'; 1 << 20];
    for (kind, body) in [
        ("text/event-stream", chunk.repeat(10_000).into_bytes()),
        (
            "text/event-stream",
            [b"data: ".to_vec(), line.clone()].concat(),
        ),
        ("application/json", line),
    ] {
        let head = response(200, &format!("content-type: {kind}\r\n"), "");
        let server = Server::start(vec![Act::Send(head), Act::Send(body)]).await;
        let tight = HttpSettings {
            limits,
            ..settings(&server.url)
        };
        match ask(&*provider(tight)).await.unwrap_err() {
            InferenceError::BadResponse { problem, .. } => {
                assert_eq!(problem, ResponseProblem::TooLarge);
            }
            other => panic!("{other:?}"),
        }
    }
}
