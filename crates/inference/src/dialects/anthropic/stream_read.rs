//! Streams, read. A block that only this dialect knows arrives in pieces and is told when it is whole.

use super::answer::{reason_of, without_reason};
use super::block_read::is_direct;
use super::ids::without_proof;
use super::usage::Usage;
use crate::{DecodeError, Dialect, Event, FinishReason, Opaque, PartKind, Sse, StreamDecoder};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;

/// Reads a stream of Messages.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    /// Blocks that began and did not end, by their index on the wire.
    open: Vec<(u64, Open)>,
    /// How many parts have begun.
    parts: usize,
    ids: HashSet<String>,
    usage: Usage,
    end: Option<(FinishReason, Option<String>)>,
    is_complete: bool,
}

#[derive(Debug)]
enum Open {
    Part {
        part: usize,
        /// Whether it is a call whose arguments have not come yet.
        lacks_input: bool,
    },
    Held(Held),
}

/// A block that has no neutral form, so far.
#[derive(Debug, Default)]
struct Held {
    block: Map<String, Value>,
    text: String,
    input: String,
    citations: Vec<Value>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    message: Option<Start>,
    index: Option<u64>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    text: Option<String>,
    partial_json: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    citation: Option<Value>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
    #[serde(borrow)]
    caller: Option<&'a RawValue>,
}

impl StreamDecoder for StreamReader {
    fn decode(&mut self, sse: &Sse<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.is_complete || sse.data.is_empty() {
            return Ok(());
        }
        if sse.name == "error" {
            return Err(fault(sse.data));
        }
        let wire: Wire<'_> = serde_json::from_str(sse.data).map_err(malformed)?;
        match wire.kind.as_ref() {
            "message_start" => {
                let start = wire.message.ok_or_else(|| lacks("message"))?;
                self.usage = start.usage.unwrap_or_default();
                let (id, model) = (start.id, start.model);
                events.push(Event::Started { id, model });
                events.extend(self.usage.tokens().map(Event::Counted));
                Ok(())
            }
            "content_block_start" => {
                let index = wire.index.ok_or_else(|| lacks("index"))?;
                let block = wire.content_block.ok_or_else(|| lacks("content_block"))?;
                self.begin(index, block, events)
            }
            "content_block_delta" => {
                let index = wire.index.ok_or_else(|| lacks("index"))?;
                let delta = wire.delta.ok_or_else(|| lacks("delta"))?;
                self.piece(index, delta, events)
            }
            "content_block_stop" => {
                let index = wire.index.ok_or_else(|| lacks("index"))?;
                let at = self.position(index)?;
                let (_, open) = self.open.remove(at);
                self.finish_block(open, events)
            }
            "message_delta" => {
                if let Some(usage) = wire.usage {
                    self.usage.merge(usage);
                    events.extend(self.usage.tokens().map(Event::Counted));
                }
                if let Some(delta) = wire.delta
                    && let Some(reason) = delta.stop_reason
                {
                    self.end = Some((reason_of(&reason), delta.stop_sequence));
                }
                Ok(())
            }
            "message_stop" => self.stop(events),
            "error" => Err(fault(sse.data)),
            // `ping`, and what is not known yet.
            _ => Ok(()),
        }
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn end(&mut self, _events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.is_complete {
            Ok(())
        } else {
            Err(DecodeError::Cut)
        }
    }
}

impl StreamReader {
    fn position(&self, index: u64) -> Result<usize, DecodeError> {
        let position = self.open.iter().position(|(open, _)| *open == index);
        position.ok_or_else(|| {
            DecodeError::Malformed("a piece belongs to no block of the answer".to_owned())
        })
    }

    fn started(&mut self, kind: PartKind, events: &mut Vec<Event>) -> usize {
        let part = self.parts;
        self.parts += 1;
        events.push(Event::PartStarted { part, kind });
        part
    }

    fn begin(
        &mut self,
        index: u64,
        raw: &RawValue,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if self.position(index).is_ok() {
            return Err(DecodeError::Malformed("a block begins twice".to_owned()));
        }
        let head: Head<'_> = serde_json::from_str(raw.get()).map_err(malformed)?;
        let mut lacks_input = false;
        let part = match head.kind.as_ref() {
            "text" if head.citations.is_none() => {
                let part = self.started(PartKind::Text, events);
                push_text(part, head.text, events);
                part
            }
            "thinking" => {
                let part = self.started(PartKind::Reasoning { id: None }, events);
                push_text(part, head.thinking, events);
                push_signature(part, head.signature, events);
                part
            }
            "redacted_thinking" => {
                let part = self.started(PartKind::Reasoning { id: None }, events);
                let sealed = head.data.ok_or_else(|| lacks("data"))?;
                events.push(Event::Sealed { part, sealed });
                part
            }
            "tool_use" if head.caller.is_none_or(is_direct) => {
                let part = self.begin_call(head.id, head.name, events)?;
                let input = head.input.map(RawValue::get).filter(|json| !is_empty(json));
                lacks_input = input.is_none();
                push_text(part, input.map(str::to_owned), events);
                part
            }
            _ => {
                let block = serde_json::from_str(raw.get()).map_err(malformed)?;
                let held = Held {
                    block,
                    ..Held::default()
                };
                self.open.push((index, Open::Held(held)));
                return Ok(());
            }
        };
        self.open.push((index, Open::Part { part, lacks_input }));
        Ok(())
    }

