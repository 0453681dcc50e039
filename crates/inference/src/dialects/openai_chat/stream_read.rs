//! Streams of providers.
//!
//! Servers that follow OpenAI differ in the small: all calls may have the index 0, or none; ids and names
//! may come again with every piece; usage may come with every chunk. The stream is whole once a
//! finish reason was seen: servers exist that never send `[DONE]`. Those that never send a reason are believed
//! as long as they say text alone.

use super::super::openai::{Content, Text, fault_in, malformed};
use super::super::proof;
use super::answer_read::{aside, finish_reason, no_reason, said, stop_text};
use super::details;
use super::stream_calls::{Calls, WireCall};
use super::thoughts::Block;
use super::usage::Usage;
use crate::{DecodeError, Event, FinishReason, PartKind, Request, Sse, StreamDecoder};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Reads a stream of Chat Completions.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    has_choices: bool,
    is_started: bool,
    is_complete: bool,
    parts: Parts,
    thoughts: Vec<Thought>,
    /// The entry of `reasoning_details` that is arriving, without its text, and its part.
    detail: Option<(usize, Map<String, Value>)>,
    calls: Calls,
    end: Option<(FinishReason, Option<String>)>,
}

/// The parts so far, of which one is open; calls are not counted among these.
#[derive(Debug, Default)]
pub(super) struct Parts {
    next: usize,
    open: Option<(usize, Open)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    Text,
    Refusal,
    Thought,
}

impl Parts {
    /// Begins a part.
    pub(super) fn begin(&mut self, kind: PartKind, events: &mut Vec<Event>) -> usize {
        let part = self.next;
        self.next += 1;
        events.push(Event::PartStarted { part, kind });
        part
    }

    /// Makes a part the open one.
    pub(super) const fn open(&mut self, part: usize, kind: Open) {
        self.open = Some((part, kind));
    }

    /// The open part's number, if it is of this kind.
    fn current(&self, kind: Open) -> Option<usize> {
        self.open
            .filter(|(_, open)| *open == kind)
            .map(|(part, _)| part)
    }

    /// Ends the open part.
    pub(super) fn close(&mut self, events: &mut Vec<Event>) {
        if let Some((part, _)) = self.open.take() {
            events.push(Event::PartEnded { part });
        }
    }
}

#[derive(Debug)]
struct Thought {
    part: usize,
    has_text: bool,
}

impl StreamReader {
    /// For the answer to a request. Where that asks for no number of choices, a second one is an error;
    /// otherwise the first is read.
    pub(crate) fn new(request: &Request) -> Self {
        Self {
            has_choices: request.choices.is_some(),
            calls: Calls::after(request.answers_before()),
            ..Self::default()
        }
    }

