//! Requests as clients send them.

use super::{body, read, survives, user};
use crate::dialects::anthropic::{read_count_request, read_request, write_count};
use crate::{Dialect, Effort, FileSource, OutputFormat, Part, Reasoning, Role, Tool, ToolChoice};
use serde_json::{Value, json};

fn refusal(body: &Value) -> String {
    let error = read_request(body.to_string().as_bytes()).unwrap_err();
    assert!(!error.message.is_empty());
    error.param.unwrap_or_default()
}

#[test]
fn instructions_come_first_and_keep_their_marks() {
    let mut request = body(json!([user(json!("hi"))]));
    request["system"] = json!("be brief");
    survives(&request);
    assert_eq!(
        read(&request).messages[0],
        super::said(Role::System, "be brief")
    );
    request["system"] = json!([
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
    ]);
    survives(&request);
    let parts = &read(&request).messages[0].parts;
    assert_eq!(
        parts[0],
        Part::Text {
            text: "a".to_owned(),
            cache: Some("1h".to_owned())
        }
    );
}

#[test]
fn every_block_survives() {
    let cited = json!({"type": "document", "citations": {"enabled": true}, "title": "t",
        "source": {"type": "text", "media_type": "text/plain", "data": "plain"}});
    survives(&body(json!([
        user(json!([
            {"type": "text", "text": "see", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
             "cache_control": {"type": "ephemeral", "ttl": "5m"}},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            {"type": "document", "title": "t",
             "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}},
            {"type": "document",
             "source": {"type": "text", "media_type": "text/plain", "data": "größer"}},
            {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
            {"type": "document", "source": {"type": "content", "content": "blocks"}},
            cited,
            {"type": "search_result", "source": "s", "title": "t", "content": []},
            {"type": "text", "text": "q", "citations": [{"type": "char_location"}]},
        ])),
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "sealed"},
            {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"q": 1}},
            {"type": "web_search_tool_result", "tool_use_id": "srv", "content": []},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"big": 12345678901234567890_u64}},
        ]},
        user(json!([
            {"type": "tool_result", "tool_use_id": "a", "is_error": true, "content": [
                {"type": "text", "text": "x"},
                {"type": "image", "source": {"type": "url", "url": "u"}},
                {"type": "tool_reference", "tool_name": "f"},
            ], "cache_control": {"type": "ephemeral"}},
            {"type": "tool_result", "tool_use_id": "b", "content": "plain"},
            {"type": "tool_result", "tool_use_id": "c"},
        ])),
    ])));
}

#[test]
fn blocks_have_their_neutral_form() {
    let request = read(&body(json!([user(json!([
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
        {"type": "tool_result", "tool_use_id": "a", "content": "x", "cache_control": {"type": "ephemeral"}},
        {"type": "tool_use", "id": "b", "name": "f", "input": {"n": 1.50}, "caller": {"type": "direct"}},
        {"type": "mcp_tool_use", "id": "m"},
    ]))])));
    let parts = &request.messages[0].parts;
    assert!(
        matches!(&parts[0], Part::File { source: FileSource::Base64 { media_type, data }, .. }
        if media_type == "text/plain" && data == "aGk=")
    );
    assert!(matches!(&parts[1], Part::ToolResult { content, .. } if *content == [Part::text("x")]));
    assert_eq!(
        parts[2],
        Part::CacheMark {
            time: String::new()
        }
    );
    assert!(matches!(&parts[3], Part::ToolCall(call) if call.arguments == r#"{"n":1.5}"#));
    assert!(matches!(&parts[4], Part::Opaque(opaque) if opaque.dialect == Dialect::Anthropic));
}

#[test]
fn arguments_keep_the_bytes_that_the_client_sent() {
    let body = br#"{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[
        {"type":"tool_use","id":"a","name":"f","input":{"b":1.0e400,"a":123456789012345678901234567890}}]}]}"#;
    let request = read_request(body).unwrap();
    let Part::ToolCall(call) = &request.messages[0].parts[0] else {
        panic!("no call");
    };
    assert_eq!(
        call.arguments,
        r#"{"b":1.0e400,"a":123456789012345678901234567890}"#
    );
}

