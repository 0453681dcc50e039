//! Items of requests to providers.

use super::super::foreign::{drop_once, foreign_part};
use super::super::openai::{not_sayable, source_url};
use super::items::{
    Content, InputAudio, Item, TypedPart, WireItem, WirePart, annotations, is_content, phase,
    reasoning,
};
use crate::{Dialect, FileSource, Message, Opaque, Part, Role, ToolCall, Unsupported};
use serde_json::Value;

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
                    if *is_error {
                        drop_once(self.dropped, "is_error");
                    }
                    Some(self.result(call_id, content, &param)?)
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
                content: Content::Text(""),
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
        call_id: &'a str,
        content: &'a [Part],
        param: &impl Fn() -> String,
    ) -> Result<Item<'a>, Unsupported> {
        let output = match content {
            [] => Content::Text(""),
            [Part::Text { text, .. }] => Content::Text(text),
            _ => {
                let mut parts = Vec::with_capacity(content.len());
                for part in content {
                    parts.extend(self.said(part, Role::User, param)?);
                }
                Content::Parts(parts)
            }
        };
        Ok(Item::FunctionCallOutput { call_id, output })
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

fn function_call(call: &ToolCall) -> Item<'_> {
    Item::FunctionCall {
        id: None,
        call_id: &call.id,
        name: &call.name,
        arguments: if call.arguments.is_empty() {
            "{}"
        } else {
            &call.arguments
        },
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
        _ => TypedPart::InputText { text },
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
