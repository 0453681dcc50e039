//! Answers calls from a script.

use super::{Answer, Script, Step};
use crate::{InferenceError, ModelAnswer, ModelProvider, ModelRequest, Origin};
use mainstay_contract::ToolCall;
use mainstay_sessions::BoxFuture;
use std::time::Duration;

/// A scripted model.
pub(crate) struct ScriptProvider {
    script: Script,
    /// For each step the number of answers given before it.
    starts: Vec<u64>,
}

impl ScriptProvider {
    pub(crate) fn new(script: Script) -> Self {
        let mut answers = 0u64;
        let start = |step: &Step| {
            let start = answers;
            answers = answers.saturating_add(step.answers());
            start
        };
        let starts = script.steps.iter().map(start).collect();
        Self { script, starts }
    }

    fn step(&self, index: u64) -> Option<&Step> {
        let at = self
            .starts
            .partition_point(|start| *start <= index)
            .checked_sub(1)?;
        let step = self.script.steps.get(at)?;
        (index - self.starts[at] < step.answers()).then_some(step)
    }

    fn origin(&self) -> Origin {
        Origin {
            provider: "script".to_owned(),
            model: self.script.name.clone(),
            answering: false,
        }
    }

    async fn answer(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<ModelAnswer, InferenceError> {
        let index = request.answers_before();
        let exhausted = || InferenceError::ScriptExhausted {
            origin: self.origin(),
            step: index.saturating_add(1),
            steps: self.script.answers(),
        };
        let step = self.step(index).ok_or_else(exhausted)?;
        let mut attempt = u64::from(request.attempt);
        let fault = step.faults.iter().find(|fault| {
            let is_due = attempt < fault.times;
            attempt = attempt.saturating_sub(fault.times);
            is_due
        });
        if let Some(answer) = &step.answer {
            wait(answer.delay).await;
        }
        if let Some(fault) = fault {
            if let Some(answer) = &step.answer {
                stream(answer, fault.after_chunks, on_text).await;
            }
            return Err(fault.error(self.origin()));
        }
        let answer = step.answer.as_ref().ok_or_else(exhausted)?;
        stream(answer, answer.chunks, on_text).await;
        let call = |(at, call): (usize, &super::Call)| ToolCall {
            id: call
                .id
                .clone()
                .unwrap_or_else(|| format!("call_{index}_{at}")),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        Ok(ModelAnswer {
            text: answer.text.clone(),
            tool_calls: answer.tool_calls.iter().enumerate().map(call).collect(),
            usage: answer.usage,
        })
    }
}

impl ModelProvider for ScriptProvider {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        on_text: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<ModelAnswer, InferenceError>> {
        Box::pin(self.answer(request, on_text))
    }
}

/// Sends the first `pieces` of the pieces of the text.
async fn stream(answer: &Answer, pieces: u64, on_text: &mut (dyn FnMut(&str) + Send)) {
    let characters = answer.text.chars().count() as u64;
    let size = usize::try_from(characters.div_ceil(answer.chunks).max(1)).unwrap_or(usize::MAX);
    let mut rest = answer.text.as_str();
    let mut sent = 0;
    while !rest.is_empty() && sent < pieces {
        if sent > 0 {
            wait(answer.chunk_delay).await;
        }
        let end = rest
            .char_indices()
            .nth(size)
            .map_or(rest.len(), |(end, _)| end);
        on_text(&rest[..end]);
        rest = &rest[end..];
        sent += 1;
    }
}

async fn wait(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}