    fn chunk(&mut self, chunk: Chunk<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        for choice in chunk.choices.unwrap_or_default() {
            if choice.index > 0 && self.has_choices {
                continue;
            }
            if choice.index > 0 {
                let message = "a second choice came where one was asked for".to_owned();
                return Err(DecodeError::Malformed(message));
            }
            if !self.is_started {
                self.is_started = true;
                let text =
                    |text: &Option<Text<'_>>| text.as_ref().map(|text| text.as_str().to_owned());
                events.push(Event::Started {
                    id: text(&chunk.id).unwrap_or_default(),
                    model: text(&chunk.model).unwrap_or_default(),
                });
            }
            self.delta(choice.delta.unwrap_or_default(), events)?;
            if let Some(word) = said(choice.finish_reason.as_ref()) {
                let reason = finish_reason(word, self.calls.any())?;
                self.close(events)?;
                self.end = Some((reason, stop_text(choice.stop_reason)));
            }
        }
        if let Some(usage) = chunk.usage {
            events.push(Event::Counted(usage.into()));
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        for block in delta.reasoning_blocks.unwrap_or_default() {
            self.block(block, events)?;
        }
        let details = details::entries(delta.reasoning_details);
        let is_shown = details.iter().any(details::shows_text);
        let content = delta.content.unwrap_or_default();
        let thought = delta.reasoning_content.or(delta.reasoning);
        if let Some(thought) = thought.filter(|_| !is_shown) {
            self.thought(thought.0.into_owned(), events)?;
        }
        self.thought(content.thought, events)?;
        for entry in details {
            self.detail(entry, events)?;
        }
        self.said(Open::Text, content.text.into_owned(), events)?;
        if let Some(refusal) = delta.refusal {
            self.said(Open::Refusal, refusal.0.into_owned(), events)?;
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.prove(events);
            self.calls.piece(call, &mut self.parts, events)?;
        }
        if let Some(audio) = delta.audio.filter(|audio| !audio.is_null()) {
            self.whole(json!({"type": "audio", "audio": audio}), events);
        }
        if let Some(aside) = aside(delta.annotations, delta.images, content.images) {
            self.whole(aside, events);
        }
        Ok(())
    }

    fn whole(&mut self, value: Value, events: &mut Vec<Event>) {
        let part = self.parts.begin(super::stream_calls::opaque(value), events);
        events.push(Event::PartEnded { part });
    }

    fn close(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.prove(events);
        self.calls.close(&mut self.parts, events)?;
        self.parts.close(events);
        Ok(())
    }

    fn said(
        &mut self,
        kind: Open,
        text: String,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if text.is_empty() {
            return Ok(());
        }
        let part = match self.parts.current(kind) {
            Some(part) => part,
            None => {
                self.close(events)?;
                let begun = match kind {
                    Open::Refusal => PartKind::Refusal,
                    _ => PartKind::Text,
                };
                let part = self.parts.begin(begun, events);
                self.parts.open(part, kind);
                part
            }
        };
        events.push(Event::Delta { part, text });
        Ok(())
    }

    fn thought(&mut self, text: String, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if text.is_empty() {
            return Ok(());
        }
        let part = match self.parts.current(Open::Thought) {
            Some(part) => part,
            None => self.new_thought(None, events)?,
        };
        if let Some(thought) = self.thoughts.last_mut() {
            thought.has_text = true;
        }
        events.push(Event::Delta { part, text });
        Ok(())
    }

    fn new_thought(
        &mut self,
        id: Option<String>,
        events: &mut Vec<Event>,
    ) -> Result<usize, DecodeError> {
        self.close(events)?;
        let part = self.parts.begin(PartKind::Reasoning { id }, events);
        self.parts.open(part, Open::Thought);
        self.thoughts.push(Thought {
            part,
            has_text: false,
        });
        Ok(part)
    }

    /// A piece of an entry: pieces of one follow each other.
    fn detail(
        &mut self,
        mut entry: Map<String, Value>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let text = details::take_text(&mut entry);
        let open = self.detail.as_mut();
        if !open.is_some_and(|(_, open)| details::join(open, &entry)) {
            let part = self.new_thought(None, events)?;
            self.detail = Some((part, entry));
        }
        self.thought(text, events)
    }

    /// Tells the proof of the entry that has arrived.
    fn prove(&mut self, events: &mut Vec<Event>) {
        if let Some((part, entry)) = self.detail.take() {
            let signature = proof::of_details(&entry);
            events.push(Event::Signature { part, signature });
        }
    }

    /// A block repeats the text that came before in pieces, and adds its proof.
    fn block(&mut self, block: Block<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let index = block.index.unwrap_or(self.thoughts.len());
        if index >= self.thoughts.len() {
            self.new_thought(block.id, events)?;
        }
        let index = index.min(self.thoughts.len().saturating_sub(1));
        let Some(thought) = self.thoughts.get_mut(index) else {
            return Ok(());
        };
        let part = thought.part;
        if !thought.has_text && !block.text.is_empty() {
            thought.has_text = true;
            let text = block.text.into_owned();
            events.push(Event::Delta { part, text });
        }
        if let Some(signature) = block.signature {
            events.push(Event::Signature { part, signature });
        }
        if let Some(sealed) = block.sealed {
            events.push(Event::Sealed { part, sealed });
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.is_complete {
            return Ok(());
        }
        if !self.is_started {
            let message = "the stream holds no answer".to_owned();
            return Err(DecodeError::Malformed(message));
        }
        self.close(events)?;
        let (reason, stop) = match self.end.take() {
            Some(end) => end,
            // A call may be one that broke off; a text that ends is of a server that says no more.
            None if self.parts.next == 0 || self.calls.have_begun() => return Err(no_reason()),
            None => (FinishReason::Stop, None),
        };
        self.is_complete = true;
        events.push(Event::Finished { reason, stop });
        Ok(())
    }
}

impl StreamDecoder for StreamReader {
    fn decode(&mut self, sse: &Sse<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let data = sse.data.trim();
        if data.is_empty() || self.is_complete {
            return Ok(());
        }
        if data.starts_with("[DONE]") {
            return self.finish(events);
        }
        if sse.name == "error" {
            let value = serde_json::from_str(data).unwrap_or_else(|_| Value::from(data));
            return Err(DecodeError::Fault(value));
        }
        let chunk: Chunk<'_> = serde_json::from_str(data)
            .map_err(|error| fault_in(data.as_bytes()).unwrap_or_else(|| malformed(&error)))?;
        if chunk.error.as_ref().is_some_and(|error| !error.is_null()) {
            let fault = fault_in(data.as_bytes());
            return Err(fault.unwrap_or(DecodeError::Fault(Value::Null)));
        }
        self.chunk(chunk, events)
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.is_complete {
            return Ok(());
        }
        if self.end.is_none() {
            return Err(DecodeError::Cut);
        }
        self.finish(events)
    }
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(default)]
    error: Option<Value>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(default)]
    stop_reason: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_blocks: Option<Vec<Block<'a>>>,
    #[serde(default)]
    reasoning_details: Option<Value>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<WireCall<'a>>>,
    #[serde(default)]
    annotations: Option<Value>,
    #[serde(default)]
    images: Option<Value>,
    #[serde(default)]
    audio: Option<Value>,
}
