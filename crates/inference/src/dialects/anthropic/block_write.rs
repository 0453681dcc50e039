//! Content blocks, written.

use super::ids::accepted;
use crate::dialects::arguments::Input;
use crate::dialects::foreign::foreign_part;
use crate::dialects::{proof, url_base64};
use crate::{Dialect, FileSource, Part, ToolCall, Unsupported};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// A block on the wire.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Cache<'a>>,
    },
    Image {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Cache<'a>>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Cache<'a>>,
    },
    Thinking {
        thinking: &'a str,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Input<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Cache<'a>>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<Content<'a>>,
        #[serde(skip_serializing_if = "is_false")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Cache<'a>>,
    },
    #[serde(untagged)]
    Opaque(&'a Value),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Content on the wire: a lone text as a string.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(&'a str),
    Blocks(Vec<Block<'a>>),
}

impl<'a> Content<'a> {
    /// Nothing where there are no blocks.
    pub(super) fn of(blocks: Vec<Block<'a>>) -> Option<Self> {
        match blocks.as_slice() {
            [] => None,
            [
                Block::Text {
                    text,
                    cache_control: None,
                },
            ] => Some(Self::Text(text)),
            _ => Some(Self::Blocks(blocks)),
        }
    }
}

/// A mark for the prompt cache.
#[derive(Serialize)]
pub(super) struct Cache<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ttl: &'a str,
}

impl<'a> Cache<'a> {
    pub(super) fn of(time: &'a str) -> Self {
        // Other dialects may say times that this one does not know; the default does no harm.
        let ttl = if matches!(time, "5m" | "1h") {
            time
        } else {
            ""
        };
        Self {
            kind: "ephemeral",
            ttl,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Base64 {
        media_type: &'a str,
        data: &'a str,
    },
    Text {
        media_type: &'static str,
        data: String,
    },
    Url {
        url: &'a str,
    },
    File {
        file_id: &'a str,
    },
}

/// Writes parts, and names what was left out.
pub(super) struct Blocks<'a, 'd> {
    pub(super) written: Vec<Block<'a>>,
    pub(super) dropped: &'d mut Vec<String>,
}

impl<'a> Blocks<'a, '_> {
    /// Adds one part, which stands at `place` in the request.
    pub(super) fn add(
        &mut self,
        part: &'a Part,
        place: &dyn Fn() -> String,
    ) -> Result<(), Unsupported> {
        let block = match part {
            Part::Text { text, .. } | Part::Refusal { text } if text.trim().is_empty() => {
                return Ok(());
            }
            Part::Text { text, cache } => Block::Text {
                text,
                cache_control: cache.as_deref().map(Cache::of),
            },
            Part::Refusal { text } => Block::Text {
                text,
                cache_control: None,
            },
            Part::Image { source, .. } => Block::Image {
                source: image_source(source, place)?,
                cache_control: None,
            },
            Part::File { source, name } => Block::Document {
                source: document_source(source, place)?,
                title: name.as_deref(),
                cache_control: None,
            },
            Part::Audio { .. } => return Err(cannot(place, "this wire has no sound")),
            Part::Reasoning {
                text,
                signature,
                sealed,
                id,
            } => match (signature, sealed, id) {
                (Some(signature), ..) if proof::is_marked(signature) => {
                    self.dropped.push(place());
                    return Ok(());
                }
                (Some(signature), ..) => Block::Thinking {
                    thinking: text,
                    signature: Cow::Borrowed(signature),
                },
                (None, Some(data), None) if text.is_empty() => Block::RedactedThinking {
                    data: Cow::Borrowed(data),
                },
                _ => {
                    self.dropped.push(place());
                    return Ok(());
                }
            },
            Part::ToolCall(call) => tool_use(call),
            Part::ToolResult {
                call_id,
                content,
                is_error,
            } => self.result(call_id, content, *is_error, place)?,
            Part::CacheMark { time } => {
                self.mark(time);
                return Ok(());
            }
            Part::Opaque(opaque) if opaque.dialect == Dialect::Anthropic => {
                Block::Opaque(&opaque.value)
            }
            Part::Opaque(opaque) => match foreign_part(opaque, &place(), self.dropped)? {
                Some(text) if !text.trim().is_empty() => Block::Text {
                    text,
                    cache_control: None,
                },
                _ => return Ok(()),
            },
        };
        self.written.push(block);
        Ok(())
    }

    fn result(
        &mut self,
        call_id: &'a str,
        content: &'a [Part],
        is_error: bool,
        place: &dyn Fn() -> String,
    ) -> Result<Block<'a>, Unsupported> {
        let mut inner = Blocks {
            written: Vec::with_capacity(content.len()),
            dropped: self.dropped,
        };
        for (at, part) in content.iter().enumerate() {
            inner.add(part, &|| format!("{}.content[{at}]", place()))?;
        }
        Ok(Block::ToolResult {
            tool_use_id: accepted(call_id),
            content: Content::of(inner.written),
            is_error,
            cache_control: None,
        })
    }

    /// Marks the last block.
    fn mark(&mut self, time: &'a str) {
        match self.written.last_mut() {
            Some(
                Block::Text { cache_control, .. }
                | Block::Image { cache_control, .. }
                | Block::Document { cache_control, .. }
                | Block::ToolUse { cache_control, .. }
                | Block::ToolResult { cache_control, .. },
            ) => *cache_control = Some(Cache::of(time)),
            Some(Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::Opaque(_))
            | None => {}
        }
    }
}

fn tool_use(call: &ToolCall) -> Block<'_> {
    Block::ToolUse {
        id: accepted(&call.id),
        name: &call.name,
        input: Input::of(&call.arguments),
        cache_control: None,
    }
}

fn cannot(place: &dyn Fn() -> String, message: &str) -> Unsupported {
    Unsupported {
        param: place(),
        message: message.to_owned(),
    }
}

fn image_source<'a>(
    source: &'a FileSource,
    place: &dyn Fn() -> String,
) -> Result<Source<'a>, Unsupported> {
    Ok(match source {
        FileSource::Base64 { media_type, data } => Source::Base64 { media_type, data },
        FileSource::Url(url) => match url_base64(url) {
            Some((media_type, data)) => Source::Base64 { media_type, data },
            None if url.starts_with("data:") => {
                return Err(cannot(place, "a `data:` address has to be base64"));
            }
            None => Source::Url { url },
        },
        FileSource::Id(file_id) => Source::File { file_id },
    })
}

fn document_source<'a>(
    source: &'a FileSource,
    place: &dyn Fn() -> String,
) -> Result<Source<'a>, Unsupported> {
    match image_source(source, place)? {
        Source::Base64 {
            media_type: "text/plain",
            data,
        } => {
            let bytes = STANDARD.decode(data);
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let data = text.ok_or_else(|| cannot(place, "the document is no UTF-8 in base64"))?;
            Ok(Source::Text {
                media_type: "text/plain",
                data,
            })
        }
        Source::Base64 { media_type, .. } if media_type != "application/pdf" => Err(cannot(
            place,
            "documents are PDF (`application/pdf`) or text (`text/plain`)",
        )),
        source => Ok(source),
    }
}
