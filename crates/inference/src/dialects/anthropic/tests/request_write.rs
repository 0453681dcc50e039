//! Requests of other dialects.

use super::{asked, options, said, write};
use crate::dialects::anthropic::{Options, Thinking, write_request};
use crate::{
    Dialect, Effort, Extra, FileSource, Message, Opaque, OutputFormat, Part, Reasoning, Request,
    Role, Sampling, Tool, ToolCall, ToolChoice,
};
use serde_json::{Map, Value, json};

fn refused(request: &Request) -> String {
    write_request(request, "m", &options()).unwrap_err().param
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: arguments.to_owned(),
        signature: Some("foreign".to_owned()),
    })
}

fn result(id: &str) -> Part {
    Part::ToolResult {
        call_id: id.to_owned(),
        content: vec![Part::text("done")],
        is_error: false,
    }
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

#[test]
fn messages_of_one_role_are_merged_results_first() {
    let request = asked(vec![
        said(Role::System, "one"),
        said(Role::Developer, "two"),
        said(Role::User, "go"),
        message(
            Role::Assistant,
            vec![call("functions.f:0", ""), call("b", "{\"a\": 1}")],
        ),
        message(Role::User, vec![result("functions.f:0")]),
        said(Role::User, "and"),
        said(Role::System, "late"),
        message(Role::User, vec![result("b"), Part::text(" \n")]),
    ]);
    let written = write(&request);
    assert_eq!(
        written["system"],
        json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"},
               {"type": "text", "text": "late"}])
    );
    assert_eq!(
        written["messages"],
        json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "functions_f_0", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {"a": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "functions_f_0", "content": "done"},
                {"type": "tool_result", "tool_use_id": "b", "content": "done"},
                {"type": "text", "text": "and"},
            ]},
        ])
    );
}

#[test]
fn late_instructions_keep_their_place_where_the_model_knows_them() {
    let request = asked(vec![said(Role::User, "a"), said(Role::Developer, "late")]);
    let options = Options {
        system_in_place: true,
        ..options()
    };
    let written = write_request(&request, "m", &options).unwrap();
    let written: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(
        written["messages"][1],
        json!({"role": "system", "content": "late"})
    );
    let alone = write(&asked(vec![said(Role::System, "alone")]));
    assert_eq!(
        alone["messages"],
        json!([{"role": "user", "content": "alone"}])
    );
    assert_eq!(alone.get("system"), None);
}

#[test]
fn what_the_model_is_to_go_on_with_ends_without_white_space() {
    let request = asked(vec![
        said(Role::User, "a "),
        said(Role::Assistant, "Sure: \n"),
    ]);
    let written = write(&request);
    assert_eq!(written["messages"][0]["content"], "a ");
    assert_eq!(written["messages"][1]["content"], "Sure:");
}

#[test]
fn arguments_that_are_no_object_are_wrapped() {
    for arguments in ["{\"a\":", "[1]", "5"] {
        let request = asked(vec![message(Role::Assistant, vec![call("a", arguments)])]);
        let written = write(&request);
        let input = &written["messages"][0]["content"][0]["input"];
        assert_eq!(input, &json!({ "invalid_arguments": arguments }));
    }
}

#[test]
fn thoughts_of_others_are_left_out() {
    let thought =
        |signature: Option<&str>, sealed: Option<&str>, id: Option<&str>| Part::Reasoning {
            text: "hm".to_owned(),
            signature: signature.map(str::to_owned),
            sealed: sealed.map(str::to_owned),
            id: id.map(str::to_owned),
        };
    let parts = vec![
        thought(None, None, None),
        thought(None, Some("enc"), Some("rs_1")),
        thought(Some("sig"), None, None),
        thought(Some("gemini:sig"), None, None),
        Part::text("x"),
    ];
    let request = asked(vec![message(Role::Assistant, parts)]);
    let written = write_request(&request, "m", &options()).unwrap();
    assert_eq!(
        written.dropped,
        [
            "messages[0].content[0]",
            "messages[0].content[1]",
            "messages[0].content[3]"
        ]
    );
}

