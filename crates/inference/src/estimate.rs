//! How many tokens a request sends, before it is sent: for reservations, limits and context windows.
//!
//! No tokenizer is asked. Text is counted by its bytes ([`text`] says how), so that the estimate lies above what
//! tokenizers make of it. Pictures, sound and documents count at coarse figures, because what they cost depends
//! on sizes that only a decoder knows. What a call really sent is told by its answer.

mod relayed;
mod text;

pub use relayed::estimate_relayed;

use crate::{Dialect, FileSource, OutputFormat, Part, Request, Tool, ToolCall};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Serialize;
use std::io;
use text::TextCount;

/// What frames a message: its role, its ends.
const PER_MESSAGE: u64 = 5;

/// What frames a tool or a tool call.
const PER_TOOL: u64 = 12;

/// What begins the answer.
const PER_REQUEST: u64 = 3;

/// What Anthropic tells a model about tools in general.
const ANTHROPIC_TOOLS: u64 = 500;

/// A page or two of a document.
const FILE_MIN: u64 = 2000;

/// A document at another place.
const FILE_ELSEWHERE: u64 = 10_000;

/// Bytes of a document for a token: pages hold more picture than text.
const FILE_BYTES_PER_TOKEN: u64 = 20;

/// Bytes of plain samples for a token, at 8,000 samples of two bytes and 32 tokens in a second.
const SAMPLES_BYTES_PER_TOKEN: u64 = 500;

/// Bytes of packed sound for a token, at 32 kbit and 32 tokens in a second.
const SOUND_BYTES_PER_TOKEN: u64 = 125;

/// How many groups of four characters of base64 are decoded at once.
const QUADS: usize = 512;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How many tokens a text has at most.
#[must_use]
pub fn estimate_text(text: &str) -> u64 {
    let mut count = TextCount::default();
    count.add(text.as_bytes());
    count.tokens()
}

/// About how many tokens this request sends when it is sent in `dialect`, at least one. Takes time by
/// the number of parts and the size of schemas, and no memory.
#[must_use]
pub fn estimate_tokens(request: &Request, dialect: Dialect) -> u64 {
    count(request, dialect).sum()
}

fn count(request: &Request, dialect: Dialect) -> Count {
    let mut count = Count {
        dialect,
        text: TextCount::default(),
        tokens: PER_REQUEST,
        seen: 0,
        frames: 1,
    };
    for message in &request.messages {
        count.frame(PER_MESSAGE);
        count.text(message.name.as_deref());
        message.parts.iter().for_each(|part| count.part(part));
    }
    if !request.tools.is_empty() && dialect == Dialect::Anthropic {
        count.tokens(ANTHROPIC_TOOLS);
    }
    request.tools.iter().for_each(|tool| count.tool(tool));
    if let Some(OutputFormat::JsonSchema {
        name,
        description,
        schema,
        ..
    }) = &request.format
    {
        count.tokens(PER_TOOL);
        count.text(Some(name));
        count.text(description.as_deref());
        count.json(schema);
    }
    // Nobody knows what a provider makes of these: the caller's own fields may hold much of the prompt.
    if let Some(extra) = &request.extra {
        count.json(&extra.fields);
    }
    count
}

#[derive(Debug)]
struct Count {
    dialect: Dialect,
    text: TextCount,
    /// Of all else.
    tokens: u64,
    /// The bytes of all that was counted.
    seen: usize,
    /// Messages, parts and tools, each of which has names and marks around it.
    frames: usize,
}

impl Count {
    fn sum(&self) -> u64 {
        self.text.tokens().saturating_add(self.tokens)
    }