#[test]
fn proofs_ride_in_the_ids_of_calls() {
    let id = crate::dialects::anthropic::ids::with_proof("call", Some("a+/=ß")).into_owned();
    assert!(
        id.chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter))
    );
    let request = read(&body(json!([
        {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]},
        user(json!([{"type": "tool_result", "tool_use_id": id}])),
    ])));
    assert!(matches!(&request.messages[0].parts[0], Part::ToolCall(call)
        if call.id == "call" && call.signature.as_deref() == Some("a+/=ß")));
    assert!(
        matches!(&request.messages[1].parts[0], Part::ToolResult { call_id, .. } if call_id == "call")
    );
}

#[test]
fn tools_and_choices_survive() {
    let mut request = body(json!([user(json!("hi"))]));
    request["tools"] = json!([
        {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": true,
         "cache_control": {"type": "ephemeral"}, "eager_input_streaming": true},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
    ]);
    for (choice, neutral, parallel) in [
        (json!({"type": "auto"}), ToolChoice::Auto, None),
        (
            json!({"type": "any", "disable_parallel_tool_use": true}),
            ToolChoice::Required,
            Some(false),
        ),
        (
            json!({"type": "tool", "name": "f", "disable_parallel_tool_use": false}),
            ToolChoice::Tool("f".to_owned()),
            Some(true),
        ),
        (json!({"type": "none"}), ToolChoice::None, None),
    ] {
        request["tool_choice"] = choice;
        survives(&request);
        let read = read(&request);
        assert_eq!(read.tool_choice, Some(neutral));
        assert_eq!(read.parallel_tool_calls, parallel);
        assert!(
            matches!(&read.tools[0], Tool::Function { name, strict: Some(true), .. } if name == "f")
        );
        assert!(matches!(&read.tools[1], Tool::Opaque(_)));
    }
}

#[test]
fn thinking_survives() {
    let reasoning = |effort, budget_tokens| {
        Some(Reasoning {
            effort,
            budget_tokens,
            summary: None,
        })
    };
    for (thinking, effort, neutral) in [
        (
            json!({"type": "enabled", "budget_tokens": 2000}),
            None,
            reasoning(None, Some(2000)),
        ),
        (json!({"type": "disabled"}), None, reasoning(None, Some(0))),
        (json!({"type": "adaptive"}), None, reasoning(None, None)),
        (
            json!({"type": "adaptive", "display": "omitted"}),
            Some("max"),
            reasoning(Some(Effort::Max), None),
        ),
        (
            json!({"type": "between_tools"}),
            None,
            reasoning(None, None),
        ),
        (
            json!({"type": "disabled"}),
            Some("low"),
            reasoning(Some(Effort::Low), Some(0)),
        ),
        (
            Value::Null,
            Some("high"),
            reasoning(Some(Effort::High), None),
        ),
        (Value::Null, Some("beyond"), None),
    ] {
        let mut request = body(json!([user(json!("hi"))]));
        if !thinking.is_null() {
            request["thinking"] = thinking;
        }
        if let Some(effort) = effort {
            request["output_config"] = json!({ "effort": effort });
        }
        survives(&request);
        assert_eq!(read(&request).reasoning, neutral, "{request}");
    }
}

#[test]
fn the_rest_survives() {
    let mut request = body(json!([user(json!("hi"))]));
    let rest = json!({
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "new": 1},
        "stop_sequences": ["a", "b"], "temperature": 0.5, "top_p": 0.25, "top_k": 7, "stream": true,
        "metadata": {"user_id": "u", "other": 2}, "service_tier": "auto",
        "cache_control": {"type": "ephemeral"}, "container": "c", "mcp_servers": [],
    });
    for (name, value) in rest.as_object().unwrap() {
        request[name] = value.clone();
    }
    survives(&request);
    let read = read(&request);
    assert_eq!(read.user.as_deref(), Some("u"));
    assert!(read.stream);
    assert!(matches!(
        read.format,
        Some(OutputFormat::JsonSchema {
            strict: Some(false),
            ..
        })
    ));
    assert_eq!(read.extra.unwrap().fields["service_tier"], "auto");
}

fn with(name: &str, value: Value) -> Value {
    let mut body = body(json!([user(json!("hi"))]));
    body[name] = value;
    body
}

