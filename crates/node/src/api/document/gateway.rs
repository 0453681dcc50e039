//! The routes below `/v1`, as clients of OpenAI and Anthropic use them: what a request has to have, and what
//! comes back. Requests may hold every other field of their dialect.

use super::paths::Entry;
use super::schemas::{boolean, integer, list, object, or_null, reference, string, words};
use serde_json::{Map, Value, json};

/// Whose words a route speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    OpenAi,
    Anthropic,
}

/// What can be wrong with any request, and with none of ours.
const REFUSALS: &[(&str, &str)] = &[
    (
        "400",
        "The request cannot be read, or its model's provider refuses it",
    ),
    ("401", "The key is missing or unknown"),
    (
        "402",
        "A budget, or the provider's account, is used up: trying again does not help",
    ),
    (
        "403",
        "The key may not use the model, or the caller may not reach this node",
    ),
    ("404", "There is no such model"),
    ("405", "The path answers another method"),
    ("413", "The body is too large"),
    ("422", "The operator's key was refused at the provider"),
    (
        "429",
        "A limit, of this node or of the provider; `Retry-After` says for how long",
    ),
    ("500", "A fault of this node"),
    ("502", "The provider failed, or could not be understood"),
    (
        "503",
        "The provider is overloaded, or is left alone for a while",
    ),
    ("504", "The provider did not answer in time"),
];

pub(super) fn operations() -> Vec<Entry> {
    let openai = Dialect::OpenAi;
    let anthropic = Dialect::Anthropic;
    let streams = |kind: &str| {
        let text = format!("Server-sent events, where `stream` is true; {kind}");
        json!({ "description": text })
    };
    let chat = answers(
        openai,
        "chatCompletions",
        "Answer a conversation (OpenAI's Chat Completions)",
    )
    .with_body("ChatRequest")
    .answer("ChatCompletion")
    .events(streams("the last is `[DONE]`"));
    let responses = answers(
        openai,
        "responses",
        "Answer a conversation (OpenAI's Responses)",
    )
    .with_body("ResponsesRequest")
    .answer("Response")
    .events(streams(
        "the last is `response.completed`, `response.incomplete` or `response.failed`",
    ));
    let messages = answers(
        anthropic,
        "messages",
        "Answer a conversation (Anthropic's Messages)",
    )
    .with_body("MessagesRequest")
    .answer("AnthropicMessage")
    .events(streams("the last is `message_stop` or `error`"));
    let count = answers(
        anthropic,
        "countTokens",
        "Estimate the tokens of a conversation",
    )
    .with_body("CountRequest")
    .answer("TokenCount");
    let embeddings = answers(openai, "embeddings", "Turn texts into vectors")
        .with_body("EmbeddingsRequest")
        .answer("EmbeddingList");
    let models = answers(
        openai,
        "listServedModels",
        "The models that the key may use",
    )
    .answer_one_of(&["ModelList", "AnthropicModelList"]);
    let model = answers(
        openai,
        "getServedModel",
        "One model; its name may hold slashes",
    )
    .named("model")
    .answer_one_of(&["GatewayModel", "AnthropicModel"]);
    vec![
        ("/v1/chat/completions", "post", chat.0),
        ("/v1/responses", "post", responses.0),
        ("/v1/messages", "post", messages.0),
        ("/v1/messages/count_tokens", "post", count.0),
        ("/v1/embeddings", "post", embeddings.0),
        ("/v1/models", "get", models.0),
        ("/v1/models/{model}", "get", model.0),
    ]
}

/// An operation, put together.
struct Operation(Value);

fn answers(dialect: Dialect, id: &str, summary: &str) -> Operation {
    let name = match dialect {
        Dialect::OpenAi => "OpenAiFailure",
        Dialect::Anthropic => "AnthropicFailure",
    };
    let refusal = |(status, description): &(&str, &str)| {
        let headers = json!({
            "X-Mainstay-Code": { "description": "The code of the failure", "schema": string() },
            "X-Request-Id": { "schema": string() },
        });
        let content = json!({ "application/json": { "schema": reference(name) } });
        let response =
            json!({ "description": description, "headers": headers, "content": content });
        ((*status).to_owned(), response)
    };
    let responses: Map<String, Value> = REFUSALS.iter().map(refusal).collect();
    Operation(json!({
        "operationId": id, "summary": summary, "responses": responses,
        "security": [{ "bearer": [] }, { "api_key": [] }, {}],
    }))
}

