//! Messages of requests to providers.

use super::super::failed_result::as_failure;
use super::super::foreign::{drop_once, foreign_part};
use super::super::openai::{not_sayable, source_url};
use super::details;
use super::message_wire::{
    ImageUrl, InputAudio, TypedPart, WireCall, WireContent, WireFile, WireMessage, WirePart,
    is_call,
};
use super::request_write::{Flavour, Thoughts};
use super::thoughts::Block;
use crate::{Dialect, FileSource, Message, Part, Role, Unsupported};
use std::borrow::Cow;

/// Writes a conversation.
pub(super) struct Messages<'a, 'd> {
    flavour: Flavour,
    messages: Vec<WireMessage<'a>>,
    /// What tools answered beside text, where their results cannot hold it: the user shows it behind them.
    shown: Vec<WirePart<'a>>,
    dropped: &'d mut Vec<String>,
}

impl<'a, 'd> Messages<'a, 'd> {
    /// An empty conversation; what is left out without harm will be named in `dropped`.
    pub(super) const fn new(flavour: &Flavour, dropped: &'d mut Vec<String>) -> Self {
        Self {
            flavour: *flavour,
            messages: Vec::new(),
            shown: Vec::new(),
            dropped,
        }
    }

    /// Writes all messages.
    ///
    /// # Errors
    /// A part that cannot be said.
    pub(super) fn write(
        mut self,
        messages: &'a [Message],
    ) -> Result<Vec<WireMessage<'a>>, Unsupported> {
        self.messages.reserve(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let goes_on = matches!(message.parts.first(), Some(Part::ToolResult { .. }));
            if message.role != Role::User || !goes_on {
                self.show();
            }
            match message.role {
                Role::User => self.user(message, index)?,
                Role::Assistant => self.assistant(message, index)?,
                Role::System => self.instructions("system", message, index)?,
                Role::Developer if self.flavour.developer_role => {
                    self.instructions("developer", message, index)?;
                }
                Role::Developer => self.instructions("system", message, index)?,
            }
        }
        self.show();
        Ok(self.messages)
    }

    fn instructions(
        &mut self,
        role: &'static str,
        message: &'a Message,
        index: usize,
    ) -> Result<(), Unsupported> {
        let mut parts = Vec::with_capacity(message.parts.len());
        for (at, part) in message.parts.iter().enumerate() {
            parts.extend(self.part(part, index, at)?);
        }
        self.push(role, message, parts);
        Ok(())
    }

    /// Results of tools become messages of their own, before or after what the user says.
    fn user(&mut self, message: &'a Message, index: usize) -> Result<(), Unsupported> {
        let mut said = Vec::new();
        for (at, part) in message.parts.iter().enumerate() {
            let Part::ToolResult {
                call_id,
                content,
                is_error,
            } = part
            else {
                said.extend(self.part(part, index, at)?);
                continue;
            };
            if !said.is_empty() {
                self.push("user", message, std::mem::take(&mut said));
            }
            let mut content = self.result(call_id, content, index, at)?;
            if *is_error {
                tell_failure(&mut content);
            }
            let content = content_of(content);
            self.messages.push(WireMessage {
                role: "tool",
                content: Some(content),
                tool_call_id: Some(call_id),
                ..WireMessage::default()
            });
        }
        if !said.is_empty() || message.parts.is_empty() {
            said.splice(0..0, self.shown.drain(..));
            self.push("user", message, said);
        }
        Ok(())
    }

    fn result(
        &mut self,
        call_id: &str,
        content: &'a [Part],
        index: usize,
        at: usize,
    ) -> Result<Vec<WirePart<'a>>, Unsupported> {
        let (mut parts, mut shown) = (Vec::with_capacity(content.len()), Vec::new());
        for part in content {
            let is_text = !matches!(
                part,
                Part::Image { .. } | Part::File { .. } | Part::Audio { .. }
            );
            let place = match is_text || self.flavour.result_images {
                true => &mut parts,
                false => &mut shown,
            };
            place.extend(self.part(part, index, at)?);
        }
        if !shown.is_empty() {
            if parts.is_empty() {
                parts.push(own_text(
                    "The result is in the next message of the user.".to_owned(),
                ));
            }
            self.shown
                .push(own_text(format!("The result of the call {call_id}:")));
            self.shown.append(&mut shown);
        }
        Ok(parts)
    }

    /// Shows what tools answered beside text. All results of a turn have to stand together before it.
    fn show(&mut self) {
        if self.shown.is_empty() {
            return;
        }
        let content = content_of(std::mem::take(&mut self.shown));
        self.messages.push(WireMessage {
            role: "user",
            content: Some(content),
            ..WireMessage::default()
        });
    }

    fn push(&mut self, role: &'static str, message: &'a Message, parts: Vec<WirePart<'a>>) {
        self.messages.push(WireMessage {
            role,
            content: Some(content_of(parts)),
            name: message.name.as_deref(),
            ..WireMessage::default()
        });
    }

    fn assistant(&mut self, message: &'a Message, index: usize) -> Result<(), Unsupported> {
        let mut wire = WireMessage {
            role: "assistant",
            name: message.name.as_deref(),
            ..WireMessage::default()
        };
        let mut parts = Vec::new();
        for (at, part) in message.parts.iter().enumerate() {
            match part {
                Part::Reasoning { .. } if self.flavour.thoughts == Thoughts::LeftOut => {
                    drop_once(self.dropped, "reasoning_content");
                }
                Part::Reasoning {
                    text, signature, ..
                } => {
                    let entry = details::entry_of(text, signature.as_deref());
                    wire.reasoning_details.extend(entry);
                    wire.reasoning_content
                        .get_or_insert_default()
                        .push_str(text);
                    wire.reasoning_blocks.extend(Block::of(part));
                }
                Part::ToolCall(call) => {
                    let call = WireCall::of(call, self.flavour.call_signatures);
                    wire.tool_calls.push(call);
                }
                Part::Opaque(opaque) if opaque.dialect == Dialect::OpenAiChat => {
                    match opaque.value.as_object() {
                        _ if is_call(opaque) => {
                            wire.tool_calls.push(WireCall::Opaque(&opaque.value));
                        }
                        Some(fields) if fields.get("type").is_some_and(|is| is == "audio") => {
                            wire.audio = fields.get("audio");
                        }
                        Some(fields) if !fields.contains_key("type") => wire.aside = Some(fields),
                        _ => parts.push(WirePart::Opaque(&opaque.value)),
                    }
                }
                _ => parts.extend(self.part(part, index, at)?),
            }
        }
        if self.flavour.thoughts != Thoughts::Blocks || !Block::are_needed(&wire.reasoning_blocks) {
            wire.reasoning_blocks.clear();
        } else {
            wire.reasoning_details.clear();
        }
        wire.reasoning_content = wire.reasoning_content.filter(|text| !text.is_empty());
        match parts.as_slice() {
            [] if !wire.tool_calls.is_empty() || wire.audio.is_some() => {}
            [WirePart::Typed(TypedPart::Refusal { refusal })] => wire.refusal = Some(refusal),
            _ => wire.content = Some(content_of(parts)),
        }
        self.messages.push(wire);
        Ok(())
    }

    /// A part of a message's content; none for what may be left out.
    fn part(
        &mut self,
        part: &'a Part,
        index: usize,
        at: usize,
    ) -> Result<Option<WirePart<'a>>, Unsupported> {
        let param = || format!("messages[{index}].content[{at}]");
        let typed = match part {
            Part::Text { text, cache } => TypedPart::Text {
                text: Cow::Borrowed(text),
                cache_control: self.flavour.cache_control(cache.as_deref()),
            },
            Part::Refusal { text } => TypedPart::Refusal { refusal: text },
            Part::Image { source, detail } => {
                let Some(url) = source_url(source) else {
                    let message = "the model's provider takes images as bytes or addresses only";
                    return Err(not_sayable(param(), message));
                };
                let detail = detail.as_deref();
                TypedPart::ImageUrl {
                    image_url: ImageUrl { url, detail },
                }
            }
            Part::Audio { data, format } => TypedPart::InputAudio {
                input_audio: InputAudio { data, format },
            },
            Part::File { source, name } => TypedPart::File {
                file: wire_file(source, name.as_deref(), param)?,
            },
            Part::CacheMark { .. } => return Ok(None),
            Part::Opaque(opaque) if opaque.dialect == Dialect::OpenAiChat => {
                return Ok(Some(WirePart::Opaque(&opaque.value)));
            }
            Part::Opaque(opaque) => match foreign_part(opaque, &param(), self.dropped)? {
                Some(text) => TypedPart::Text {
                    text: Cow::Borrowed(text),
                    cache_control: None,
                },
                None => return Ok(None),
            },
            Part::Reasoning { .. } | Part::ToolCall(_) | Part::ToolResult { .. } => {
                let message = "such a part cannot stand in a message of this role";
                return Err(not_sayable(param(), message));
            }
        };
        Ok(Some(WirePart::Typed(typed)))
    }
}