#[test]
fn sampling_that_the_wire_does_not_know_is_refused_by_its_name() {
    let sampling = |change: fn(&mut Sampling)| {
        let mut request = asked(vec![]);
        change(&mut request.sampling);
        request
    };
    let refused = |change| refused(&sampling(change));
    assert_eq!(
        refused(|how| how.frequency_penalty = Some(0.5)),
        "frequency_penalty"
    );
    assert_eq!(
        refused(|how| how.presence_penalty = Some(0.5)),
        "presence_penalty"
    );
    assert_eq!(refused(|how| how.seed = Some(1)), "seed");
    assert_eq!(refused(|how| how.temperature = Some(1.5)), "temperature");
    assert_eq!(
        refused(|how| how.logit_bias = [("1".to_owned(), 1.0)].into()),
        "logit_bias"
    );
    let harmless = Request {
        choices: Some(1),
        ..sampling(|how| {
            how.frequency_penalty = Some(0.0);
            how.presence_penalty = Some(0.0);
        })
    };
    assert!(write_request(&harmless, "m", &options()).is_ok());
}

#[test]
fn what_else_the_wire_cannot_say_is_refused_by_its_name() {
    let foreign = || Opaque {
        dialect: Dialect::Gemini,
        value: json!({"type": "hologram"}),
    };
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = asked(vec![]);
        change(&mut request);
        refused(&request)
    };
    assert_eq!(with(&|request| request.choices = Some(2)), "n");
    assert_eq!(with(&|request| request.logprobs = Some(0)), "logprobs");
    assert_eq!(
        with(&|request| request.format = Some(OutputFormat::JsonObject)),
        "response_format"
    );
    assert_eq!(
        with(&|request| request.tools = vec![Tool::Opaque(foreign())]),
        "tools[0]"
    );
    let file = |media_type: &str| Part::File {
        source: FileSource::Base64 {
            media_type: media_type.to_owned(),
            data: "/w==".to_owned(),
        },
        name: None,
    };
    let audio = Part::Audio {
        data: String::new(),
        format: "wav".to_owned(),
    };
    for part in [
        Part::Opaque(foreign()),
        audio,
        file("application/zip"),
        file("text/plain"),
    ] {
        let request = asked(vec![said(Role::User, "a"), message(Role::User, vec![part])]);
        assert_eq!(refused(&request), "messages[1].content[0]");
    }
}

#[test]
fn fields_of_others_are_named_as_left_out() {
    let mut fields = Map::new();
    let _ = fields.insert("store".to_owned(), json!(true));
    let request = Request {
        extra: Some(Extra {
            dialect: Dialect::OpenAiChat,
            fields,
        }),
        messages: vec![Message {
            name: Some("ann".to_owned()),
            ..said(Role::User, "a")
        }],
        ..asked(vec![])
    };
    let written = write_request(&request, "m", &options()).unwrap();
    assert_eq!(written.dropped, ["messages[0].name", "store"]);
}

#[test]
fn efforts_become_budgets_below_the_limit() {
    let budget = |effort, tokens: Option<u64>| {
        let request = Request {
            output_tokens_max: tokens,
            reasoning: Some(Reasoning {
                effort: Some(effort),
                ..Reasoning::default()
            }),
            ..asked(vec![said(Role::User, "a")])
        };
        let options = Options {
            thinking: Thinking::Budget,
            output_tokens_default: 200_000,
            ..options()
        };
        let written = write_request(&request, "m", &options).unwrap();
        let body: Value = serde_json::from_slice(&written.body).unwrap();
        assert!(body["thinking"]["budget_tokens"].as_u64() < body["max_tokens"].as_u64());
        (body["thinking"]["budget_tokens"].as_u64(), written.dropped)
    };
    for (effort, tokens) in [
        (Effort::Minimal, 1024),
        (Effort::Low, 4096),
        (Effort::Medium, 8192),
        (Effort::High, 16_384),
        (Effort::ExtraHigh, 32_768),
        (Effort::Max, 65_536),
    ] {
        assert_eq!(budget(effort, None).0, Some(tokens));
    }
    assert_eq!(budget(Effort::High, Some(5000)), (Some(2500), vec![]));
    assert_eq!(
        budget(Effort::High, Some(2000)),
        (None, vec!["reasoning_effort".to_owned()])
    );
}

