//! Puts an answer together out of its pieces, and judges whether it is whole.

use crate::{ModelAnswer, ResponseProblem};
use mainstay_contract::{ToolCall, Usage};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;

#[derive(Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning: Option<Value>,
    #[serde(default)]
    reasoning_content: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

struct PartialCall {
    index: Option<u64>,
    call: ToolCall,
}

/// Why the pieces make no answer.
#[derive(Debug)]
pub(super) enum AnswerError {
    /// They are not what was agreed.
    Bad(ResponseProblem, &'static str),
    /// The content was refused.
    Filtered(String),
    /// The model stopped at a length limit, with so many tokens used.
    TooLong(Option<u64>),
    /// The provider says that it failed.
    Failed,
}

/// The answer so far.
#[derive(Default)]
pub(super) struct PartialAnswer {
    text: String,
    refusal: String,
    calls: Vec<PartialCall>,
    finish_reason: Option<String>,
    usage: Option<Usage>,
}

impl PartialAnswer {
    /// Adds a piece; says whether it brought text, reasoning or a tool call.
    pub(super) fn add(
        &mut self,
        chunk: Chunk,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<bool, AnswerError> {
        if let Some(usage) = chunk.usage.filter(Value::is_object) {
            let count = |field: &str| usage.get(field).and_then(Value::as_u64);
            self.usage = count("prompt_tokens")
                .zip(count("completion_tokens"))
                .map(|(input_tokens, output_tokens)| Usage {
                    input_tokens,
                    output_tokens,
                })
                .or(self.usage);
        }
        let mut has_token = false;
        for choice in chunk.choices.into_iter().flatten() {
            if choice.index != 0 {
                return Err(malformed("it holds more than one choice"));
            }
            if let Some(delta) = choice.delta {
                has_token |= self.add_delta(delta, on_text)?;
            }
            self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
        }
        Ok(has_token)
    }

    fn add_delta(
        &mut self,
        delta: Delta,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<bool, AnswerError> {
        let mut has_token = [delta.reasoning, delta.reasoning_content]
            .iter()
            .flatten()
            .any(|reasoning| reasoning.as_str().is_some_and(|text| !text.is_empty()));
        if let Some(text) = delta.content.filter(|text| !text.is_empty()) {
            has_token = true;
            on_text(&text);
            self.text.push_str(&text);
        }
        if let Some(refusal) = delta.refusal {
            self.refusal.push_str(&refusal);
        }
        for call in delta.tool_calls.into_iter().flatten() {
            has_token = true;
            self.add_call(call)?;
        }
        Ok(has_token)
    }

    /// A delta belongs to the call of its index; without an index, to the last call. Some providers
    /// give every call the index 0: there a new id begins a new call.
    fn add_call(&mut self, delta: CallDelta) -> Result<(), AnswerError> {
        let id = delta.id.filter(|id| !id.is_empty());
        let known = match delta.index {
            Some(_) => self
                .calls
                .iter()
                .rposition(|call| call.index == delta.index),
            None => self.calls.len().checked_sub(1),
        };
        let is_same = |at: &usize| {
            let known = &self.calls[*at].call;
            id.as_ref()
                .is_none_or(|id| known.id.is_empty() || known.id == *id)
        };
        let at = known.filter(is_same).unwrap_or_else(|| {
            let call = ToolCall {
                id: String::new(),
                name: String::new(),
                arguments: String::new(),
            };
            self.calls.push(PartialCall {
                index: delta.index,
                call,
            });
            self.calls.len() - 1
        });
        let call = &mut self.calls[at].call;
        if let Some(id) = id {
            call.id = id;
        }
        let Some(function) = delta.function else {
            return Ok(());
        };
        if let Some(name) = function.name.filter(|name| !name.is_empty()) {
            if !call.name.is_empty() && call.name != name {
                return Err(malformed("one tool call has two names"));
            }
            call.name = name;
        }
        call.arguments
            .push_str(&function.arguments.unwrap_or_default());
        Ok(())
    }

    /// The whole answer. A call without an id gets one that is unique in the conversation; a call
    /// without arguments gets `{}`.
    pub(super) fn finish(self, answers_before: u64) -> Result<ModelAnswer, AnswerError> {
        let Some(reason) = self.finish_reason else {
            return Err(AnswerError::Bad(
                ResponseProblem::CutStream,
                "it does not say why it finished",
            ));
        };
        let used = self
            .usage
            .map(|usage| usage.input_tokens.saturating_add(usage.output_tokens));
        if reason == "content_filter" || !self.refusal.is_empty() {
            return Err(AnswerError::Filtered(self.refusal));
        }
        match reason.as_str() {
            "length" => return Err(AnswerError::TooLong(used)),
            "error" => return Err(AnswerError::Failed),
            _ => {}
        }
        let mut ids = HashSet::new();
        let mut tool_calls = Vec::with_capacity(self.calls.len());
        for (at, PartialCall { mut call, .. }) in self.calls.into_iter().enumerate() {
            if call.name.is_empty() {
                let problem = ResponseProblem::IncompleteToolCall;
                return Err(AnswerError::Bad(problem, "a tool call has no name"));
            }
            if call.id.is_empty() {
                call.id = format!("call_{answers_before}_{at}");
            }
            if !ids.insert(call.id.clone()) {
                let problem = ResponseProblem::DuplicateToolId;
                return Err(AnswerError::Bad(problem, "two tool calls share an id"));
            }
            if call.arguments.trim().is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
            tool_calls.push(call);
        }
        if self.usage.is_none() {
            tracing::warn!("the provider counted no tokens for an answer: its cost is unknown");
        }
        Ok(ModelAnswer {
            text: self.text,
            tool_calls,
            usage: self.usage.unwrap_or_default(),
        })
    }
}

const fn malformed(what: &'static str) -> AnswerError {
    AnswerError::Bad(ResponseProblem::Malformed, what)
}
