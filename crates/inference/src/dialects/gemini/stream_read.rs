//! Streams (`alt=sse`), read. There is no last event: the stream is whole if a reason was told and the
//! connection ended in good order.

use super::chunk::{Candidate, Chunk, FunctionCall, Part};
use crate::dialects::proof;
use crate::{
    DecodeError, Dialect, Event, FinishReason, Opaque, PartKind, Sse, StreamDecoder, Tokens,
};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Reads a stream of `generateContent`.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    id: String,
    is_started: bool,
    /// How many parts have begun.
    parts: usize,
    /// The part that the next text may continue.
    open: Option<Open>,
    ids: HashSet<String>,
    tokens: Option<Tokens>,
    reason: Option<FinishReason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    part: usize,
    is_thought: bool,
}

impl StreamDecoder for StreamReader {
    fn decode(&mut self, sse: &Sse<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if sse.data.is_empty() {
            return Ok(());
        }
        self.read(sse.data, events)
    }

    fn is_complete(&self) -> bool {
        false
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let reason = self.reason.take().ok_or(DecodeError::Cut)?;
        self.close(events);
        let reason = match reason {
            FinishReason::Stop if !self.ids.is_empty() => FinishReason::ToolCalls,
            reason => reason,
        };
        events.push(Event::Finished { reason, stop: None });
        Ok(())
    }
}

