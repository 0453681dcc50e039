//! Answers calls from a script.

use super::fault::Fault;
use super::{Answer, Script, Step};
use mainstay_inference::{
    Answering, BoxFuture, Dialect, EmbeddingRequest, Embeddings, Event, FinishReason,
    InferenceError, Origin, PartKind, Piece, Provider, ProviderCall, Tokens, ToolCall,
    kept_conversation,
};
use std::sync::Arc;
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

    /// What the script plays for a call, and how it ends.
    fn plan(&self, call: &ProviderCall) -> Result<Plan, InferenceError> {
        // The steps are counted by the conversation, so it has to be whole.
        if let Some(param) = kept_conversation(&call.request) {
            return Err(InferenceError::Unsupported {
                origin: self.origin(),
                param: param.to_owned(),
                message: "a script keeps no conversations".to_owned(),
            });
        }
        let index = call.request.answers_before() as u64;
        let exhausted = || InferenceError::ScriptExhausted {
            origin: self.origin(),
            step: index.saturating_add(1),
            steps: self.script.answers(),
        };
        let step = self.step(index).ok_or_else(exhausted)?;
        let mut attempt = u64::from(call.attempt);
        let fault = step.faults.iter().find(|fault| {
            let is_due = attempt < fault.times;
            attempt = attempt.saturating_sub(fault.times);
            is_due
        });
        let Some(answer) = &step.answer else {
            let fault = fault.ok_or_else(exhausted)?;
            return Ok(Plan {
                fault: Some(fault.clone()),
                ..Plan::default()
            });
        };
        let texts = pieces(answer).into_iter();
        Ok(Plan {
            delay: answer.delay,
            between: answer.chunk_delay,
            texts: match fault {
                Some(fault) => texts
                    .take(usize::try_from(fault.after_chunks).unwrap_or(usize::MAX))
                    .collect(),
                None => texts.collect(),
            },
            fault: fault.cloned(),
            calls: calls(answer, index),
            tokens: Tokens {
                input: answer.usage.input_tokens,
                output: answer.usage.output_tokens,
                ..Tokens::default()
            },
            id: format!("script_{index}"),
        })
    }
}

impl Provider for ScriptProvider {
    fn dialect(&self, _caller: Option<Dialect>) -> Option<Dialect> {
        None
    }

    fn call(
        self: Arc<Self>,
        call: ProviderCall,
    ) -> BoxFuture<'static, Result<Box<dyn Answering>, InferenceError>> {
        Box::pin(async move {
            let plan = self.plan(&call)?;
            wait(plan.delay).await;
            match &plan.fault {
                Some(fault) if plan.texts.is_empty() => Err(fault.error(self.origin())),
                _ => Ok(Box::new(Playing {
                    origin: self.origin(),
                    plan,
                    said: 0,
                    is_over: false,
                }) as Box<dyn Answering>),
            }
        })
    }

    fn embed(
        self: Arc<Self>,
        _request: Arc<EmbeddingRequest>,
    ) -> BoxFuture<'static, Result<Embeddings, InferenceError>> {
        let origin = self.origin();
        Box::pin(async move {
            Err(InferenceError::Unsupported {
                origin,
                param: "input".to_owned(),
                message: "a script makes no vectors".to_owned(),
            })
        })
    }
}

/// What a call is answered with.
#[derive(Debug, Default)]
struct Plan {
    delay: Duration,
    between: Duration,
    texts: Vec<String>,
    /// How it ends, where not well.
    fault: Option<Fault>,
    calls: Vec<ToolCall>,
    tokens: Tokens,
    id: String,
}

struct Playing {
    origin: Origin,
    plan: Plan,
    said: usize,
    is_over: bool,
}

impl Playing {
    async fn advance(&mut self) -> Result<Option<Piece>, InferenceError> {
        if self.is_over {
            return Ok(None);
        }
        let mut events = Vec::new();
        if self.said == 0 {
            events.push(Event::Started {
                id: self.plan.id.clone(),
                model: self.origin.model.clone(),
            });
            if !self.plan.texts.is_empty() {
                let kind = PartKind::Text;
                events.push(Event::PartStarted { part: 0, kind });
            }
        }
        if let Some(text) = self.plan.texts.get_mut(self.said) {
            if self.said > 0 {
                wait(self.plan.between).await;
            }
            self.said += 1;
            let text = std::mem::take(text);
            events.push(Event::Delta { part: 0, text });
            return Ok(Some(Piece {
                events,
                ..Piece::default()
            }));
        }
        self.is_over = true;
        if let Some(fault) = &self.plan.fault {
            return Err(fault.error(self.origin.clone()));
        }
        self.end(&mut events);
        Ok(Some(Piece {
            events,
            ..Piece::default()
        }))
    }

    fn end(&mut self, events: &mut Vec<Event>) {
        let mut part = 0;
        if self.said > 0 {
            events.push(Event::PartEnded { part });
            part += 1;
        }
        let reason = match self.plan.calls.is_empty() {
            true => FinishReason::Stop,
            false => FinishReason::ToolCalls,
        };
        for call in std::mem::take(&mut self.plan.calls) {
            let kind = PartKind::of_call(&call);
            events.push(Event::PartStarted { part, kind });
            let text = call.arguments;
            events.push(Event::Delta { part, text });
            events.push(Event::PartEnded { part });
            part += 1;
        }
        events.push(Event::Counted(self.plan.tokens));
        events.push(Event::Finished { reason, stop: None });
    }
}

impl Answering for Playing {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Piece>, InferenceError>> {
        Box::pin(self.advance())
    }
}

fn calls(answer: &Answer, index: u64) -> Vec<ToolCall> {
    let call = |(at, call): (usize, &super::Call)| ToolCall {
        id: call
            .id
            .clone()
            .unwrap_or_else(|| format!("call_{index}_{at}")),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
        signature: None,
    };
    answer.tool_calls.iter().enumerate().map(call).collect()
}

/// The pieces of the text.
fn pieces(answer: &Answer) -> Vec<String> {
    let characters = answer.text.chars().count() as u64;
    let size = usize::try_from(characters.div_ceil(answer.chunks).max(1)).unwrap_or(usize::MAX);
    let mut rest = answer.text.as_str();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let end = rest
            .char_indices()
            .nth(size)
            .map_or(rest.len(), |(end, _)| end);
        pieces.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    pieces
}

async fn wait(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}
