//! Streams of providers.

use super::super::openai::{CallIds, Text, malformed};
use super::answer_read::{Head, item_parts, tool_call};
use super::frames::{Frame, fault, is_unknown, item_of};
use super::items::BETWEEN_SUMMARIES;
use super::items::has_origin;
use super::sealed;
use crate::{Answer, DecodeError, Event, FinishReason, Part, PartKind, Sse, StreamDecoder};
use serde_json::Value;

/// Reads a stream of Responses.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    is_started: bool,
    is_complete: bool,
    next: usize,
    open: Vec<Open>,
    ids: CallIds,
}

/// A part that is not complete yet.
#[derive(Debug)]
struct Open {
    /// The item, and within a message the part of it.
    item: u64,
    content: Option<u64>,
    part: usize,
    has_text: bool,
    summary: u64,
}

impl StreamReader {
    /// Reads one stream.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn start(&mut self, head: Option<&Head<'_>>, events: &mut Vec<Event>) {
        if self.is_started {
            return;
        }
        self.is_started = true;
        let text = |text: Option<&Text<'_>>| text.map_or("", Text::as_str).to_owned();
        events.push(Event::Started {
            id: text(head.and_then(|head| head.id.as_ref())),
            model: text(head.and_then(|head| head.model.as_ref())),
        });
    }

    fn begin(
        &mut self,
        item: u64,
        content: Option<u64>,
        kind: PartKind,
        events: &mut Vec<Event>,
    ) -> usize {
        let part = self.next;
        self.next += 1;
        events.push(Event::PartStarted { part, kind });
        self.open.push(Open {
            item,
            content,
            part,
            has_text: false,
            summary: 0,
        });
        self.open.len().saturating_sub(1)
    }

    fn find(&self, item: u64, content: Option<u64>) -> Option<usize> {
        self.open
            .iter()
            .position(|open| open.item == item && open.content == content)
    }

    fn piece(&mut self, place: usize, text: String, events: &mut Vec<Event>) {
        if let Some(open) = self.open.get_mut(place)
            && !text.is_empty()
        {
            open.has_text = true;
            let part = open.part;
            events.push(Event::Delta { part, text });
        }
    }

    /// The whole text of what came in pieces; it counts where no pieces came.
    fn whole(&mut self, place: usize, text: Option<Text<'_>>, events: &mut Vec<Event>) {
        let is_new = self.open.get(place).is_some_and(|open| !open.has_text);
        if let Some(text) = text.filter(|_| is_new) {
            self.piece(place, text.0.into_owned(), events);
        }
    }

    fn close(&mut self, place: usize, events: &mut Vec<Event>) {
        if place < self.open.len() {
            let part = self.open.remove(place).part;
            events.push(Event::PartEnded { part });
        }
    }

    fn said(&mut self, frame: Frame<'_>, kind: PartKind, events: &mut Vec<Event>) {
        let (item, content) = (frame.output_index, Some(frame.content_index));
        let whole = frame.text.or(frame.refusal);
        let is_empty =
            |text: &Option<Text<'_>>| text.as_ref().is_none_or(|text| text.as_str().is_empty());
        let place = match self.find(item, content) {
            Some(place) => place,
            // Text that is empty is no part.
            None if is_empty(&frame.delta) && is_empty(&whole) => return,
            None => self.begin(item, content, kind, events),
        };
        match frame.delta {
            Some(delta) => self.piece(place, delta.0.into_owned(), events),
            None => self.whole(place, whole, events),
        }
    }

    fn thought(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) {
        let item = frame.output_index;
        let place = match self.find(item, None) {
            Some(place) => place,
            None => self.begin(item, None, PartKind::Reasoning { id: None }, events),
        };
        let index = frame.summary_index.unwrap_or(frame.content_index);
        let Some(open) = self.open.get_mut(place) else {
            return;
        };
        if index > open.summary && open.has_text {
            open.summary = index;
            let (part, text) = (open.part, BETWEEN_SUMMARIES.to_owned());
            events.push(Event::Delta { part, text });
        }
        if let Some(delta) = frame.delta {
            self.piece(place, delta.0.into_owned(), events);
        } else {
            self.whole(place, frame.text, events);
        }
    }

    fn item_added(
        &mut self,
        item: u64,
        value: Value,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let Value::Object(mut fields) = value else {
            return Ok(());
        };
        match fields.get("type").and_then(Value::as_str) {
            Some("reasoning") => {
                let id = fields.get_mut("id").map(Value::take);
                let id = id.and_then(|id| id.as_str().map(str::to_owned));
                let id = sealed::provider_id(id);
                self.begin(item, None, PartKind::Reasoning { id }, events);
            }
            Some("function_call") if !has_origin(&fields) => {
                let call = tool_call(&mut fields, &mut self.ids)?;
                self.begin(item, None, PartKind::of_call(&call), events);
            }
            _ => {}
        }
        Ok(())
    }

    fn item_done(
        &mut self,
        item: u64,
        value: Value,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let kind = value.get("type").and_then(Value::as_str);
        let is_message = kind == Some("message");
        let mut parts = Vec::new();
        if let Some(place) = self.find(item, None) {
            // The id was taken when the item began.
            item_parts(value, &mut CallIds::default(), &mut parts)?;
            if let Some(part) = parts.pop() {
                self.rest(place, part, events);
            }
            self.close(place, events);
        } else if is_message && self.open.iter().any(|open| open.item == item) {
            while let Some(place) = self.open.iter().position(|open| open.item == item) {
                self.close(place, events);
            }
            self.annotations(value, events)?;
        } else {
            item_parts(value, &mut self.ids, &mut parts)?;
            for part in parts {
                self.add(part, events);
            }
        }
        Ok(())
    }

    /// What a complete item says beyond its pieces.
    fn rest(&mut self, place: usize, part: Part, events: &mut Vec<Event>) {
        let text = match &part {
            Part::Reasoning { text, .. } => text.clone(),
            Part::ToolCall(call) => call.arguments.clone(),
            _ => String::new(),
        };
        self.whole(place, Some(Text(text.into())), events);
        let Some(number) = self.open.get(place).map(|open| open.part) else {
            return;
        };
        let (signature, sealed) = match part {
            Part::Reasoning {
                signature, sealed, ..
            } => (signature, sealed),
            Part::ToolCall(call) => (call.signature, None),
            _ => (None, None),
        };
        let part = number;
        events.extend(signature.map(|signature| Event::Signature { part, signature }));
        events.extend(sealed.map(|sealed| Event::Sealed { part, sealed }));
    }

    /// The annotations of a message whose text came in pieces.
    fn annotations(&mut self, value: Value, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut parts = Vec::new();
        item_parts(value, &mut CallIds::default(), &mut parts)?;
        for part in parts {
            if matches!(part, Part::Opaque(_)) {
                self.add(part, events);
            }
        }
        Ok(())
    }

    /// Adds a whole part.
    fn add(&mut self, part: Part, events: &mut Vec<Event>) {
        let answer = Answer {
            id: String::new(),
            model: String::new(),
            parts: vec![part],
            reason: FinishReason::Stop,
            stop: None,
            tokens: None,
        };
        let number = self.next;
        self.next += 1;
        for mut event in answer.events() {
            match &mut event {
                Event::PartStarted { part, .. }
                | Event::Delta { part, .. }
                | Event::Signature { part, .. }
                | Event::Sealed { part, .. }
                | Event::PartEnded { part } => *part = number,
                Event::Started { .. } | Event::Counted(_) | Event::Finished { .. } => continue,
            }
            events.push(event);
        }
    }

    fn finish(
        &mut self,
        head: Option<Head<'_>>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let Some(head) = head else {
            let message = "the answer's end has no `response`".to_owned();
            return Err(DecodeError::Malformed(message));
        };
        while !self.open.is_empty() {
            self.close(0, events);
        }
        let reason = head.reason(self.ids.any())?;
        events.extend(head.usage.map(|usage| Event::Counted(usage.into())));
        events.push(Event::Finished { reason, stop: None });
        self.is_complete = true;
        Ok(())
    }

    fn frame(
        &mut self,
        mut frame: Frame<'_>,
        data: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let kind = frame.kind.take();
        let kind = kind.as_ref().map_or("", Text::as_str);
        if kind.starts_with("response.") {
            self.start(frame.response.as_ref(), events);
        }
        match kind {
            "response.output_text.delta" | "response.output_text.done" => {
                self.said(frame, PartKind::Text, events);
            }
            "response.refusal.delta" | "response.refusal.done" => {
                self.said(frame, PartKind::Refusal, events);
            }
            "response.function_call_arguments.delta" | "response.function_call_arguments.done" => {
                if let Some(place) = self.find(frame.output_index, None) {
                    match frame.delta {
                        Some(delta) => self.piece(place, delta.0.into_owned(), events),
                        None => self.whole(place, frame.arguments, events),
                    }
                }
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.thought(frame, events);
            }
            "response.output_item.added" => {
                let item = item_of(data)?;
                self.item_added(frame.output_index, item, events)?;
            }
            "response.output_item.done" => {
                let item = item_of(data)?;
                self.item_done(frame.output_index, item, events)?;
            }
            "response.completed" | "response.incomplete" => {
                self.finish(frame.response, events)?;
            }
            "response.failed" | "response.cancelled" | "error" => {
                return Err(fault(data));
            }
            // Progress of tools that the provider runs: their items come whole at their end.
            _ if frame.error.is_some_and(|error| !error.is_null()) => return Err(fault(data)),
            _ => {}
        }
        Ok(())
    }
}

impl StreamDecoder for StreamReader {
    fn decode(&mut self, sse: &Sse<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let data = sse.data.trim();
        if data.is_empty() || data.starts_with("[DONE]") || self.is_complete {
            return Ok(());
        }
        if sse.name == "error" {
            return Err(fault(data));
        }
        match serde_json::from_str::<Frame<'_>>(data) {
            Ok(frame) => self.frame(frame, data, events),
            // Events that are not known here may have fields of other types.
            Err(_) if is_unknown(data) => Ok(()),
            Err(error) => Err(malformed(&error)),
        }
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn end(&mut self, _: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.is_complete {
            Ok(())
        } else {
            Err(DecodeError::Cut)
        }
    }
}