impl Operation {
    fn with_body(mut self, name: &str) -> Self {
        let content = json!({ "application/json": { "schema": reference(name) } });
        self.0["requestBody"] = json!({ "required": true, "content": content });
        self
    }

    fn answer(self, name: &str) -> Self {
        self.media("application/json", reference(name))
    }

    fn answer_one_of(self, names: &[&str]) -> Self {
        let names: Vec<Value> = names.iter().map(|name| reference(name)).collect();
        self.media("application/json", json!({ "anyOf": names }))
    }

    fn events(self, schema: Value) -> Self {
        self.media("text/event-stream", schema)
    }

    fn media(mut self, media: &str, schema: Value) -> Self {
        let response = &mut self.0["responses"]["200"];
        response["description"] = json!("Done");
        response["content"][media] = json!({ "schema": schema });
        self
    }

    fn named(mut self, name: &str) -> Self {
        let schema = json!({ "type": "string", "minLength": 1 });
        self.0["parameters"] =
            json!([{ "name": name, "in": "path", "required": true, "schema": schema }]);
        self
    }
}

pub(super) fn schemas() -> Value {
    let mut all = requests();
    for part in [whole_answers(), lists(), failures()] {
        if let (Value::Object(all), Value::Object(part)) = (&mut all, part) {
            all.extend(part);
        }
    }
    all
}

/// At least one of what is described.
fn some(of: Value) -> Value {
    json!({ "type": "array", "items": of, "minItems": 1 })
}

fn positive() -> Value {
    json!({ "type": "integer", "minimum": 1 })
}

fn between(least: f64, most: f64) -> Value {
    or_null(json!({ "type": "number", "minimum": least, "maximum": most }))
}

fn requests() -> Value {
    let content =
        || json!({ "anyOf": [string(), { "type": "array", "items": { "type": "object" } }] });
    let said = |roles: &[&str]| {
        object(
            "What somebody said",
            &[("role!", words(roles)), ("content!", content())],
        )
    };
    let tools = || or_null(list(json!({ "type": "object" })));
    let spoken = || said(&["user", "assistant"]);
    let anthropic = [
        ("model!", string()),
        ("messages!", some(spoken())),
        ("system", content()),
        ("tools", list(json!({ "type": "object" }))),
    ];
    let mut messages = anthropic.to_vec();
    messages.extend([
        ("max_tokens!", positive()),
        ("temperature", between(0.0, 1.0)),
        ("stop_sequences", or_null(list(string()))),
        ("stream", or_null(boolean())),
    ]);
    json!({
        "ChatRequest": object("A conversation to be answered", &[
            ("model!", string()),
            ("messages!", some(said(&["system", "developer", "user", "assistant"]))),
            ("tools", tools()),
            ("max_completion_tokens", or_null(positive())),
            ("temperature", between(0.0, 2.0)),
            ("stop", or_null(json!({ "anyOf": [string(), list(string())] }))),
            ("stream", or_null(boolean())),
        ]),
        "ResponsesRequest": object("A conversation to be answered; nothing of it is kept", &[
            ("model!", string()),
            ("input!", json!({ "anyOf": [string(), some(said(&["system", "developer", "user", "assistant"]))] })),
            ("instructions", or_null(string())),
            ("tools", tools()),
            ("max_output_tokens", or_null(positive())),
            ("temperature", between(0.0, 2.0)),
            ("stream", or_null(boolean())),
        ]),
        "MessagesRequest": object("A conversation to be answered", &messages),
        "CountRequest": object("A conversation to be measured", &anthropic),
        "EmbeddingsRequest": object("Texts to be turned into vectors", &[
            ("model!", string()),
            ("input!", json!({ "anyOf": [string(), some(string())] })),
            ("encoding_format", or_null(words(&["float", "base64"]))),
            ("dimensions", or_null(positive())),
        ]),
    })
}

