//! `GenerateContentResponse`: a whole answer, or a piece of a stream.

use crate::Tokens;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) candidates: Option<Vec<Candidate<'a>>>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    pub(super) usage_metadata: Option<Usage>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    pub(super) finish_reason: Option<String>,
    pub(super) finish_message: Option<String>,
    #[serde(default)]
    pub(super) index: u64,
}

#[derive(Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow, default)]
    pub(super) parts: Option<Vec<&'a RawValue>>,
}

/// The fields of parts that have a neutral form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) thought: Option<bool>,
    pub(super) thought_signature: Option<String>,
    #[serde(borrow)]
    pub(super) function_call: Option<FunctionCall<'a>>,
}

#[derive(Deserialize)]
pub(super) struct FunctionCall<'a> {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<String>,
}

/// Usage; cumulative in streams.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    prompt_tokens_details: Option<Vec<Modality>>,
    candidates_tokens_details: Option<Vec<Modality>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modality {
    #[serde(default)]
    modality: Cow<'static, str>,
    #[serde(default)]
    token_count: u64,
}

impl Usage {
    /// The neutral form: thoughts are output, and what Google's own tools brought in is input.
    pub(super) fn tokens(&self) -> Tokens {
        let reasoning = self.thoughts_token_count.unwrap_or(0);
        let prompt = self.prompt_token_count.unwrap_or(0);
        let tools = self.tool_use_prompt_token_count.unwrap_or(0);
        let said = self.candidates_token_count.unwrap_or(0);
        Tokens {
            input: prompt.saturating_add(tools),
            cache_read: self.cached_content_token_count.unwrap_or(0),
            input_audio: audio(self.prompt_tokens_details.as_deref()),
            output: said.saturating_add(reasoning),
            reasoning,
            output_audio: audio(self.candidates_tokens_details.as_deref()),
            ..Tokens::default()
        }
    }
}

fn audio(details: Option<&[Modality]>) -> u64 {
    let audio = details.into_iter().flatten();
    let audio = audio.filter(|detail| detail.modality == "AUDIO");
    audio.fold(0, |sum, detail| sum.saturating_add(detail.token_count))
}
