//! Between sessions, which know plain messages, and providers: the request of a turn, and its answer.

use crate::provider::{ModelAnswer, ModelProvider, ModelRequest};
use mainstay_contract::{Message, Role as Speaker, ToolCall as PlainCall, Usage};
use mainstay_inference::{
    Answer, Assembly, BoxFuture, Event, FinishReason, InferenceError, Message as NeutralMessage,
    Origin, Part, Provider, ProviderCall, Request, ResponseProblem, Role, Tool, ToolCall,
};
use std::sync::Arc;

/// What a model is asked in a turn.
#[must_use]
pub fn turn_request(model: &str, request: &ModelRequest) -> Request {
    let tool = |tool: &crate::ToolSpec| Tool::Function {
        name: tool.name.clone(),
        description: Some(tool.description.clone()),
        parameters: Some(tool.parameters.clone()),
        strict: None,
        cache: None,
    };
    Request {
        model: model.to_owned(),
        messages: request.messages.iter().map(neutral).collect(),
        tools: request.tools.iter().map(tool).collect(),
        stream: true,
        stream_usage: true,
        ..Request::default()
    }
}

fn neutral(message: &Message) -> NeutralMessage {
    if let (Speaker::Tool, Some(call_id)) = (message.role, &message.tool_call_id) {
        let result = Part::ToolResult {
            call_id: call_id.clone(),
            content: vec![Part::text(&message.text)],
            is_error: false,
        };
        return NeutralMessage {
            role: Role::User,
            parts: vec![result],
            name: None,
        };
    }
    let role = match message.role {
        Speaker::System => Role::System,
        Speaker::User | Speaker::Tool => Role::User,
        Speaker::Assistant => Role::Assistant,
    };
    let has_only_calls = message.text.is_empty() && !message.tool_calls.is_empty();
    let text = (!has_only_calls).then(|| Part::text(&message.text));
    let calls = message.tool_calls.iter().map(|call| {
        Part::ToolCall(ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            signature: None,
        })
    });
    NeutralMessage {
        role,
        parts: text.into_iter().chain(calls).collect(),
        name: None,
    }
}

/// What a turn goes on with. An answer that was cut short or refused is none.
///
/// # Errors
/// [`InferenceError`].
pub fn turn_answer(
    answer: Answer,
    answers_before: u64,
    origin: &Origin,
) -> Result<ModelAnswer, InferenceError> {
    let origin = Origin {
        answering: true,
        ..origin.clone()
    };
    let tokens = answer.tokens;
    let (mut text, mut refusal) = (String::new(), String::new());
    let mut tool_calls: Vec<PlainCall> = Vec::new();
    for part in answer.parts {
        match part {
            Part::Text { text: said, .. } => text.push_str(&said),
            Part::Refusal { text: said } => refusal.push_str(&said),
            Part::ToolCall(call) => tool_calls.push(plain(call, answers_before, tool_calls.len())),
            _ => {}
        }
    }
    if answer.reason == FinishReason::ContentFilter || !refusal.is_empty() {
        return Err(InferenceError::ContentFiltered {
            origin,
            reason: String::new(),
            message: refusal,
        });
    }
    if answer.reason == FinishReason::Length {
        return Err(InferenceError::ContextLengthExceeded {
            origin,
            tokens: tokens.map(mainstay_inference::Tokens::total),
            max_tokens: None,
            message: "the answer stopped at a length limit before its end".to_owned(),
        });
    }
    if tokens.is_none() {
        tracing::warn!("the provider counted no tokens for an answer: its cost is unknown");
    }
    let tokens = tokens.unwrap_or_default();
    Ok(ModelAnswer {
        text,
        tool_calls,
        usage: Usage {
            input_tokens: tokens.input,
            output_tokens: tokens.output,
        },
    })
}

/// A call without an id gets one that is unique in the conversation; one without arguments gets `{}`.
fn plain(call: ToolCall, answers_before: u64, at: usize) -> PlainCall {
    let id = match call.id.is_empty() {
        true => format!("call_{answers_before}_{at}"),
        false => call.id,
    };
    let arguments = match call.arguments.trim().is_empty() {
        true => "{}".to_owned(),
        false => call.arguments,
    };
    PlainCall {
        id,
        name: call.name,
        arguments,
    }
}

/// A provider as a session calls it, with nothing between the two.
pub struct Direct {
    provider: Arc<dyn Provider>,
    model: String,
}

impl Direct {
    /// A model of a provider.
    #[must_use]
    pub fn new(provider: Arc<dyn Provider>, model: impl Into<String>) -> Self {
        Self {
            provider,
            model: model.into(),
        }
    }

    async fn answer(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<ModelAnswer, InferenceError> {
        let origin = Origin {
            model: self.model.clone(),
            ..Origin::default()
        };
        let bad = |message: String| InferenceError::BadResponse {
            origin: origin.clone(),
            problem: ResponseProblem::Malformed,
            message,
        };
        let call = ProviderCall {
            request: Arc::new(turn_request(&self.model, request)),
            relay: None,
            attempt: request.attempt,
            hops: 0,
        };
        let mut answering = Arc::clone(&self.provider).call(call).await?;
        let mut assembly = Assembly::default();
        while let Some(piece) = answering.next().await? {
            for event in piece.events {
                if let Event::Delta { text, part } = &event
                    && assembly.is_text(*part)
                {
                    on_text(text);
                }
                assembly
                    .add(event)
                    .map_err(|error| bad(error.to_string()))?;
            }
        }
        let answer = assembly.finish().map_err(|error| bad(error.to_string()))?;
        turn_answer(answer, request.answers_before(), &origin)
    }
}

impl ModelProvider for Direct {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        on_text: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<ModelAnswer, InferenceError>> {
        Box::pin(self.answer(request, on_text))
    }
}
