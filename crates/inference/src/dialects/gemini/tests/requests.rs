//! Requests, field by field.

use super::options;
use crate::dialects::gemini::{Options, Thinking, write_request};
use crate::{
    Dialect, Effort, Extra, FileSource, Message, Opaque, OutputFormat, Part, Reasoning, Request,
    Role, Tool, ToolCall, ToolChoice,
};
use serde_json::{Map, Value, json};

fn write(request: &Request, options: &Options) -> Value {
    let written = write_request(request, options).unwrap();
    serde_json::from_slice(&written.body).unwrap()
}

fn asked(messages: Vec<Message>) -> Request {
    Request {
        messages,
        ..Request::default()
    }
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

fn call(id: &str, arguments: &str, signature: Option<&str>) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: format!("f_{id}"),
        arguments: arguments.to_owned(),
        signature: signature.map(str::to_owned),
    })
}

fn result(id: &str, is_error: bool, content: Vec<Part>) -> Part {
    Part::ToolResult {
        call_id: id.to_owned(),
        content,
        is_error,
    }
}

#[test]
fn a_conversation_with_tools() {
    let image = Part::Image {
        source: FileSource::Base64 {
            media_type: "image/png".to_owned(),
            data: "AA==".to_owned(),
        },
        detail: None,
    };
    let request = asked(vec![
        Message::text(Role::System, "one"),
        Message::text(Role::User, "go"),
        message(
            Role::Assistant,
            vec![
                call("a", "{\"x\":1}", Some("gemini:own")),
                call("b", "not json", Some("foreign")),
            ],
        ),
        message(
            Role::User,
            vec![
                Part::text("and"),
                result("b", true, vec![Part::text("bad")]),
            ],
        ),
        message(
            Role::User,
            vec![result(
                "a",
                false,
                vec![Part::text("1"), Part::text("2"), image],
            )],
        ),
        Message::text(Role::Developer, "two"),
    ]);
    assert_eq!(
        write(&request, &options()),
        json!({
            "systemInstruction": {"parts": [{"text": "one"}, {"text": "two"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "go"}]},
                {"role": "model", "parts": [
                    {"functionCall": {"id": "a", "name": "f_a", "args": {"x": 1}}, "thoughtSignature": "own"},
                    {"functionCall": {"id": "b", "name": "f_b", "args": {"invalid_arguments": "not json"}}},
                ]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "b", "name": "f_b", "response": {"error": "bad"}}},
                    {"functionResponse": {"id": "a", "name": "f_a", "response": {"output": "1\n2"},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}},
                    {"text": "and"},
                ]},
            ],
        })
    );
}

#[test]
fn a_first_call_without_a_proof_has_the_waiver_where_one_is_needed() {
    let calls = vec![call("a", "{}", None), call("b", "{}", None)];
    let request = asked(vec![message(Role::Assistant, calls)]);
    let level = Options {
        thinking: Thinking::Level,
    };
    let written = write(&request, &level);
    let parts = &written["contents"][0]["parts"];
    assert_eq!(
        parts[0]["thoughtSignature"],
        "skip_thought_signature_validator"
    );
    assert_eq!(parts[1].get("thoughtSignature"), None);
    assert_eq!(
        write(&request, &options())["contents"][0]["parts"][0].get("thoughtSignature"),
        None
    );
}

#[test]
fn thoughts_and_files() {
    let thought = |text: &str, signature: Option<&str>| Part::Reasoning {
        text: text.to_owned(),
        signature: signature.map(str::to_owned),
        sealed: None,
        id: None,
    };
    let file = |source| Part::File { source, name: None };
    let request = asked(vec![
        message(
            Role::User,
            vec![
                file(FileSource::Url("https://x/y.pdf?z".to_owned())),
                file(FileSource::Id("files/1".to_owned())),
                file(FileSource::Url("data:text/csv;base64,AA==".to_owned())),
                Part::Audio {
                    data: "AA==".to_owned(),
                    format: "wav".to_owned(),
                },
                Part::CacheMark {
                    time: String::new(),
                },
            ],
        ),
        message(
            Role::Assistant,
            vec![
                thought("hm", Some("foreign")),
                Part::text("a"),
                thought("", Some("gemini:own")),
                thought("", Some("foreign")),
            ],
        ),
    ]);
    let written = write_request(&request, &options()).unwrap();
    assert_eq!(written.dropped, ["messages[1].content[3]"]);
    let written: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(
        written["contents"],
        json!([
            {"role": "user", "parts": [
                {"fileData": {"fileUri": "https://x/y.pdf?z", "mimeType": "application/pdf"}},
                {"fileData": {"fileUri": "files/1"}},
                {"inlineData": {"mimeType": "text/csv", "data": "AA=="}},
                {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}},
            ]},
            {"role": "model", "parts": [
                {"text": "hm", "thought": true},
                {"text": "a"},
                {"text": "", "thoughtSignature": "own"},
            ]},
        ])
    );
}

