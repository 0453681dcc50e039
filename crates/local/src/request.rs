//! What is asked of a model, and what it answers.

use crate::error::LocalError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most stop words of a request.
const STOP_WORDS_MAX: usize = 16;

/// How deep values may be nested: a line to the worker is nested a little deeper, and 128 levels are read.
const DEPTH_MAX: usize = 100;

/// A conversation to be continued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateRequest {
    /// The messages, in the shape of OpenAI's chat completions.
    pub messages: Value,
    /// The tools, in the same shape; the model's own template says them to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Value>,
    /// How the next token is chosen.
    #[serde(default)]
    pub sampling: Sampling,
    /// Where the answer ends; these words are not part of it.
    #[serde(default)]
    pub stop: Vec<String>,
    /// The most tokens of the answer; without it, what the context has room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The JSON Schema that the answer must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<Value>,
}

/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// 0 always takes the likeliest token; up to 2.
    pub temperature: f32,
    /// Only the likeliest tokens that together have this probability are considered.
    pub top_p: f32,
    /// Only so many of the likeliest tokens are considered.
    pub top_k: Option<u32>,
    /// The same seed and request give the same answer.
    pub seed: Option<u64>,
    /// Makes a token less likely for each time that it occurred in the answer; −2 to 2.
    pub frequency_penalty: f32,
    /// Makes a token less likely once it occurred in the answer; −2 to 2.
    pub presence_penalty: f32,
    /// Added to the logits of tokens; −100 to 100.
    pub logit_bias: BTreeMap<u32, f32>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: None,
            seed: None,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: BTreeMap::new(),
        }
    }
}

/// Which value of a request lies outside its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestProblem {
    /// The temperature.
    #[error("must be between 0 and 2")]
    Temperature,
    /// The probability of the considered tokens.
    #[error("must be above 0 and at most 1")]
    TopP,
    /// The number of considered tokens.
    #[error("must be at least 1")]
    TopK,
    /// A penalty.
    #[error("must be between -2 and 2")]
    Penalty,
    /// A bias.
    #[error("must be between -100 and 100")]
    LogitBias,
    /// The stop words.
    #[error("must be at most {STOP_WORDS_MAX} words, none of them empty")]
    Stop,
    /// The length of the answer.
    #[error("must be at least 1")]
    MaxTokens,
    /// The nesting of a value.
    #[error("must not be nested deeper than {DEPTH_MAX} levels")]
    Depth,
}

impl GenerateRequest {
    /// A request with nothing but its messages.
    #[must_use]
    pub fn new(messages: Value) -> Self {
        Self {
            messages,
            tools: None,
            sampling: Sampling::default(),
            stop: Vec::new(),
            max_tokens: None,
            json_schema: None,
        }
    }

    /// Checks every value that has a range.
    ///
    /// # Errors
    /// [`LocalError::BadRequest`] names the first value outside its range.
    pub fn check(&self) -> Result<(), LocalError> {
        let sampling = &self.sampling;
        let penalty = |value: f32| (-2.0..=2.0).contains(&value);
        let bias = |value: &f32| (-100.0..=100.0).contains(value);
        let stop = self.stop.len() <= STOP_WORDS_MAX && self.stop.iter().all(|w| !w.is_empty());
        let flat = |value: Option<&Value>| value.is_none_or(|value| depth(value) <= DEPTH_MAX);
        let checks = [
            (
                "messages",
                flat(Some(&self.messages)),
                RequestProblem::Depth,
            ),
            ("tools", flat(self.tools.as_ref()), RequestProblem::Depth),
            (
                "json_schema",
                flat(self.json_schema.as_ref()),
                RequestProblem::Depth,
            ),
            (
                "temperature",
                (0.0..=2.0).contains(&sampling.temperature),
                RequestProblem::Temperature,
            ),
            (
                "top_p",
                sampling.top_p > 0.0 && sampling.top_p <= 1.0,
                RequestProblem::TopP,
            ),
            ("top_k", sampling.top_k != Some(0), RequestProblem::TopK),
            (
                "frequency_penalty",
                penalty(sampling.frequency_penalty),
                RequestProblem::Penalty,
            ),
            (
                "presence_penalty",
                penalty(sampling.presence_penalty),
                RequestProblem::Penalty,
            ),
            (
                "logit_bias",
                sampling.logit_bias.values().all(bias),
                RequestProblem::LogitBias,
            ),
            ("stop", stop, RequestProblem::Stop),
            (
                "max_tokens",
                self.max_tokens != Some(0),
                RequestProblem::MaxTokens,
            ),
        ];
        for (field, holds, problem) in checks {
            if !holds {
                return Err(LocalError::bad_request(field, problem));
            }
        }
        Ok(())
    }
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(values) => values.iter().map(depth).max(),
        Value::Object(values) => values.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or(0)
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it, or a stop word did.
    Stop,
    /// It has as many tokens as were asked for, or the context is full.
    Length,
    /// Nobody wanted it any more.
    Cancelled,
}

/// How many tokens a request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The tokens of the conversation.
    pub input: u64,
    /// How many of these were known from the request before and not computed again.
    pub cached_input: u64,
    /// The tokens of the answer.
    pub output: u64,
}

/// What arrives while a model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalEvent {
    /// The next piece of the answer, in whole characters.
    Text(String),
    /// The answer is complete.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
}

/// What texts mean, as vectors of length one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embeddings {
    /// A vector for each text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// What they took.
    pub usage: Usage,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_outside_their_range_are_named() {
        let with = |change: &dyn Fn(&mut GenerateRequest)| {
            let mut request = GenerateRequest::new(json!([]));
            change(&mut request);
            match request.check() {
                Ok(()) => String::new(),
                Err(LocalError::BadRequest { field, .. }) => field,
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(with(&|_| ()), "");
        assert_eq!(with(&|r| r.sampling.temperature = f32::NAN), "temperature");
        assert_eq!(with(&|r| r.sampling.top_p = 0.0), "top_p");
        assert_eq!(with(&|r| r.sampling.top_k = Some(0)), "top_k");
        assert_eq!(
            with(&|r| r.sampling.presence_penalty = 2.1),
            "presence_penalty"
        );
        assert_eq!(with(&|r| r.stop = vec![String::new()]), "stop");
        assert_eq!(with(&|r| r.max_tokens = Some(0)), "max_tokens");
        let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(with(&|r| r.json_schema = Some(nested(100))), "");
        assert_eq!(with(&|r| r.json_schema = Some(nested(101))), "json_schema");
        assert_eq!(with(&|r| r.tools = Some(nested(101))), "tools");
        assert_eq!(with(&|r| r.messages = nested(101)), "messages");
    }
}