fn wire_file<'a>(
    source: &'a FileSource,
    filename: Option<&'a str>,
    param: impl Fn() -> String,
) -> Result<WireFile<'a>, Unsupported> {
    let (file_data, file_id) = match source {
        FileSource::Base64 { .. } => (source_url(source), None),
        FileSource::Id(id) => (None, Some(id.as_str())),
        FileSource::Url(_) => {
            let message = "the model's provider takes documents as bytes only, not by address";
            return Err(not_sayable(param(), message));
        }
    };
    Ok(WireFile {
        file_data,
        file_id,
        filename,
    })
}

/// Says in the first text of a tool's result that the tool failed: there is no other place for it.
fn tell_failure(parts: &mut Vec<WirePart<'_>>) {
    let text = parts.iter_mut().find_map(|part| match part {
        WirePart::Typed(TypedPart::Text { text, .. }) => Some(text),
        _ => None,
    });
    if let Some(text) = text {
        *text = as_failure(std::mem::take(text));
        return;
    }
    parts.insert(0, own_text(as_failure(Cow::default()).into_owned()));
}

fn own_text(text: String) -> WirePart<'static> {
    WirePart::Typed(TypedPart::Text {
        text: Cow::Owned(text),
        cache_control: None,
    })
}

/// Text alone stands there as such: some servers know nothing else.
fn content_of(mut parts: Vec<WirePart<'_>>) -> WireContent<'_> {
    match parts.as_mut_slice() {
        [] => WireContent::Text(Cow::default()),
        [
            WirePart::Typed(TypedPart::Text {
                text,
                cache_control: None,
            }),
        ] => WireContent::Text(std::mem::take(text)),
        _ => WireContent::Parts(parts),
    }
}
