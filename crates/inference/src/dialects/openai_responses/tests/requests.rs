use super::super::{read_request, write_request};
use crate::{
    Dialect, FileSource, Message, OutputFormat, Part, Request, Role, Tool, ToolCall, ToolChoice,
    Unsupported, WriteOptions,
};
use serde_json::{Value, json};

fn read(value: &Value) -> Request {
    read_request(value.to_string().as_bytes()).unwrap()
}

fn written(request: &Request) -> Value {
    let written = write_request(request, "provider-model").unwrap();
    serde_json::from_slice(&written.body).unwrap()
}

#[test]
fn text_alone_is_one_message_of_the_user() {
    let request = read(
        &json!({"model": "m", "input": "Hi.", "instructions": "Be brief.",
        "store": false, "background": false, "stream": true}),
    );
    assert_eq!(
        request,
        Request {
            model: "m".to_owned(),
            messages: vec![
                Message::text(Role::System, "Be brief."),
                Message::text(Role::User, "Hi."),
            ],
            stream: true,
            stream_usage: true,
            ..Request::default()
        }
    );
    assert_eq!(
        written(&request),
        json!({"model": "provider-model", "instructions": "Be brief.", "store": false, "stream": true,
            "input": [{"type": "message", "role": "user",
                "content": [{"type": "input_text", "text": "Hi."}]}]})
    );
}

const TURNS: &str = r#"{"model": "m", "input": [
    {"role": "developer", "content": "Be brief."},
    {"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "Look."},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "auto"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://x.example/b.pdf"},
        {"type": "input_hologram", "rays": 3}
    ]},
    {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA",
     "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
        {"type": "output_text", "text": "Wait.", "annotations": []},
        {"type": "refusal", "refusal": "No."}
    ]},
    {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}", "status": "completed"},
    {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "a", "output": "one"},
    {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "two"}]},
    {"type": "item_reference", "id": "msg_9"}
]}"#;

#[test]
fn items_become_turns() {
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed"});
    let reference = json!({"type": "item_reference", "id": "msg_9"});
    let request = read(&serde_json::from_str(TURNS).unwrap());
    let roles: Vec<Role> = request
        .messages
        .iter()
        .map(|message| message.role)
        .collect();
    assert_eq!(
        roles,
        [Role::Developer, Role::User, Role::Assistant, Role::User]
    );
    let said = &request.messages[1].parts;
    assert!(matches!(
        &said[1],
        Part::Image {
            source: FileSource::Base64 { .. },
            ..
        }
    ));
    assert!(matches!(&said[2], Part::Image { source: FileSource::Id(id), .. } if id == "file-1"));
    assert!(matches!(
        &said[4],
        Part::File {
            source: FileSource::Url(_),
            ..
        }
    ));
    let opaque = |part: &Part, value: &Value| {
        matches!(part, Part::Opaque(opaque)
            if opaque.dialect == Dialect::OpenAiResponses && opaque.value == *value)
    };
    assert!(opaque(
        &said[5],
        &json!({"type": "input_hologram", "rays": 3})
    ));
    let model = &request.messages[2].parts;
    assert_eq!(
        model[0],
        Part::Reasoning {
            text: "One.\n\nTwo.".to_owned(),
            signature: None,
            sealed: Some("gAAA".to_owned()),
            id: Some("rs_1".to_owned()),
        }
    );
    assert!(opaque(&model[1], &search));
    assert_eq!(model[2], Part::text("Wait."));
    assert!(matches!(&model[5], Part::ToolCall(ToolCall { id, .. }) if id == "b"));
    let results = &request.messages[3].parts;
    assert!(
        matches!(&results[1], Part::ToolResult { content, .. } if content[..] == [Part::text("two")])
    );
    assert!(opaque(&results[2], &reference));
    assert_eq!(read(&written(&request)).messages, request.messages);
    assert_eq!(written(&request)["input"].as_array().unwrap().len(), 10);
}