fn with_block(block: Value) -> Value {
    let text = json!({"type": "text", "text": "a"});
    with("messages", json!([user(json!([text, block]))]))
}

fn all_refused(table: &[(Value, &str)]) {
    for (body, param) in table {
        assert_eq!(&refusal(body), param, "{body}");
    }
}

#[test]
fn fields_with_mistakes_are_named() {
    let mut without = with("stream", json!(false));
    let _ = without.as_object_mut().unwrap().remove("max_tokens");
    all_refused(&[
        (without, "max_tokens"),
        (json!({"max_tokens": 1, "messages": []}), "model"),
        (json!({"model": "m", "max_tokens": 1}), "messages"),
        (json!([]), ""),
        (with("max_tokens", json!("many")), "max_tokens"),
        (with("max_tokens", json!(-1)), "max_tokens"),
        (with("model", json!(5)), "model"),
        (with("messages", json!("hi")), "messages"),
        (
            with("messages", json!([{"role": "robot", "content": ""}])),
            "messages[0].role",
        ),
        (
            with("messages", json!([{"role": "user", "content": 5}])),
            "messages[0].content",
        ),
        (with("system", json!(true)), "system"),
        (with("system", json!([{"type": "text"}])), "system[0].text"),
        (with("metadata", json!({"user_id": 5})), "metadata.user_id"),
        (with("stop_sequences", json!(["a", 5])), "stop_sequences[1]"),
        (with("temperature", json!("hot")), "temperature"),
    ]);
}

#[test]
fn tools_and_thinking_with_mistakes_are_named() {
    all_refused(&[
        (with("tools", json!([{"name": "f"}])), "tools[0]"),
        (
            with("tools", json!([{"name": "f", "input_schema": []}])),
            "tools[0].input_schema",
        ),
        (
            with("tools", json!([{"name": 1, "input_schema": {}}])),
            "tools[0].name",
        ),
        (
            with("tool_choice", json!({"type": "maybe"})),
            "tool_choice.type",
        ),
        (
            with("tool_choice", json!({"type": "tool"})),
            "tool_choice.name",
        ),
        (
            with("thinking", json!({"type": "enabled"})),
            "thinking.budget_tokens",
        ),
        (
            with("output_config", json!({"format": {"type": "json_schema"}})),
            "output_config.format.schema",
        ),
        (
            with("output_config", json!({"effort": 5})),
            "output_config.effort",
        ),
    ]);
}

#[test]
fn blocks_with_mistakes_are_named() {
    let named = |block: Value, field: &str| {
        let param = format!("messages[0].content[1]{field}");
        assert_eq!(refusal(&with_block(block)), param);
    };
    named(json!({"type": "text", "text": 5}), ".text");
    named(json!({"text": "a"}), ".type");
    named(json!(7), "");
    named(
        json!({"type": "image", "source": {"type": "url"}}),
        ".source.url",
    );
    named(json!({"type": "image", "source": 1}), ".source");
    named(
        json!({"type": "tool_use", "id": "a", "name": "f", "input": "x"}),
        ".input",
    );
    named(
        json!({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": []}]}),
        ".content[0].text",
    );
    named(
        json!({"type": "tool_result", "content": "a"}),
        ".tool_use_id",
    );
    named(
        json!({"type": "text", "text": "a", "cache_control": {"type": "forever"}}),
        ".cache_control.type",
    );
}

#[test]
fn tokens_can_be_counted() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(read_count_request(body).unwrap().output_tokens_max, None);
    assert_eq!(write_count(12), br#"{"input_tokens":12}"#);
}

#[test]
fn a_schema_with_optional_properties_is_not_said_to_be_strict() {
    let strict = |required: Value| {
        let mut body = body(json!([user(json!("x"))]));
        body["output_config"] = json!({"format": {"type": "json_schema", "schema": {
            "type": "object", "properties": {"a": {"type": "string"}}, "required": required,
            "additionalProperties": false}}});
        match read(&body).format {
            Some(OutputFormat::JsonSchema { strict, .. }) => strict,
            _ => None,
        }
    };
    assert_eq!(strict(json!(["a"])), Some(true));
    assert_eq!(strict(json!([])), Some(false));
}
