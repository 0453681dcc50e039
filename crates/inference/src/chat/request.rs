//! Requests.

use super::{Message, Opaque, Role};
use crate::Dialect;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One request for an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The caller's dialect; absent where this runtime asks by itself.
    pub caller: Option<Dialect>,
    /// The model, as the caller named it.
    pub model: String,
    /// The conversation. Instructions stand in it as messages of the system or developer, where they
    /// were; dialects that keep them apart collect them.
    pub messages: Vec<Message>,
    /// Whether the first message stood apart from the conversation (Anthropic's `system`), so that the caller
    /// counts the others without it.
    pub is_first_apart: bool,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// Whether it has to call one.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub format: Option<OutputFormat>,
    /// The most tokens of the answer, thoughts included.
    pub output_tokens_max: Option<u64>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// How long to think.
    pub reasoning: Option<Reasoning>,
    /// How many answers; one where absent. Only dialects with choices can give more.
    pub choices: Option<u64>,
    /// How many likely tokens to tell with each token; absent for none, zero for the token alone.
    pub logprobs: Option<u64>,
    /// Whether the answer is to come in pieces.
    pub stream: bool,
    /// Whether a stream of Chat Completions tells its usage at the end.
    pub stream_usage: bool,
    /// Whom the answer is for, as the caller's own id.
    pub user: Option<String>,
    /// Fields that only the caller's dialect knows.
    pub extra: Option<Extra>,
}

impl Request {
    /// How many answers the conversation holds already: the index of the one asked for.
    #[must_use]
    pub fn answers_before(&self) -> usize {
        let is_answer = |message: &&Message| message.role == Role::Assistant;
        self.messages.iter().filter(is_answer).count()
    }
}

/// Fields of one dialect that have no meaning here.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra {
    /// The dialect.
    pub dialect: Dialect,
    /// The fields.
    pub fields: Map<String, Value>,
}

/// A tool.
#[derive(Debug, Clone, PartialEq)]
pub enum Tool {
    /// A function that the caller runs.
    Function {
        /// Its name.
        name: String,
        /// What it does.
        description: Option<String>,
        /// The JSON Schema of its arguments.
        parameters: Option<Value>,
        /// Whether the arguments have to follow the schema exactly.
        strict: Option<bool>,
        /// As for text: a mark for the provider's prompt cache.
        cache: Option<String>,
    },
    /// A tool that the provider runs, or another that only one dialect knows.
    Opaque(Opaque),
}

/// Whether a tool has to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Tool(String),
}

/// The form of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputFormat {
    /// Text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// Whether it has to be followed exactly.
        strict: Option<bool>,
    },
}

/// How tokens are drawn. What is absent is left to the provider.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampling {
    /// 0 for the likeliest token, up to 2.
    pub temperature: Option<f64>,
    /// The share of probability that is drawn from.
    pub top_p: Option<f64>,
    /// How many tokens are drawn from.
    pub top_k: Option<u64>,
    /// Against tokens by how often they stand there.
    pub frequency_penalty: Option<f64>,
    /// Against tokens that stand there.
    pub presence_penalty: Option<f64>,
    /// For answers that repeat.
    pub seed: Option<i64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Additions to the scores of tokens, by token id.
    pub logit_bias: BTreeMap<String, f64>,
}

/// How long to think before the answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reasoning {
    /// How hard.
    pub effort: Option<Effort>,
    /// The most tokens of thought; zero forbids it.
    pub budget_tokens: Option<u64>,
    /// Whether and how thoughts are told: `auto`, `concise`, `detailed`.
    pub summary: Option<String>,
}

/// How hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// A little.
    Low,
    /// As usual.
    Medium,
    /// Much.
    High,
    /// More.
    ExtraHigh,
    /// As much as the model can.
    Max,
}