#[test]
fn every_setting_has_its_place() {
    let request = read(&json!({
        "model": "m", "input": "x", "max_output_tokens": 9, "temperature": 0.5, "top_p": 1,
        "parallel_tool_calls": false, "top_logprobs": 2, "user": "u",
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs", "file_search_call.results"],
        "reasoning": {"effort": "minimal", "summary": "auto", "mode": "pro"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "s", "strict": true,
            "schema": {"type": "object"}}},
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true},
            {"type": "web_search"},
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "metadata": {"a": "b"}, "truncation": "auto", "previous_response_id": "resp_0",
        "prompt_cache_key": "k", "of_tomorrow": true,
    }));
    assert_eq!(request.logprobs, Some(2));
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("f".to_owned())));
    assert!(matches!(&request.format, Some(OutputFormat::JsonSchema { name, .. }) if name == "s"));
    assert!(matches!(&request.tools[1], Tool::Opaque(_)));
    let again = written(&request);
    assert_eq!(
        again["include"],
        json!([
            "file_search_call.results",
            "reasoning.encrypted_content",
            "message.output_text.logprobs"
        ])
    );
    assert_eq!(
        again["reasoning"],
        json!({"effort": "minimal", "summary": "auto", "mode": "pro"})
    );
    assert_eq!(again["text"]["verbosity"], "low");
    assert_eq!(again["previous_response_id"], "resp_0");
    assert_eq!(again["store"], false);
    let mut read_again = read(&again);
    read_again.model = "m".to_owned();
    assert_eq!(read_again, request);
}

#[test]
fn a_choice_that_only_this_dialect_knows_is_kept() {
    for choice in [
        json!({"type": "allowed_tools", "mode": "auto", "tools": []}),
        json!({"type": "file_search"}),
    ] {
        let request = read(&json!({"model": "m", "input": "x", "tool_choice": choice}));
        assert_eq!(request.tool_choice, None);
        assert_eq!(written(&request)["tool_choice"], choice);
    }
}

#[test]
fn what_the_provider_keeps_may_stand_in_for_the_input() {
    for field in ["previous_response_id", "conversation", "prompt"] {
        let request = read(&json!({"model": "m", field: "x"}));
        assert!(request.messages.is_empty());
        let background = read(&json!({"model": "m", "input": "x", "background": true}));
        assert_eq!(background.extra.unwrap().fields["background"], true);
    }
}

const OPTIONS: WriteOptions<'static> = WriteOptions {
    model: "m",
    is_compatible: false,
};

type Change = fn(&mut Request);

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let base = Request {
        messages: vec![Message::text(Role::User, "x")],
        ..Request::default()
    };
    let cases: [(&str, Change); 5] = [
        ("stop", |request| {
            request.sampling.stop = vec!["END".to_owned()];
        }),
        ("top_k", |request| request.sampling.top_k = Some(1)),
        ("presence_penalty", |request| {
            request.sampling.presence_penalty = Some(0.5);
        }),
        ("logit_bias", |request| {
            request.sampling.logit_bias.insert("1".to_owned(), 1.0);
        }),
        ("n", |request| request.choices = Some(2)),
    ];
    for (name, change) in cases {
        let mut request = base.clone();
        change(&mut request);
        let Unsupported { param, .. } = write_request(&request, "m").unwrap_err();
        assert_eq!(param, name);
    }
    let mut seeded = base;
    seeded.sampling.seed = Some(1);
    seeded.sampling.presence_penalty = Some(0.0);
    assert_eq!(write_request(&seeded, "m").unwrap().dropped, ["seed"]);
}

#[test]
fn thoughts_of_others_are_left_out() {
    let thought = |sealed: Option<&str>, id: Option<&str>| Part::Reasoning {
        text: "Hm.".to_owned(),
        signature: Some("sig".to_owned()),
        sealed: sealed.map(str::to_owned),
        id: id.map(str::to_owned),
    };
    let request = Request {
        messages: vec![Message {
            role: Role::Assistant,
            parts: vec![thought(None, None), thought(Some("s"), Some("rs_1"))],
            name: None,
        }],
        ..Request::default()
    };
    let encoded = write_request(&request, "m").unwrap();
    assert_eq!(encoded.dropped, ["reasoning"]);
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(
        body["input"],
        json!([{"type": "reasoning", "id": "rs_1", "encrypted_content": "s",
            "summary": [{"type": "summary_text", "text": "Hm."}]}])
    );
}

