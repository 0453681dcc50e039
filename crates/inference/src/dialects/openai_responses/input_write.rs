//! Items of requests to providers.

use super::super::failed_result::as_failure;
use super::super::foreign::{drop_once, foreign_part};
use super::super::openai::{not_sayable, source_url};
use super::items::{
    Content, InputAudio, Item, TypedPart, WireItem, WirePart, annotations, arguments, is_content,
    phase, reasoning,
};
use crate::{Dialect, FileSource, Message, Opaque, Part, Role, ToolCall, Unsupported};
use serde_json::Value;
use std::borrow::Cow;

/// The instructions, and all other messages as items. What is left out without harm is named in `dropped`.
///
/// # Errors
/// A part that cannot be said.
pub(super) fn input<'a>(
    messages: &'a [Message],
    dropped: &mut Vec<String>,
) -> Result<(Option<&'a str>, Vec<WireItem<'a>>), Unsupported> {
    let mut writer = Writer {
        items: Vec::with_capacity(messages.len()),
        dropped,
        phase: None,
    };
    let mut instructions = None;
    for (index, message) in messages.iter().enumerate() {
        if message.name.is_some() {
            drop_once(writer.dropped, "messages[].name");
        }
        if let (0, Some(text)) = (index, instructions_of(message)) {
            instructions = Some(text);
        } else {
            writer.message(message, index)?;
        }
    }
    Ok((instructions, writer.items))
}

/// The text of a message that can stand as instructions.
pub(super) fn instructions_of(message: &Message) -> Option<&str> {
    match message.parts.as_slice() {
        [Part::Text { text, .. }] if message.role == Role::System => Some(text),
        _ => None,
    }
}

struct Writer<'a, 'b> {
    items: Vec<WireItem<'a>>,
    dropped: &'b mut Vec<String>,
    /// What the message that is being collected is to the whole answer.
    phase: Option<&'a Value>,
}

impl<'a> Writer<'a, '_> {
    /// Parts that are said become one item, up to the next part that is an item by itself.
    fn message(&mut self, message: &'a Message, index: usize) -> Result<(), Unsupported> {
        let role = match message.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let mut said = Vec::new();
        for (at, part) in message.parts.iter().enumerate() {
            let param = || format!("messages[{index}].content[{at}]");
            let item = match part {
                Part::ToolCall(call) => Some(function_call(call)),
                Part::ToolResult {
                    call_id,
                    content,
                    is_error,
                } => {
                    let output = self.result(content, *is_error, &param)?;
                    Some(Item::FunctionCallOutput { call_id, output })
                }
                Part::Reasoning {
                    text,
                    sealed: Some(sealed),
                    id: Some(id),
                    ..
                } => Some(reasoning(id, text, None, Some(sealed))),
                // Without its sealed form the provider would look for a thought that it has not kept.
                Part::Reasoning { .. } => {
                    drop_once(self.dropped, "reasoning");
                    continue;
                }
                _ => None,
            };
            if let Some(item) = item {
                self.flush(role, &mut said);
                self.items.push(WireItem::Known(item));
                continue;
            }
            match part {
                Part::Opaque(opaque) if own_phase(opaque).is_some() => {
                    self.flush(role, &mut said);
                    self.phase = own_phase(opaque);
                }
                Part::Opaque(opaque) if own_annotations(opaque).is_some() => {
                    let list = own_annotations(opaque).unwrap_or_default();
                    found_in(said.last_mut(), list);
                }
                Part::Opaque(opaque) if !is_said(opaque) => {
                    self.flush(role, &mut said);
                    self.items.push(WireItem::Opaque(&opaque.value));
                }
                _ => said.extend(self.said(part, message.role, &param)?),
            }
        }
        if message.parts.is_empty() {
            self.items.push(WireItem::Known(Item::Message {
                id: None,
                status: None,
                role,
                content: Content::Text(Cow::default()),
            }));
        }
        self.flush(role, &mut said);
        Ok(())
    }

    fn flush(&mut self, role: &'static str, said: &mut Vec<WirePart<'a>>) {
        let phase = self.phase.take();
        if said.is_empty() {
            return;
        }
        let item = Item::Message {
            id: None,
            status: None,
            role,
            content: Content::Parts(std::mem::take(said)),
        };
        self.items.push(match phase {
            Some(phase) => WireItem::Phased { item, phase },
            None => WireItem::Known(item),
        });
    }

    fn result(
        &mut self,
        content: &'a [Part],
        is_error: bool,
        param: &impl Fn() -> String,
    ) -> Result<Content<'a>, Unsupported> {
        let mut parts = Vec::with_capacity(content.len());
        for part in content {
            parts.extend(self.said(part, Role::User, param)?);
        }
        if is_error {
            tell_failure(&mut parts);
        }
        Ok(match parts.as_mut_slice() {
            [] => Content::Text(Cow::default()),
            [WirePart::Known(TypedPart::InputText { text })] => Content::Text(std::mem::take(text)),
            _ => Content::Parts(parts),
        })
    }

    /// A part of a message's content; none for what may be left out.
    fn said(
        &mut self,
        part: &'a Part,
        role: Role,
        param: &impl Fn() -> String,
    ) -> Result<Option<WirePart<'a>>, Unsupported> {
        let typed = match part {
            Part::Text { text, .. } => text_part(text, role),
            Part::Refusal { text } => TypedPart::Refusal { refusal: text },
            Part::Image { source, detail } => TypedPart::InputImage {
                image_url: source_url(source),
                file_id: id_of(source),
                detail: detail.as_deref(),
            },
            Part::File { source, name } => TypedPart::InputFile {
                file_data: match source {
                    FileSource::Base64 { .. } => source_url(source),
                    _ => None,
                },
                file_url: match source {
                    FileSource::Url(url) => Some(url),
                    _ => None,
                },
                file_id: id_of(source),
                filename: name.as_deref(),
            },
            Part::Audio { data, format } => TypedPart::InputAudio {
                input_audio: InputAudio { data, format },
            },
            Part::CacheMark { .. } => return Ok(None),
            Part::Opaque(opaque) if opaque.dialect != Dialect::OpenAiResponses => {
                match foreign_part(opaque, &param(), self.dropped)? {
                    Some(text) => text_part(text, role),
                    None => return Ok(None),
                }
            }
            Part::Opaque(opaque) => return Ok(Some(WirePart::Opaque(&opaque.value))),
            Part::Reasoning { .. } | Part::ToolCall(_) | Part::ToolResult { .. } => {
                let message = "such a part cannot stand inside of a tool's result";
                return Err(not_sayable(param(), message));
            }
        };
        Ok(Some(WirePart::Known(typed)))
    }
}

