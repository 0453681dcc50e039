use super::super::{Flavour, read_request, write_request};
use super::EVERYTHING;
use crate::{
    Dialect, FileSource, Message, OutputFormat, Part, Reasoning, Request, Role, ToolCall,
    ToolChoice, Unsupported,
};
use serde_json::{Value, json};

fn read(value: &Value) -> Request {
    read_request(value.to_string().as_bytes()).unwrap()
}

fn refused(value: &Value) -> Option<String> {
    read_request(value.to_string().as_bytes())
        .unwrap_err()
        .param
}

fn written(request: &Request, flavour: &Flavour) -> Value {
    let written = write_request(request, "provider-model", flavour).unwrap();
    serde_json::from_slice(&written.body).unwrap()
}

const CONVERSATION: &str = r#"{
  "model": "gpt-5",
  "messages": [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "name": "ada", "content": [
      {"type": "text", "text": "Compare."},
      {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
      {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
      {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
      {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
      {"type": "file", "file": {"file_id": "file-1"}},
      {"type": "hologram", "rays": 3}
    ]},
    {"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [
      {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}, "extra_content": {"google": {"thought_signature": "sig"}}},
      {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]},
    {"role": "tool", "tool_call_id": "a", "content": "one"},
    {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}]},
    {"role": "assistant", "content": [
      {"type": "text", "text": "No:"},
      {"type": "refusal", "refusal": "I won't."}
    ]},
    {"role": "developer", "content": "Try again."}
  ]
}"#;

#[test]
fn a_conversation_with_tools_is_read_whole() {
    let request = read(&serde_json::from_str(CONVERSATION).unwrap());
    assert_eq!(request.messages.len(), 6);
    let parts = &request.messages[1].parts;
    assert_eq!(request.messages[1].name.as_deref(), Some("ada"));
    assert_eq!(
        parts[1],
        Part::Image {
            source: FileSource::Base64 {
                media_type: "image/png".to_owned(),
                data: "iVBO".to_owned()
            },
            detail: Some("low".to_owned())
        }
    );
    assert!(matches!(
        &parts[2],
        Part::Image {
            source: FileSource::Url(_),
            ..
        }
    ));
    assert!(matches!(&parts[3], Part::Audio { format, .. } if format == "wav"));
    assert!(matches!(&parts[5], Part::File { source: FileSource::Id(id), .. } if id == "file-1"));
    assert!(matches!(&parts[6], Part::Opaque(opaque) if opaque.dialect == Dialect::OpenAiChat));
    let call = |id: &str, arguments: &str, signature: Option<&str>| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "f".to_owned(),
            arguments: arguments.to_owned(),
            signature: signature.map(str::to_owned),
        })
    };
    assert_eq!(
        request.messages[2].parts[1..],
        [call("a", "{\"x\":1}", Some("sig")), call("b", "{}", None)]
    );
    let result = |id: &str, text: &str| Part::ToolResult {
        call_id: id.to_owned(),
        content: vec![Part::text(text)],
        is_error: false,
    };
    assert_eq!(
        request.messages[3],
        Message {
            role: Role::User,
            parts: vec![result("a", "one"), result("b", "two")],
            name: None
        }
    );
    assert!(matches!(&request.messages[4].parts[1], Part::Refusal { text } if text == "I won't."));
    assert_eq!(request.messages[5].role, Role::Developer);
    let again = written(&request, &EVERYTHING);
    assert_eq!(read(&again).messages, request.messages);
    assert_eq!(again["messages"].as_array().unwrap().len(), 7);
}

#[test]
fn every_setting_has_its_place() {
    let request = read(&json!({
        "model": "m", "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 5, "max_completion_tokens": 7, "temperature": 1, "top_p": 0.5, "top_k": 3,
        "frequency_penalty": 0.1, "presence_penalty": -0.1, "seed": -4, "stop": "END",
        "logit_bias": {"50256": -100}, "n": 2, "logprobs": true, "top_logprobs": 3,
        "reasoning_effort": "xhigh", "stream": true, "user": "u", "parallel_tool_calls": false,
        "stream_options": {"include_usage": true, "include_obfuscation": false},
        "metadata": {"a": "b"}, "store": true, "service_tier": "flex", "of_tomorrow": [1, null],
        "verbosity": "low", "audio": null,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "s", "strict": true, "schema": {"type": "object"}}},
    }));
    assert_eq!(request.output_tokens_max, Some(7));
    assert_eq!(request.sampling.stop, ["END"]);
    assert_eq!(request.sampling.temperature, Some(1.0));
    assert_eq!(request.sampling.logit_bias["50256"], -100.0);
    assert_eq!((request.choices, request.logprobs), (Some(2), Some(3)));
    assert!(request.stream && request.stream_usage);
    assert!(matches!(
        &request.format,
        Some(OutputFormat::JsonSchema {
            strict: Some(true),
            ..
        })
    ));
    let names: Vec<&String> = request.extra.as_ref().unwrap().fields.keys().collect();
    assert_eq!(
        names,
        [
            "stream_options",
            "metadata",
            "store",
            "service_tier",
            "of_tomorrow",
            "verbosity"
        ]
    );
    let again = written(&request, &EVERYTHING);
    assert_eq!(
        again["stream_options"],
        json!({"include_usage": true, "include_obfuscation": false})
    );
    assert_eq!(again["of_tomorrow"], json!([1, null]));
    let mut read_again = read(&again);
    read_again.model = "m".to_owned();
    assert_eq!(read_again, request);
}