#[test]
fn a_tool_is_strict_only_where_that_is_said() {
    let request = Request {
        messages: vec![Message::text(Role::User, "x")],
        tools: vec![Tool::Function {
            name: "f".to_owned(),
            description: None,
            parameters: None,
            strict: None,
            cache: None,
        }],
        ..Request::default()
    };
    assert_eq!(
        written(&request)["tools"],
        json!([{"type": "function", "name": "f", "parameters": null, "strict": false}])
    );
}

#[test]
fn an_id_of_a_user_that_is_too_long_becomes_a_digest() {
    let request = Request {
        user: Some("u".repeat(65)),
        ..read(&json!({"model": "m", "input": "x"}))
    };
    let user = written(&request)["user"].clone();
    assert_eq!(user.as_str().map(str::len), Some(64));
    assert_ne!(user, json!("u".repeat(64)));
}

#[test]
fn what_only_this_dialect_knows_holds_when_it_is_written_again() {
    let body = json!({
        "model": "provider-model", "store": true,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true,
            "defer_loading": true}, {"type": "tool_search"}],
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
            {"type": "message", "role": "assistant", "phase": "commentary", "content": [
                {"type": "output_text", "text": "I look.", "logprobs": [],
                 "annotations": [{"type": "url_citation", "url": "https://x.example"}]}]},
            {"type": "message", "role": "assistant", "phase": "final_answer", "content": [
                {"type": "output_text", "text": "Done.", "logprobs": [], "annotations": []}]},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "Really.", "logprobs": [], "annotations": []}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "y"}]},
        ],
    });
    let request = read(&body);
    let mut again = written(&request);
    let messages = again["input"].as_array_mut().unwrap();
    // Two messages of one phase become one.
    assert_eq!(messages[2]["content"].as_array().unwrap().len(), 2);
    let really = messages[2]["content"].as_array_mut().unwrap().pop();
    messages.insert(
        3,
        json!({"type": "message", "role": "assistant", "content": [really]}),
    );
    assert_eq!(again, body);
    let chat = Dialect::OpenAiChat.write_request(&request, &OPTIONS);
    assert_eq!(chat.unwrap_err().param, "tools[1]");
}

#[test]
fn a_failed_tools_result_says_so() {
    let output = |content: Vec<Part>| {
        let request = Request {
            messages: vec![Message {
                role: Role::User,
                parts: vec![Part::ToolResult {
                    call_id: "c".to_owned(),
                    content,
                    is_error: true,
                }],
                name: None,
            }],
            ..Request::default()
        };
        written(&request)["input"][0]["output"].clone()
    };
    assert_eq!(output(Vec::new()), "Error");
    assert_eq!(output(vec![Part::text("disk full")]), "Error: disk full");
    let picture = Part::Image {
        source: FileSource::Id("file-1".to_owned()),
        detail: None,
    };
    assert_eq!(
        output(vec![picture]),
        json!([{"type": "input_text", "text": "Error"}, {"type": "input_image", "file_id": "file-1"}])
    );
}

#[test]
fn what_chat_completions_have_alike_is_said() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}],
        "store": true, "metadata": {"a": "b"}, "verbosity": "low",
        "response_format": {"type": "json_object"}});
    let request = Dialect::OpenAiChat.read_request(body.to_string().as_bytes());
    let again = written(&request.unwrap());
    assert_eq!(again["store"], true);
    assert_eq!(again["metadata"], json!({"a": "b"}));
    assert_eq!(
        again["text"],
        json!({"format": {"type": "json_object"}, "verbosity": "low"})
    );
}