#[test]
fn efforts_become_adaptive_thinking() {
    let request = |effort, choice| Request {
        reasoning: Some(Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        }),
        tool_choice: choice,
        ..asked(vec![said(Role::User, "a")])
    };
    let written = write(&request(Effort::Minimal, None));
    assert_eq!(written["thinking"], json!({"type": "adaptive"}));
    assert_eq!(written["output_config"], json!({"effort": "low"}));
    let written = write(&request(Effort::None, None));
    assert_eq!(written["thinking"], json!({"type": "disabled"}));
    let written = write(&request(Effort::High, Some(ToolChoice::Required)));
    assert_eq!(written.get("thinking"), None);
    assert_eq!(written["output_config"], json!({"effort": "high"}));
}

#[test]
fn a_default_limit_makes_room_for_the_budget() {
    let request = Request {
        output_tokens_max: None,
        reasoning: Some(Reasoning {
            budget_tokens: Some(10_000),
            ..Reasoning::default()
        }),
        ..asked(vec![said(Role::User, "a")])
    };
    assert_eq!(write(&request)["max_tokens"], 14_096);
}

#[test]
fn schemas_say_that_they_are_objects() {
    let tool = |parameters| Tool::Function {
        name: "f".to_owned(),
        description: None,
        parameters,
        strict: None,
        cache: None,
    };
    let request = Request {
        tools: vec![tool(None), tool(Some(json!({"properties": {}})))],
        parallel_tool_calls: Some(false),
        ..asked(vec![said(Role::User, "a")])
    };
    let written = write(&request);
    for at in 0..2 {
        assert_eq!(written["tools"][at]["input_schema"]["type"], "object");
    }
    assert_eq!(
        written["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
}

#[test]
fn models_are_known_by_their_names() {
    let old = Options::of_model("claude-sonnet-4-5-20250929");
    assert_eq!(old.thinking, Thinking::Budget);
    let new = Options::of_model("claude-opus-4-6");
    assert_eq!(new.thinking, Thinking::Adaptive);
    assert_eq!(
        Options::of_model("claude-3-haiku-20240307").output_tokens_default,
        4096
    );
}

#[test]
fn an_id_of_a_user_that_is_too_long_becomes_a_digest() {
    let user = |length| {
        let request = Request {
            user: Some("u".repeat(length)),
            ..asked(vec![said(Role::User, "a")])
        };
        write(&request)["metadata"]["user_id"].clone()
    };
    assert_eq!(user(256), json!("u".repeat(256)));
    assert_eq!(user(257).as_str().map(str::len), Some(64));
}

#[test]
fn what_stands_beside_the_words_of_others_is_left_out_and_named() {
    let annotations = Part::Opaque(Opaque {
        dialect: Dialect::OpenAiChat,
        value: json!({"annotations": [{"type": "url_citation"}]}),
    });
    let request = asked(vec![
        message(Role::Assistant, vec![Part::text("So."), annotations]),
        said(Role::User, "And?"),
    ]);
    let written = write_request(&request, "m", &options()).unwrap();
    assert_eq!(written.dropped, ["annotations"]);
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body["messages"][0]["content"], "So.");
}

#[test]
fn how_tokens_are_drawn_goes_before_thinking() {
    let thinks = |change: fn(&mut Sampling), thinking| {
        let mut request = Request {
            output_tokens_max: Some(50_000),
            reasoning: Some(Reasoning {
                effort: Some(Effort::High),
                ..Reasoning::default()
            }),
            ..asked(vec![said(Role::User, "a")])
        };
        change(&mut request.sampling);
        let options = Options {
            thinking,
            ..options()
        };
        let written = write_request(&request, "m", &options).unwrap();
        let body: Value = serde_json::from_slice(&written.body).unwrap();
        let has_thinking = body.get("thinking").is_some();
        assert_eq!(written.dropped.is_empty(), has_thinking);
        has_thinking
    };
    for way in [Thinking::Budget, Thinking::Adaptive] {
        assert!(!thinks(|how| how.temperature = Some(0.2), way));
        assert!(!thinks(|how| how.top_p = Some(0.9), way));
        assert!(!thinks(|how| how.top_k = Some(5), way));
        assert!(thinks(|how| how.temperature = Some(1.0), way));
        assert!(thinks(|how| how.top_p = Some(0.95), way));
    }
}