impl StreamReader {
    /// Reads one response.
    pub(super) fn read(&mut self, json: &str, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let chunk: Chunk<'_> = match serde_json::from_str(json) {
            Ok(chunk) => chunk,
            Err(error) => return Err(fault(json).unwrap_or_else(|| malformed(&error))),
        };
        if chunk.error.is_some() {
            return Err(fault(json).unwrap_or(DecodeError::Cut));
        }
        if !self.is_started {
            self.is_started = true;
            self.id = chunk.response_id.unwrap_or_default();
            events.push(Event::Started {
                id: self.id.clone(),
                model: chunk.model_version.unwrap_or_default(),
            });
        }
        if let Some(usage) = &chunk.usage_metadata {
            let tokens = usage.tokens();
            if self.tokens != Some(tokens) {
                self.tokens = Some(tokens);
                events.push(Event::Counted(tokens));
            }
        }
        let candidates = chunk.candidates.unwrap_or_default();
        let is_blocked = chunk
            .prompt_feedback
            .is_some_and(|feedback| feedback.block_reason.is_some());
        if is_blocked && candidates.is_empty() {
            self.reason = Some(FinishReason::ContentFilter);
        }
        for candidate in candidates {
            if candidate.index == 0 {
                self.candidate(candidate, events)?;
            }
        }
        Ok(())
    }

    fn candidate(
        &mut self,
        candidate: Candidate<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let parts = candidate.content.and_then(|content| content.parts);
        for raw in parts.unwrap_or_default() {
            self.part(raw, events)?;
        }
        let is_said = |reason: &String| reason != "FINISH_REASON_UNSPECIFIED";
        if let Some(reason) = candidate.finish_reason.filter(is_said) {
            let message = candidate.finish_message.unwrap_or_default();
            self.reason = Some(reason_of(&reason, &message)?);
        }
        Ok(())
    }

    fn part(&mut self, raw: &RawValue, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let part: Part<'_> = serde_json::from_str(raw.get()).map_err(|error| malformed(&error))?;
        let proof = part.thought_signature.filter(|proof| !proof.is_empty());
        let proof = proof.as_deref().map(proof::of_gemini);
        let is_thought = part.thought.unwrap_or(false);
        match (part.text, part.function_call) {
            (_, Some(call)) => self.call(call, proof, events),
            (Some(text), None) => {
                self.text(text, is_thought, proof, events);
                Ok(())
            }
            (None, None) => {
                // A proof alone belongs to what was said before it.
                let is_proof = proof.is_some() && is_only_proof(raw);
                if is_proof {
                    self.text(String::new(), is_thought, proof, events);
                    return Ok(());
                }
                self.opaque(raw, events)
            }
        }
    }

    fn text(
        &mut self,
        text: String,
        is_thought: bool,
        proof: Option<String>,
        events: &mut Vec<Event>,
    ) {
        if !text.is_empty() {
            let part = self.continued(is_thought, events);
            events.push(Event::Delta { part, text });
        }
        if let Some(signature) = proof {
            // Of a text, the proof is kept as a thought of its own that says nothing.
            let part = self.continued(true, events);
            events.push(Event::Signature { part, signature });
            self.close(events);
        }
    }

    /// The open part, if it is of that kind, or a new one.
    fn continued(&mut self, is_thought: bool, events: &mut Vec<Event>) -> usize {
        if let Some(open) = self.open
            && open.is_thought == is_thought
        {
            return open.part;
        }
        self.close(events);
        let kind = if is_thought {
            PartKind::Reasoning { id: None }
        } else {
            PartKind::Text
        };
        let part = self.begin(kind, events);
        self.open = Some(Open { part, is_thought });
        part
    }

    fn begin(&mut self, kind: PartKind, events: &mut Vec<Event>) -> usize {
        let part = self.parts;
        self.parts += 1;
        events.push(Event::PartStarted { part, kind });
        part
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        let open = self.open.take();
        events.extend(open.map(|open| Event::PartEnded { part: open.part }));
    }

    fn call(
        &mut self,
        call: FunctionCall<'_>,
        proof: Option<String>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        self.close(events);
        let is_said = |text: &String| !text.is_empty();
        let name = call.name.filter(is_said);
        let name = name.ok_or(DecodeError::IncompleteToolCall)?;
        let id = call.id.filter(is_said);
        let id = id.unwrap_or_else(|| self.new_id());
        if !self.ids.insert(id.clone()) {
            return Err(DecodeError::DuplicateToolId(id));
        }
        let part = self.begin(PartKind::ToolCall { id, name }, events);
        events.extend(proof.map(|signature| Event::Signature { part, signature }));
        let text = call.args.map_or("{}", RawValue::get).to_owned();
        events.push(Event::Delta { part, text });
        events.push(Event::PartEnded { part });
        Ok(())
    }

    fn new_id(&self) -> String {
        let place = self.parts;
        if self.id.is_empty() {
            format!("call_{place}")
        } else {
            format!("call_{}_{place}", self.id)
        }
    }

    fn opaque(&mut self, raw: &RawValue, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.close(events);
        let value = serde_json::from_str(raw.get()).map_err(|error| malformed(&error))?;
        let dialect = Dialect::Gemini;
        let part = self.begin(PartKind::Opaque(Opaque { dialect, value }), events);
        events.push(Event::PartEnded { part });
        Ok(())
    }
}

fn reason_of(name: &str, message: &str) -> Result<FinishReason, DecodeError> {
    Ok(match name {
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => FinishReason::ContentFilter,
        // `OTHER`, `MALFORMED_FUNCTION_CALL`, `NO_IMAGE` and whatever is added to them break an answer off.
        _ => return Err(failed(name, message)),
    })
}

fn is_only_proof(raw: &RawValue) -> bool {
    let fields: Result<serde_json::Map<String, serde_json::Value>, _> =
        serde_json::from_str(raw.get());
    let is_known = |name: &String| matches!(name.as_str(), "thoughtSignature" | "thought");
    fields.is_ok_and(|fields| fields.keys().all(is_known))
}

/// A failure, alone or in a list.
fn fault(json: &str) -> Option<DecodeError> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    let error = value.get(0).unwrap_or(&value).get("error");
    error.is_some().then_some(DecodeError::Fault(value))
}

fn malformed(error: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed(format!("the answer cannot be read: {error}"))
}

fn failed(reason: &str, message: &str) -> DecodeError {
    let text = format!("the model ended with {reason}: {message}");
    DecodeError::BrokenOff(text.trim_end_matches([' ', ':']).to_owned())
}