/// Says in the first text of a tool's result that the tool failed: there is no other place for it.
fn tell_failure(parts: &mut Vec<WirePart<'_>>) {
    let text = parts.iter_mut().find_map(|part| match part {
        WirePart::Known(TypedPart::InputText { text }) => Some(text),
        _ => None,
    });
    if let Some(text) = text {
        *text = as_failure(std::mem::take(text));
        return;
    }
    let text = as_failure(Cow::default());
    parts.insert(0, WirePart::Known(TypedPart::InputText { text }));
}

fn function_call(call: &ToolCall) -> Item<'_> {
    Item::FunctionCall {
        id: None,
        call_id: &call.id,
        name: &call.name,
        arguments: arguments(call),
        status: None,
        extra_content: None,
    }
}

fn text_part(text: &str, role: Role) -> TypedPart<'_> {
    match role {
        Role::Assistant => TypedPart::OutputText {
            annotations: &[],
            logprobs: [],
            text,
        },
        _ => TypedPart::InputText {
            text: Cow::Borrowed(text),
        },
    }
}

/// Whether a piece stands inside of a message, rather than as an item of its own.
fn is_said(opaque: &Opaque) -> bool {
    !is_own(opaque) || is_content(&opaque.value)
}

fn is_own(opaque: &Opaque) -> bool {
    opaque.dialect == Dialect::OpenAiResponses
}

fn own_phase(opaque: &Opaque) -> Option<&Value> {
    phase(&opaque.value).filter(|_| is_own(opaque))
}

fn own_annotations(opaque: &Opaque) -> Option<&[Value]> {
    let list = annotations(&opaque.value).filter(|_| is_own(opaque));
    list.map(Vec::as_slice)
}

/// Says where a text was found.
fn found_in<'a>(text: Option<&mut WirePart<'a>>, list: &'a [Value]) {
    if let Some(WirePart::Known(TypedPart::OutputText { annotations, .. })) = text {
        *annotations = list;
    }
}

fn id_of(source: &FileSource) -> Option<&str> {
    match source {
        FileSource::Id(id) => Some(id),
        _ => None,
    }
}