    fn tokens(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn frame(&mut self, tokens: u64) {
        self.frames += 1;
        self.tokens(tokens);
    }

    fn text(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        self.seen += text.len();
        self.text.begin();
        self.text.add(text.as_bytes());
    }

    fn json(&mut self, value: &impl Serialize) {
        self.text.begin();
        // Nothing is written, so nothing can fail.
        let _written = serde_json::to_writer(self, value);
    }

    fn part(&mut self, part: &Part) {
        self.frames += 1;
        match part {
            Part::Text { text, .. } | Part::Refusal { text } => self.text(Some(text)),
            Part::Image { source, detail } => {
                self.seen += named(source);
                self.tokens(picture(self.dialect, detail.as_deref()));
            }
            Part::File { source, name } => {
                self.text(name.as_deref());
                self.seen += named(source);
                self.file(source);
            }
            Part::Audio { data, format } => {
                self.seen += data.len();
                let is_plain = ["wav", "pcm16"].contains(&format.as_str());
                let bytes_per_token = if is_plain {
                    SAMPLES_BYTES_PER_TOKEN
                } else {
                    SOUND_BYTES_PER_TOKEN
                };
                self.tokens(decoded(data).div_ceil(bytes_per_token));
            }
            Part::Reasoning {
                text,
                sealed,
                signature,
                ..
            } => {
                self.text(Some(text));
                self.text(sealed.as_deref());
                self.seen += signature.as_ref().map_or(0, String::len);
            }
            Part::ToolCall(ToolCall {
                name, arguments, ..
            }) => {
                self.tokens(PER_TOOL);
                self.text(Some(name));
                self.text(Some(arguments));
            }
            Part::ToolResult { content, .. } => {
                self.tokens(PER_TOOL);
                content.iter().for_each(|part| self.part(part));
            }
            Part::Opaque(opaque) => self.json(&opaque.value),
            Part::CacheMark { .. } => {}
        }
    }

    fn file(&mut self, source: &FileSource) {
        match source {
            FileSource::Base64 { media_type, data } if media_type.starts_with("text/") => {
                self.encoded_text(data);
            }
            FileSource::Base64 { data, .. } => {
                self.tokens((decoded(data) / FILE_BYTES_PER_TOKEN).max(FILE_MIN));
            }
            FileSource::Url(_) | FileSource::Id(_) => self.tokens(FILE_ELSEWHERE),
        }
    }

    /// A text behind base64.
    fn encoded_text(&mut self, data: &str) {
        self.text.begin();
        let mut plain = [0; 3 * QUADS];
        for chunk in data.as_bytes().chunks(4 * QUADS) {
            match BASE64.decode_slice(chunk, &mut plain) {
                Ok(length) => self.text.add(&plain[..length]),
                // Whatever the provider makes of it has no more tokens than bytes.
                Err(_) => self.tokens(chunk.len() as u64),
            }
        }
    }

    fn tool(&mut self, tool: &Tool) {
        self.frame(PER_TOOL);
        match tool {
            Tool::Function {
                name,
                description,
                parameters,
                ..
            } => {
                self.text(Some(name));
                self.text(description.as_deref());
                if let Some(parameters) = parameters {
                    self.json(parameters);
                }
            }
            Tool::Opaque(opaque) => self.json(&opaque.value),
        }
    }
}

/// Counts what is written, so that JSON is measured without being made.
impl io::Write for &mut Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.seen += bytes.len();
        self.text.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A picture of about a megapixel; larger ones are mostly scaled down to that.
fn picture(dialect: Dialect, detail: Option<&str>) -> u64 {
    match (dialect, detail) {
        (Dialect::OpenAiChat | Dialect::OpenAiResponses, Some("low")) => 100,
        (Dialect::OpenAiChat | Dialect::OpenAiResponses, _) => 1500,
        (Dialect::Anthropic, _) => 1600,
        (Dialect::Gemini, _) => 1120,
    }
}

/// The bytes by which a file is named or brought along.
const fn named(source: &FileSource) -> usize {
    match source {
        FileSource::Base64 { data, .. } => data.len(),
        FileSource::Url(name) | FileSource::Id(name) => name.len(),
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// Bytes behind a base64 text.
fn decoded(base64: &str) -> u64 {
    length(base64).div_ceil(4).saturating_mul(3)
}

#[cfg(test)]
mod tests;
