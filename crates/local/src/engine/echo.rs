//! A model that repeats the last message word by word, counts where it is told `count N`, and never ends where it
//! is told `hang`. Every word is a token and a call to the device.

use super::watch::Watch;
use super::{Engine, EngineError, Finish, Surroundings};
use crate::error::LocalError;
use crate::request::{Embeddings, FinishReason, GenerateRequest, Usage};
use std::time::Duration;

const CONTEXT_LENGTH: u32 = 4096;

pub(super) struct Echo {
    context_length: u32,
}

impl Echo {
    pub(super) fn new(context_length: Option<u32>) -> Self {
        Self {
            context_length: context_length.unwrap_or(CONTEXT_LENGTH),
        }
    }

    fn fits(&self, words: usize) -> Result<u64, LocalError> {
        let (tokens, limit) = (words as u64, u64::from(self.context_length));
        if tokens > limit {
            return Err(LocalError::ContextLengthExceeded { tokens, limit });
        }
        Ok(tokens)
    }
}

impl Engine for Echo {
    fn name(&self) -> String {
        "echo".to_owned()
    }

    fn context_length(&self) -> u32 {
        self.context_length
    }

    fn generate(
        &mut self,
        request: &GenerateRequest,
        around: &mut dyn Surroundings,
    ) -> Result<Finish, EngineError> {
        let last = request.messages.as_array().and_then(|all| all.last());
        let said = last
            .and_then(|message| message.get("content")?.as_str())
            .ok_or_else(|| LocalError::bad_request("messages", "the last one has no text"))?;
        if said == "hang" {
            let error = LocalError::bad_request("messages", "it hangs");
            let watch = Watch::start(around.give_up(error))?;
            watch.within(Duration::from_millis(1), || {
                loop {
                    std::thread::park();
                }
            });
        }
        let input = self.fits(said.split_whitespace().count())?;
        let counted: Option<u64> = said.strip_prefix("count ").and_then(|n| n.parse().ok());
        let words: Box<dyn Iterator<Item = String>> = match counted {
            Some(count) => Box::new((1..=count).map(|n| n.to_string())),
            None => Box::new(said.split_whitespace().map(ToOwned::to_owned)),
        };
        let tokens_max = request.max_tokens.map_or(u64::MAX, u64::from);
        let mut usage = Usage {
            input,
            ..Usage::default()
        };
        for word in words {
            if usage.output == tokens_max {
                let reason = FinishReason::Length;
                return Ok(Finish { reason, usage });
            }
            around.after_call()?;
            around.text(&format!("{word} "));
            usage.output += 1;
        }
        let reason = FinishReason::Stop;
        Ok(Finish { reason, usage })
    }

    fn embed(
        &mut self,
        inputs: &[String],
        around: &mut dyn Surroundings,
    ) -> Result<Embeddings, EngineError> {
        let mut usage = Usage::default();
        for input in inputs {
            usage.input += self.fits(input.split_whitespace().count())?;
            around.after_call()?;
        }
        Ok(Embeddings {
            vectors: vec![vec![1.0]; inputs.len()],
            usage,
        })
    }

    fn forget(&mut self) {}
}
