//! Tool calls, put together out of a stream's pieces.

use super::super::openai::{CallIds, Text, signature_of};
use super::stream_read::Parts;
use crate::{DecodeError, Dialect, Event, Opaque, PartKind};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// A piece of a call.
#[derive(Deserialize)]
pub(super) struct WireCall<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<WireFunction<'a>>,
    #[serde(borrow, default)]
    custom: Option<WireFunction<'a>>,
    #[serde(default)]
    extra_content: Option<Value>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
    #[serde(borrow, default)]
    input: Option<Text<'a>>,
}

/// The calls so far. One whose arguments are not complete when the next begins goes on beside it.
#[derive(Debug, Default)]
pub(super) struct Calls {
    ids: CallIds,
    count: usize,
    /// Every call's index and the id that the server gave it.
    known: Vec<(Option<u64>, Option<String>)>,
    /// Those that can grow, in the order in which they began.
    open: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    place: usize,
    name: String,
    arguments: String,
    is_custom: bool,
    /// Its part, once it has begun: not before its name is known.
    part: Option<usize>,
    signature: Option<String>,
}

/// A part that only this dialect knows.
pub(super) const fn opaque(value: Value) -> PartKind {
    PartKind::Opaque(Opaque {
        dialect: Dialect::OpenAiChat,
        value,
    })
}

fn said<'a>(text: Option<&'a Text<'_>>) -> Option<&'a str> {
    text.map(Text::as_str).filter(|text| !text.is_empty())
}

impl Call {
    /// Whether nothing more can come for it once another began. Only arguments, which are JSON, tell
    /// whether they are complete.
    fn is_settled(&self) -> bool {
        let is_json = serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok();
        self.is_custom || self.name.is_empty() || is_json
    }
}

impl Calls {
    /// For an answer to a conversation that holds so many already.
    pub(super) fn after(answers_before: usize) -> Self {
        Self {
            ids: CallIds::after(answers_before),
            ..Self::default()
        }
    }

    /// Whether a call of a function came.
    pub(super) const fn any(&self) -> bool {
        self.count > 0
    }

    /// Whether a call of any kind came, if only a piece of it.
    pub(super) const fn have_begun(&self) -> bool {
        !self.known.is_empty()
    }

    /// Reads a piece.
    ///
    /// # Errors
    /// Two calls share an id, a call has no name, or goes on after its end.
    pub(super) fn piece(
        &mut self,
        piece: WireCall<'_>,
        parts: &mut Parts,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let is_custom = piece.custom.is_some();
        let function = piece.function.as_ref().or(piece.custom.as_ref());
        let name = said(function.and_then(|function| function.name.as_ref()));
        let text = function.and_then(|function| function.arguments.as_ref());
        let text = text.or(function.and_then(|function| function.input.as_ref()));
        let text = said(text).unwrap_or_default();
        let id = said(piece.id.as_ref());
        let place = match self.place(piece.index, id, name, text) {
            Some(place) => place,
            None => {
                self.settle(events, parts)?;
                self.known.push((piece.index, id.map(str::to_owned)));
                self.open.push(Call {
                    place: self.known.len().saturating_sub(1),
                    name: String::new(),
                    arguments: String::new(),
                    is_custom,
                    part: None,
                    signature: None,
                });
                self.known.len().saturating_sub(1)
            }
        };
        let Some(at) = self.open.iter().position(|call| call.place == place) else {
            if text.is_empty() {
                return Ok(());
            }
            let message = "a tool call goes on after its end".to_owned();
            return Err(DecodeError::Malformed(message));
        };
        let call = &mut self.open[at];
        call.signature = piece
            .extra_content
            .as_ref()
            .and_then(signature_of)
            .or(call.signature.take());
        if call.name.is_empty() {
            call.name.push_str(name.unwrap_or_default());
        }
        if let (Some(id), Some((_, known))) = (id, self.known.get_mut(place)) {
            known.get_or_insert_with(|| id.to_owned());
        }
        call.arguments.push_str(text);
        self.begin_or_go_on(at, text, parts, events)
    }

