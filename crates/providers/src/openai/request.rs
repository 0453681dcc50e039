//! Our request in the words of Chat Completions.

use crate::ModelRequest;
use mainstay_contract::{Message, Role};
use serde::Serialize;

#[derive(Serialize)]
struct WireRequest<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: Role,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: WireCallFunction<'a>,
}

#[derive(Serialize)]
struct WireCallFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct WireTool<'a> {
    r#type: &'static str,
    function: &'a crate::ToolSpec,
}

/// The body of the request.
pub(super) fn encode(model: &str, request: &ModelRequest) -> serde_json::Result<Vec<u8>> {
    let function = |function| WireTool {
        r#type: "function",
        function,
    };
    serde_json::to_vec(&WireRequest {
        model,
        messages: request.messages.iter().map(message).collect(),
        tools: request.tools.iter().map(function).collect(),
        stream: true,
        stream_options: StreamOptions {
            include_usage: true,
        },
    })
}

fn message(message: &Message) -> WireMessage<'_> {
    let has_only_calls = message.text.is_empty() && !message.tool_calls.is_empty();
    WireMessage {
        role: message.role,
        content: (!has_only_calls).then_some(message.text.as_str()),
        tool_calls: message
            .tool_calls
            .iter()
            .map(|call| WireCall {
                id: &call.id,
                r#type: "function",
                function: WireCallFunction {
                    name: &call.name,
                    arguments: &call.arguments,
                },
            })
            .collect(),
        tool_call_id: message.tool_call_id.as_deref(),
    }
}