#[test]
fn all_tools_and_choices_are_kept() {
    let custom = json!({"type": "custom", "custom": {"name": "sql", "format": {"type": "text"}}});
    let base = json!({
        "model": "m", "messages": [{"role": "user", "content": "x"}],
        "tools": [
            {"type": "function", "function": {"name": "f", "strict": false, "parameters": {"type": "object"}}},
            custom,
        ],
    });
    let with = |choice: Value| {
        let mut value = base.clone();
        value["tool_choice"] = choice;
        value
    };
    let choices = [
        (json!("auto"), Some(ToolChoice::Auto)),
        (json!("none"), Some(ToolChoice::None)),
        (json!("required"), Some(ToolChoice::Required)),
        (
            json!({"type": "function", "function": {"name": "f"}}),
            Some(ToolChoice::Tool("f".to_owned())),
        ),
        (json!({"type": "custom", "custom": {"name": "sql"}}), None),
        (
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}),
            None,
        ),
    ];
    for (wire, choice) in choices {
        let request = read(&with(wire.clone()));
        assert_eq!(request.tool_choice, choice);
        let again = written(&request, &EVERYTHING);
        assert_eq!(again["tool_choice"], wire);
        assert_eq!(again["tools"], base["tools"]);
    }
    assert_eq!(refused(&with(json!("any"))).as_deref(), Some("tool_choice"));
    assert_eq!(
        refused(&with(json!({"type": "function"}))).as_deref(),
        Some("tool_choice.function")
    );
}

#[test]
fn a_custom_tools_call_keeps_its_place_among_the_calls() {
    let value = json!({"model": "m", "messages": [{"role": "assistant", "content": "", "tool_calls": [
        {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},
    ]}]});
    let again = written(&read(&value), &EVERYTHING);
    assert_eq!(
        again["messages"][0]["tool_calls"],
        value["messages"][0]["tool_calls"]
    );
}

#[test]
fn servers_get_the_names_they_know() {
    let request = Request {
        model: "m".to_owned(),
        messages: vec![
            Message::text(Role::Developer, "Be brief."),
            Message {
                role: Role::Assistant,
                parts: vec![
                    Part::Reasoning {
                        text: "Hm.".to_owned(),
                        signature: Some("sig".to_owned()),
                        sealed: None,
                        id: None,
                    },
                    Part::text("Yes."),
                ],
                name: None,
            },
        ],
        output_tokens_max: Some(9),
        ..Request::default()
    };
    assert_eq!(
        written(&request, &Flavour::openai()),
        json!({
            "model": "provider-model",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "assistant", "content": "Yes."},
            ],
            "max_completion_tokens": 9,
        })
    );
    assert_eq!(
        written(&request, &Flavour::compatible()),
        json!({
            "model": "provider-model",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."},
            ],
            "max_tokens": 9,
        })
    );
    let dropped = write_request(&request, "m", &Flavour::openai())
        .unwrap()
        .dropped;
    assert_eq!(dropped, ["reasoning_content"]);
    let streamed = Request {
        stream: true,
        ..request
    };
    assert_eq!(
        written(&streamed, &Flavour::openai())["stream_options"],
        json!({"include_usage": true})
    );
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let of_part = |part: Part| Request {
        messages: vec![Message {
            role: Role::User,
            parts: vec![part],
            name: None,
        }],
        ..Request::default()
    };
    let refused = |request: &Request| {
        let Unsupported { param, .. } =
            write_request(request, "m", &Flavour::openai()).unwrap_err();
        param
    };
    let image = Part::Image {
        source: FileSource::Id("f".to_owned()),
        detail: None,
    };
    assert_eq!(refused(&of_part(image.clone())), "messages[0].content[0]");
    let file = Part::File {
        source: FileSource::Url("https://x.example/a.pdf".to_owned()),
        name: None,
    };
    assert_eq!(refused(&of_part(file)), "messages[0].content[0]");
    let result = Part::ToolResult {
        call_id: "c".to_owned(),
        content: vec![image],
        is_error: false,
    };
    assert_eq!(refused(&of_part(result)), "messages[0].content[0]");
    let mut request = Request::default();
    request.sampling.top_k = Some(4);
    assert_eq!(refused(&request), "top_k");
}