#[test]
fn configuration() {
    let mut fields = Map::new();
    let _ = fields.insert("safetySettings".to_owned(), json!([]));
    let _ = fields.insert(
        "generationConfig".to_owned(),
        json!({"mediaResolution": "LOW"}),
    );
    let mut request = Request {
        output_tokens_max: Some(9),
        format: Some(OutputFormat::JsonSchema {
            name: "n".to_owned(),
            description: None,
            schema: json!({"type": "object"}),
            strict: Some(true),
        }),
        tools: vec![
            Tool::Opaque(Opaque {
                dialect: Dialect::Gemini,
                value: json!({"googleSearch": {}}),
            }),
            Tool::Function {
                name: "f".to_owned(),
                description: Some("d".to_owned()),
                parameters: Some(json!({"type": "object"})),
                strict: None,
                cache: None,
            },
        ],
        tool_choice: Some(ToolChoice::Tool("f".to_owned())),
        user: Some("u".to_owned()),
        extra: Some(Extra {
            dialect: Dialect::Gemini,
            fields,
        }),
        ..asked(vec![Message::text(Role::System, "alone")])
    };
    request.sampling.seed = Some(-5);
    request.sampling.stop = vec!["END".to_owned()];
    let written = write_request(&request, &options()).unwrap();
    assert_eq!(written.dropped, ["user"]);
    let written: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(
        written,
        json!({
            "contents": [{"role": "user", "parts": [{"text": "alone"}]}],
            "tools": [
                {"functionDeclarations": [{"name": "f", "description": "d",
                    "parametersJsonSchema": {"type": "object"}}]},
                {"googleSearch": {}},
            ],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
            "generationConfig": {"mediaResolution": "LOW", "maxOutputTokens": 9, "seed": -5,
                "stopSequences": ["END"], "responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object"}},
            "safetySettings": [],
        })
    );
}

#[test]
fn efforts_become_budgets_or_levels() {
    let thinking = |reasoning: Reasoning, thinking| {
        let request = Request {
            reasoning: Some(reasoning),
            ..asked(vec![])
        };
        write(&request, &Options { thinking })["generationConfig"]["thinkingConfig"].clone()
    };
    for (effort, budget, level) in [
        (Effort::None, 0, "MINIMAL"),
        (Effort::Minimal, 1024, "MINIMAL"),
        (Effort::Low, 1024, "LOW"),
        (Effort::Medium, 8192, "MEDIUM"),
        (Effort::High, 24_576, "HIGH"),
        (Effort::Max, 24_576, "HIGH"),
    ] {
        let reasoning = || Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        };
        let written = thinking(reasoning(), Thinking::Budget);
        assert_eq!(written, json!({ "thinkingBudget": budget }));
        let written = thinking(reasoning(), Thinking::Level);
        assert_eq!(written, json!({ "thinkingLevel": level }));
    }
    let budget = Reasoning {
        budget_tokens: Some(7),
        ..Reasoning::default()
    };
    assert_eq!(
        thinking(budget, Thinking::Level),
        json!({"thinkingBudget": 7, "includeThoughts": true})
    );
    assert_eq!(
        Options::of_model("gemini-2.5-flash").thinking,
        Thinking::Budget
    );
    assert_eq!(Options::of_model("gemini-3-pro").thinking, Thinking::Level);
}

#[test]
fn what_the_wire_cannot_say_is_refused_by_its_name() {
    let refused = |change: &dyn Fn(&mut Request)| {
        let mut request = asked(vec![]);
        change(&mut request);
        write_request(&request, &options()).unwrap_err().param
    };
    let foreign = || Opaque {
        dialect: Dialect::Anthropic,
        value: json!({"type": "hologram"}),
    };
    assert_eq!(refused(&|request| request.choices = Some(2)), "n");
    assert_eq!(refused(&|request| request.logprobs = Some(1)), "logprobs");
    assert_eq!(
        refused(&|request| request.sampling.seed = Some(i64::MAX)),
        "seed"
    );
    assert_eq!(
        refused(&|request| request.sampling.logit_bias = [("1".to_owned(), 1.0)].into()),
        "logit_bias"
    );
    assert_eq!(
        refused(&|request| request.tools = vec![Tool::Opaque(foreign())]),
        "tools[0]"
    );
    for part in [
        Part::Opaque(foreign()),
        result("nobody", false, vec![]),
        Part::Image {
            source: FileSource::Url("data:text,plain".to_owned()),
            detail: None,
        },
    ] {
        let param = refused(&|request| {
            request.messages = vec![message(Role::User, vec![part.clone()])];
        });
        assert_eq!(param, "messages[0].content[0]");
    }
}

#[test]
fn what_stands_beside_the_words_of_others_is_left_out_and_named() {
    let foreign = |dialect, value| Part::Opaque(Opaque { dialect, value });
    let cited = json!({"type": "text", "text": "So.", "citations": [{"type": "page_location"}]});
    let request = asked(vec![
        message(
            Role::Assistant,
            vec![
                foreign(Dialect::Anthropic, cited),
                foreign(Dialect::OpenAiChat, json!({"annotations": [{}]})),
            ],
        ),
        Message::text(Role::User, "And?"),
    ]);
    let written = write_request(&request, &options()).unwrap();
    assert_eq!(written.dropped, ["citations", "annotations"]);
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body["contents"][0]["parts"], json!([{"text": "So."}]));
}