fn whole_answers() -> Value {
    let tokens = |names: &[&'static str]| {
        let fields: Vec<(&str, Value)> = names.iter().map(|name| (*name, integer())).collect();
        object("Tokens", &fields)
    };
    let choice = object(
        "An answer",
        &[
            ("index!", integer()),
            (
                "message!",
                object(
                    "What the model says",
                    &[
                        ("role!", json!({ "const": "assistant" })),
                        ("content!", or_null(string())),
                    ],
                ),
            ),
            (
                "finish_reason!",
                words(&[
                    "stop",
                    "length",
                    "tool_calls",
                    "content_filter",
                    "function_call",
                ]),
            ),
        ],
    );
    json!({
        "ChatCompletion": object("An answer in OpenAI's words", &[
            ("id!", string()), ("object!", json!({ "const": "chat.completion" })),
            ("created!", integer()), ("model!", string()), ("choices!", some(choice)),
            ("usage", or_null(tokens(&["prompt_tokens!", "completion_tokens!", "total_tokens!"]))),
        ]),
        "Response": object("An answer in the words of OpenAI's Responses", &[
            ("id!", string()), ("object!", json!({ "const": "response" })), ("model!", string()),
            ("status!", words(&["completed", "incomplete", "failed", "in_progress", "queued", "cancelled"])),
            ("output!", list(json!({ "type": "object", "required": ["type"] }))),
            ("usage", or_null(tokens(&["input_tokens!", "output_tokens!", "total_tokens!"]))),
        ]),
        "AnthropicMessage": object("An answer in Anthropic's words", &[
            ("id!", string()), ("type!", json!({ "const": "message" })),
            ("role!", json!({ "const": "assistant" })), ("model!", string()),
            ("content!", list(json!({ "type": "object", "required": ["type"] }))),
            ("stop_reason!", or_null(string())), ("stop_sequence!", or_null(string())),
            ("usage!", tokens(&["input_tokens!", "output_tokens!"])),
        ]),
        "TokenCount": tokens(&["input_tokens!"]),
        "EmbeddingList": object("Vectors", &[
            ("object!", json!({ "const": "list" })), ("model!", string()),
            ("data!", list(object("A vector; base64 of 32-bit floats where that was asked for", &[
                ("object!", json!({ "const": "embedding" })), ("index!", integer()),
                ("embedding!", json!({ "anyOf": [list(json!({ "type": "number" })), string()] })),
            ]))),
        ]),
    })
}

fn lists() -> Value {
    json!({
        "GatewayModel": object("A model in OpenAI's words", &[
            ("id!", string()), ("object!", json!({ "const": "model" })), ("created!", integer()),
            ("owned_by!", string()),
        ]),
        "ModelList": object("Models in OpenAI's words", &[
            ("object!", json!({ "const": "list" })), ("data!", list(reference("GatewayModel"))),
        ]),
        "AnthropicModel": object("A model, told to those who send `anthropic-version`", &[
            ("type!", json!({ "const": "model" })), ("id!", string()), ("display_name!", string()),
            ("created_at!", string()),
        ]),
        "AnthropicModelList": object("Models, told to those who send `anthropic-version`", &[
            ("data!", list(reference("AnthropicModel"))), ("has_more!", boolean()),
            ("first_id!", or_null(string())), ("last_id!", or_null(string())),
        ]),
    })
}

fn failures() -> Value {
    json!({
        "OpenAiFailure": object("A failure in OpenAI's words", &[
            ("error!", object("What failed", &[
                ("message!", string()), ("type!", string()), ("param!", or_null(string())),
                ("code!", or_null(string())),
            ])),
        ]),
        "AnthropicFailure": object("A failure in Anthropic's words", &[
            ("type!", json!({ "const": "error" })),
            ("error!", object("What failed", &[("type!", string()), ("message!", string())])),
            ("request_id!", string()),
        ]),
    })
}