#[test]
fn a_budget_of_thought_becomes_an_effort_and_is_named() {
    let request = Request {
        reasoning: Some(Reasoning {
            budget_tokens: Some(4_096),
            ..Reasoning::default()
        }),
        ..Request::default()
    };
    let encoded = write_request(&request, "m", &Flavour::openai()).unwrap();
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(body["reasoning_effort"], "medium");
    assert_eq!(encoded.dropped, ["reasoning.budget_tokens"]);
}

#[test]
fn a_failed_tools_result_says_so() {
    let request = Request {
        messages: vec![Message {
            role: Role::User,
            parts: vec![Part::ToolResult {
                call_id: "c".to_owned(),
                content: vec![Part::text("disk full")],
                is_error: true,
            }],
            name: None,
        }],
        ..Request::default()
    };
    let encoded = write_request(&request, "m", &Flavour::openai()).unwrap();
    assert!(encoded.dropped.is_empty());
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(body["messages"][0]["content"], "Error: disk full");
}

#[test]
fn an_id_of_a_user_that_is_too_long_becomes_a_digest() {
    let request = Request {
        user: Some("u".repeat(65)),
        ..Request::default()
    };
    for flavour in [Flavour::openai(), Flavour::compatible()] {
        let user = written(&request, &flavour)["user"].clone();
        assert_eq!(user.as_str().map(str::len), Some(64));
        assert_ne!(user, json!("u".repeat(64)));
    }
}

#[test]
fn a_text_with_citations_of_another_dialect_keeps_its_words() {
    let cited = || {
        Part::Opaque(crate::Opaque {
            dialect: Dialect::Anthropic,
            value: json!({"type": "text", "text": "So.", "citations": [{"type": "page_location"}]}),
        })
    };
    let result = Part::ToolResult {
        call_id: "c".to_owned(),
        content: vec![cited()],
        is_error: false,
    };
    let said = |role, part| Message {
        role,
        parts: vec![part],
        name: None,
    };
    let request = Request {
        messages: vec![said(Role::Assistant, cited()), said(Role::User, result)],
        ..Request::default()
    };
    let encoded = write_request(&request, "m", &Flavour::openai()).unwrap();
    assert_eq!(encoded.dropped, ["citations"]);
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(body["messages"][0]["content"], "So.");
    assert_eq!(body["messages"][1]["content"], "So.");
}

#[test]
fn what_responses_have_alike_goes_to_openai_and_to_no_other() {
    let body = json!({"model": "m", "input": "x", "store": true, "service_tier": "flex",
        "text": {"verbosity": "low"}});
    let request = Dialect::OpenAiResponses.read_request(body.to_string().as_bytes());
    let request = request.unwrap();
    let openai = written(&request, &Flavour::openai());
    for (field, value) in [
        ("store", json!(true)),
        ("service_tier", json!("flex")),
        ("verbosity", json!("low")),
    ] {
        assert_eq!(openai[field], value);
    }
    let compatible = write_request(&request, "m", &Flavour::compatible()).unwrap();
    assert_eq!(compatible.dropped, ["store", "service_tier", "text"]);
}

#[test]
fn pictures_of_results_are_shown_behind_the_results_of_the_turn() {
    let url = "data:image/png;base64,AA==";
    let picture = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}});
    let result = |id: &str, content: Value| json!({"type": "tool_result", "tool_use_id": id, "content": content});
    let text = |text: &str| json!({"type": "text", "text": text});
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "look", "input": {}});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "assistant", "content": [call("a"), call("b")]},
        {"role": "user", "content": [result("a", json!([text("seen"), picture]))]},
        {"role": "user", "content": [result("b", json!([picture])), text("So?")]},
        {"role": "assistant", "content": [call("c")]},
        {"role": "user", "content": [result("c", json!([picture]))]},
    ]});
    let request = Dialect::Anthropic.read_request(body.to_string().as_bytes());
    let request = request.unwrap();
    let sent = written(&request, &Flavour::openai());
    let image = json!({"type": "image_url", "image_url": {"url": url}});
    let next = "The result is in the next message of the user.";
    assert_eq!(
        sent["messages"].as_array().unwrap()[1..],
        [
            json!({"role": "tool", "tool_call_id": "a", "content": "seen"}),
            json!({"role": "tool", "tool_call_id": "b", "content": next}),
            json!({"role": "user", "content": [
                text("The result of the call a:"), image,
                text("The result of the call b:"), image, text("So?"),
            ]}),
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ]}),
            json!({"role": "tool", "tool_call_id": "c", "content": next}),
            json!({"role": "user", "content": [text("The result of the call c:"), image]}),
        ]
    );
    let sent = written(&request, &Flavour::compatible());
    assert_eq!(sent["messages"][1]["content"], json!([text("seen"), image]));
    let options = crate::WriteOptions {
        model: "m",
        is_compatible: false,
    };
    let sent = Dialect::OpenAiResponses.write_request(&request, &options);
    let sent: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
    assert_eq!(
        sent["input"][3]["output"],
        json!([{"type": "input_image", "image_url": url}])
    );
}