    /// The call that a piece belongs to; absent for a new one.
    fn place(
        &self,
        index: Option<u64>,
        id: Option<&str>,
        name: Option<&str>,
        text: &str,
    ) -> Option<usize> {
        let last = self.open.last();
        if let Some(id) = id {
            // The same id under another index is another call, to be refused when it begins.
            let same = |known: &(Option<u64>, Option<String>)| {
                known.1.as_deref() == Some(id) && (index.is_none() || known.0 == index)
            };
            let unnamed = |known: &(Option<u64>, Option<String>)| {
                known.1.is_none() && index.is_some() && known.0 == index && name.is_none()
            };
            let found = self.known.iter().rposition(same);
            return found.or_else(|| self.known.iter().rposition(unnamed));
        }
        let place = match index {
            Some(_) => self.known.iter().rposition(|known| known.0 == index)?,
            None => last.map(|call| call.place)?,
        };
        let call = self.open.iter().find(|call| call.place == place);
        // A name comes again with a piece of the same call, or begins another under the same index.
        let is_another = name.zip(call).is_some_and(|(name, call)| {
            !call.name.is_empty() && (call.name != name || begins_anew(&call.arguments, text))
        });
        (!is_another).then_some(place)
    }

    fn begin_or_go_on(
        &mut self,
        at: usize,
        text: &str,
        parts: &mut Parts,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let call = &mut self.open[at];
        if call.is_custom || call.name.is_empty() {
            return Ok(());
        }
        if let Some(part) = call.part {
            if !text.is_empty() {
                let text = text.to_owned();
                events.push(Event::Delta { part, text });
            }
            return Ok(());
        }
        let id = self.known.get(call.place).and_then(|known| known.1.clone());
        let id = self.ids.take(id)?;
        self.count += 1;
        parts.close(events);
        let name = call.name.clone();
        let part = parts.begin(PartKind::ToolCall { id, name }, events);
        call.part = Some(part);
        if !call.arguments.is_empty() {
            let text = call.arguments.clone();
            events.push(Event::Delta { part, text });
        }
        Ok(())
    }

    /// Ends the calls for which nothing more can come when another begins.
    fn settle(&mut self, events: &mut Vec<Event>, parts: &mut Parts) -> Result<(), DecodeError> {
        for call in std::mem::take(&mut self.open) {
            match call.is_settled() {
                true => self.end(call, parts, events)?,
                false => self.open.push(call),
            }
        }
        Ok(())
    }

    /// Ends all calls.
    ///
    /// # Errors
    /// One has no name.
    pub(super) fn close(
        &mut self,
        parts: &mut Parts,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let mut open = std::mem::take(&mut self.open).into_iter();
        open.try_for_each(|call| self.end(call, parts, events))
    }

    fn end(
        &mut self,
        call: Call,
        parts: &mut Parts,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if call.name.is_empty() {
            return Err(DecodeError::IncompleteToolCall);
        }
        if call.is_custom {
            let id = self.known.get(call.place).and_then(|known| known.1.clone());
            let id = self.ids.take(id)?;
            parts.close(events);
            let custom = json!({"name": call.name, "input": call.arguments});
            let kind = opaque(json!({"id": id, "type": "custom", "custom": custom}));
            let part = parts.begin(kind, events);
            events.push(Event::PartEnded { part });
            return Ok(());
        }
        if let Some(part) = call.part {
            if call.arguments.is_empty() {
                let text = "{}".to_owned();
                events.push(Event::Delta { part, text });
            }
            if let Some(signature) = call.signature {
                events.push(Event::Signature { part, signature });
            }
            events.push(Event::PartEnded { part });
        }
        Ok(())
    }
}

/// Whether arguments are complete and more of them begin.
fn begins_anew(arguments: &str, text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(arguments).is_ok()
}