    fn begin_call(
        &mut self,
        id: Option<String>,
        name: Option<String>,
        events: &mut Vec<Event>,
    ) -> Result<usize, DecodeError> {
        let is_said = |text: &String| !text.is_empty();
        let (Some(id), Some(name)) = (id.filter(is_said), name.filter(is_said)) else {
            return Err(DecodeError::IncompleteToolCall);
        };
        let (id, proof) = without_proof(id);
        if !self.ids.insert(id.clone()) {
            return Err(DecodeError::DuplicateToolId(id));
        }
        let part = self.started(PartKind::ToolCall { id, name }, events);
        push_signature(part, proof, events);
        Ok(part)
    }

    fn piece(
        &mut self,
        index: u64,
        delta: Delta<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let at = self.position(index)?;
        match &mut self.open[at].1 {
            Open::Part { part, lacks_input } => {
                let part = *part;
                match delta.kind.as_ref() {
                    "text_delta" => push_text(part, delta.text, events),
                    "thinking_delta" => push_text(part, delta.thinking, events),
                    "signature_delta" => push_signature(part, delta.signature, events),
                    "input_json_delta" => {
                        let json = delta.partial_json.filter(|json| !json.is_empty());
                        *lacks_input &= json.is_none();
                        push_text(part, json, events);
                    }
                    // Citations of a block that did not announce them, and what is not known yet.
                    _ => {}
                }
            }
            Open::Held(held) => {
                held.text.push_str(&delta.text.unwrap_or_default());
                held.input.push_str(&delta.partial_json.unwrap_or_default());
                held.citations.extend(delta.citation);
            }
        }
        Ok(())
    }

    fn finish_block(&mut self, open: Open, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let part = match open {
            Open::Part { part, lacks_input } => {
                push_text(part, lacks_input.then(|| "{}".to_owned()), events);
                part
            }
            Open::Held(held) if held.is_plain_text() => {
                let part = self.started(PartKind::Text, events);
                push_text(part, Some(held.text), events);
                part
            }
            Open::Held(held) => {
                let kind = held.whole()?;
                self.started(kind, events)
            }
        };
        events.push(Event::PartEnded { part });
        Ok(())
    }

    fn stop(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        for (_, open) in std::mem::take(&mut self.open) {
            self.finish_block(open, events)?;
        }
        let (reason, stop) = self.end.take().ok_or_else(without_reason)?;
        events.push(Event::Finished { reason, stop });
        self.is_complete = true;
        Ok(())
    }
}

impl Held {
    /// Whether it is text that could have had citations, and has none.
    fn is_plain_text(&self) -> bool {
        let field = |name: &str| self.block.get(name);
        self.citations.is_empty()
            && field("type").and_then(Value::as_str) == Some("text")
            && field("text")
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            && field("citations")
                .and_then(Value::as_array)
                .is_none_or(Vec::is_empty)
    }

    fn whole(mut self) -> Result<PartKind, DecodeError> {
        if !self.text.is_empty() {
            let before = self.block.get("text").and_then(Value::as_str);
            let text = format!("{}{}", before.unwrap_or_default(), self.text);
            let _ = self.block.insert("text".to_owned(), Value::String(text));
        }
        if !self.input.is_empty() {
            let input = serde_json::from_str(&self.input).map_err(malformed)?;
            let _ = self.block.insert("input".to_owned(), input);
        }
        if !self.citations.is_empty() {
            let citations = Value::Array(self.citations);
            let _ = self.block.insert("citations".to_owned(), citations);
        }
        Ok(PartKind::Opaque(Opaque {
            dialect: Dialect::Anthropic,
            value: Value::Object(self.block),
        }))
    }
}

fn push_text(part: usize, text: Option<String>, events: &mut Vec<Event>) {
    let text = text.filter(|text| !text.is_empty());
    events.extend(text.map(|text| Event::Delta { part, text }));
}

fn push_signature(part: usize, signature: Option<String>, events: &mut Vec<Event>) {
    let signature = signature.filter(|signature| !signature.is_empty());
    events.extend(signature.map(|signature| Event::Signature { part, signature }));
}

/// Whether it is an object without fields: the start of a streamed call has one in the arguments' place.
fn is_empty(json: &str) -> bool {
    let inner = json
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    inner.is_none_or(|inner| inner.trim().is_empty())
}

fn fault(data: &str) -> DecodeError {
    match serde_json::from_str(data) {
        Ok(value) => DecodeError::Fault(value),
        Err(_) => DecodeError::Fault(Value::String(data.to_owned())),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of `map_err`")]
fn malformed(error: serde_json::Error) -> DecodeError {
    DecodeError::Malformed(format!("an event cannot be read: {error}"))
}

fn lacks(field: &str) -> DecodeError {
    DecodeError::Malformed(format!("an event lacks `{field}`"))
}
