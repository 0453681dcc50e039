use super::*;
use crate::{Message, Opaque, Role};
use proptest::prelude::*;
use serde_json::json;

const DIALECTS: [Dialect; 4] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::Anthropic,
    Dialect::Gemini,
];

fn asked(parts: Vec<Part>) -> Request {
    let message = Message {
        role: Role::User,
        parts,
        name: None,
    };
    Request {
        messages: vec![message],
        ..Request::default()
    }
}

fn of(request: &Request) -> u64 {
    estimate_tokens(request, Dialect::OpenAiChat)
}

#[test]
fn an_empty_request_sends_something() {
    for dialect in DIALECTS {
        assert!(estimate_tokens(&Request::default(), dialect) >= 1);
    }
}

#[test]
fn every_part_counts() {
    let image = |detail: Option<&str>| Part::Image {
        source: FileSource::Url("https://example.org/a.png".to_owned()),
        detail: detail.map(ToOwned::to_owned),
    };
    let file = |media_type: &str, bytes: usize| Part::File {
        source: FileSource::Base64 {
            media_type: media_type.to_owned(),
            data: "A".repeat(bytes / 3 * 4),
        },
        name: None,
    };
    let audio = |format: &str| Part::Audio {
        data: "A".repeat(4000),
        format: format.to_owned(),
    };
    let opaque = Opaque {
        dialect: Dialect::Gemini,
        value: json!({"a": [1, 2, "three"]}),
    };
    for (part, wanted) in [
        (image(None), 1500),
        (image(Some("low")), 100),
        (file("text/plain", 300), 300),
        (file("application/pdf", 300), 2000),
        (file("application/pdf", 300_000), 15_000),
        (audio("wav"), 6),
        (audio("mp3"), 24),
        (Part::Opaque(opaque), 16),
        (
            Part::Refusal {
                text: "no".to_owned(),
            },
            2,
        ),
    ] {
        let tokens = of(&asked(vec![part.clone()])) - of(&asked(vec![]));
        assert_eq!(tokens, wanted, "{part:?}");
        let result = Part::ToolResult {
            call_id: "c".to_owned(),
            content: vec![part],
            is_error: false,
        };
        let nested = of(&asked(vec![result])) - of(&asked(vec![]));
        assert_eq!(nested, wanted + PER_TOOL);
    }
}

#[test]
fn tools_and_schemas_count() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let plain = asked(vec![Part::text("x")]);
    let mut with_tool = plain.clone();
    with_tool.tools = vec![Tool::Function {
        name: "weather".to_owned(),
        description: Some("what it is like outside".to_owned()),
        parameters: Some(schema.clone()),
        strict: None,
        cache: None,
    }];
    let words = ["weather", "what it is like outside", &schema.to_string()];
    let words: u64 = words.into_iter().map(estimate_text).sum();
    let more = of(&with_tool) - of(&plain) - PER_TOOL;
    assert!((words - 3..=words).contains(&more), "{more} {words}");
    assert_eq!(
        estimate_tokens(&with_tool, Dialect::Anthropic) - of(&with_tool),
        ANTHROPIC_TOOLS
    );
    let mut with_format = plain.clone();
    with_format.format = Some(OutputFormat::JsonSchema {
        name: "w".to_owned(),
        description: None,
        schema,
        strict: None,
    });
    assert!(of(&with_format) > of(&plain));
}

#[test]
fn fields_that_are_handed_on_count_once() {
    let read = |body: &serde_json::Value| {
        let request = Dialect::OpenAiChat.read_request(body.to_string().as_bytes());
        of(&request.unwrap())
    };
    let plain = json!({
        "model": "m", "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "w", "schema": {"type": "object"}}},
        "max_tokens": 5, "temperature": 1, "stop": ["a"], "user": "u",
    });
    let tools_and_all = read(&plain);
    assert!(tools_and_all < 75, "{tools_and_all}");
    let text = "a word or two ".repeat(1000);
    for (field, value) in [
        ("prediction", json!({"type": "content", "content": text})),
        ("guided_json", json!({"enum": [text]})),
        ("documents", json!([{"text": text}])),
        ("metadata", json!({"note": text})),
    ] {
        let mut body = plain.clone();
        body[field] = value;
        let more = read(&body) - tools_and_all;
        let words = estimate_text(&text);
        assert!(
            (words..words + 30).contains(&more),
            "{field}: {more} {words}"
        );
    }
}

proptest! {
    #[test]
    fn more_is_never_estimated_as_less(texts in proptest::collection::vec(".{0,40}", 0..6), more in ".{0,40}") {
        let messages = texts.iter().map(|text| Message::text(Role::User, text.as_str()));
        let one = Request { messages: messages.collect(), ..Request::default() };
        let mut longer = one.clone();
        longer.messages.push(Message::text(Role::Assistant, more.as_str()));
        let mut wider = one.clone();
        if let Some(message) = wider.messages.first_mut() {
            message.parts.push(Part::text(more.as_str()));
        }
        for dialect in DIALECTS {
            let tokens = estimate_tokens(&one, dialect);
            prop_assert!(tokens >= 1);
            prop_assert!(estimate_tokens(&longer, dialect) > tokens);
            prop_assert!(estimate_tokens(&wider, dialect) >= tokens);
        }
    }
}
