//! A whole answer, and how it is put together out of events.

use super::{Event, FinishReason, Part, PartKind, ToolCall};
use crate::Tokens;

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The provider's id of it.
    pub id: String,
    /// The model that answered, as the provider calls it.
    pub model: String,
    /// What it says: text, thoughts, tool calls, a refusal.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub reason: FinishReason,
    /// The stop text that ended it, where the provider says so.
    pub stop: Option<String>,
    /// What the provider counted; absent where it counted nothing.
    pub tokens: Option<Tokens>,
}

impl Answer {
    /// The answer as a stream would have brought it.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Started {
            id: self.id.clone(),
            model: self.model.clone(),
        }];
        for (at, part) in self.parts.iter().enumerate() {
            part_events(at, part, &mut events);
        }
        events.extend(self.tokens.map(Event::Counted));
        events.push(Event::Finished {
            reason: self.reason,
            stop: self.stop.clone(),
        });
        events
    }
}

fn part_events(part: usize, content: &Part, events: &mut Vec<Event>) {
    let (kind, text, signature) = match content {
        Part::Text { text, .. } => (PartKind::Text, text.as_str(), None),
        Part::Refusal { text } => (PartKind::Refusal, text.as_str(), None),
        Part::Reasoning {
            text,
            signature,
            id,
            ..
        } => {
            let kind = PartKind::Reasoning { id: id.clone() };
            (kind, text.as_str(), signature.as_ref())
        }
        Part::ToolCall(call) => {
            let kind = PartKind::of_call(call);
            (kind, call.arguments.as_str(), call.signature.as_ref())
        }
        Part::Opaque(opaque) => (PartKind::Opaque(opaque.clone()), "", None),
        // A model says none of these; an answer that holds them was not read from a provider.
        Part::Image { .. }
        | Part::File { .. }
        | Part::Audio { .. }
        | Part::ToolResult { .. }
        | Part::CacheMark { .. } => return,
    };
    events.push(Event::PartStarted { part, kind });
    let signature = signature.map(|signature| Event::Signature {
        part,
        signature: signature.clone(),
    });
    // The proof of a call belongs to its head, that of a thought to its end.
    let (head, end) = match content {
        Part::ToolCall(_) => (signature, None),
        _ => (None, signature),
    };
    events.extend(head);
    if !text.is_empty() {
        let text = text.to_owned();
        events.push(Event::Delta { part, text });
    }
    events.extend(end);
    if let Part::Reasoning {
        sealed: Some(sealed),
        ..
    } = content
    {
        let sealed = sealed.clone();
        events.push(Event::Sealed { part, sealed });
    }
    events.push(Event::PartEnded { part });
}

/// Why events make no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    /// A piece belongs to a part that never began, or begins twice.
    #[error("a piece belongs to no part of the answer")]
    Part,
    /// There is no end.
    #[error("the answer has no end")]
    Unfinished,
}

/// An answer so far.
#[derive(Debug, Default)]
pub struct Assembly {
    id: String,
    model: String,
    parts: Vec<Part>,
    tokens: Option<Tokens>,
    end: Option<(FinishReason, Option<String>)>,
}

impl Assembly {
    /// Adds an event.
    ///
    /// # Errors
    /// [`AssemblyError::Part`].
    pub fn add(&mut self, event: Event) -> Result<(), AssemblyError> {
        match event {
            Event::Started { id, model } => (self.id, self.model) = (id, model),
            Event::PartStarted { part, kind } if part == self.parts.len() => {
                self.parts.push(begun(kind));
            }
            Event::PartStarted { .. } => return Err(AssemblyError::Part),
            Event::Delta { part, text } => match self.parts.get_mut(part) {
                Some(
                    Part::Text { text: whole, .. }
                    | Part::Refusal { text: whole }
                    | Part::Reasoning { text: whole, .. }
                    | Part::ToolCall(ToolCall {
                        arguments: whole, ..
                    }),
                ) => whole.push_str(&text),
                _ => return Err(AssemblyError::Part),
            },
            Event::Signature { part, signature } => match self.parts.get_mut(part) {
                Some(
                    Part::Reasoning {
                        signature: place, ..
                    }
                    | Part::ToolCall(ToolCall {
                        signature: place, ..
                    }),
                ) => *place = Some(signature),
                _ => return Err(AssemblyError::Part),
            },
            Event::Sealed { part, sealed } => match self.parts.get_mut(part) {
                Some(Part::Reasoning { sealed: place, .. }) => *place = Some(sealed),
                _ => return Err(AssemblyError::Part),
            },
            Event::PartEnded { part } if part < self.parts.len() => {}
            Event::PartEnded { .. } => return Err(AssemblyError::Part),
            Event::Counted(tokens) => self.tokens = Some(tokens),
            Event::Finished { reason, stop } => self.end = Some((reason, stop)),
        }
        Ok(())
    }

    /// Whether a part that has begun is text.
    #[must_use]
    pub fn is_text(&self, part: usize) -> bool {
        matches!(self.parts.get(part), Some(Part::Text { .. }))
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`AssemblyError::Unfinished`].
    pub fn finish(self) -> Result<Answer, AssemblyError> {
        let (reason, stop) = self.end.ok_or(AssemblyError::Unfinished)?;
        Ok(Answer {
            id: self.id,
            model: self.model,
            parts: self.parts,
            reason,
            stop,
            tokens: self.tokens,
        })
    }
}

fn begun(kind: PartKind) -> Part {
    match kind {
        PartKind::Text => Part::text(""),
        PartKind::Refusal => Part::Refusal {
            text: String::new(),
        },
        PartKind::Reasoning { id } => Part::Reasoning {
            text: String::new(),
            signature: None,
            sealed: None,
            id,
        },
        PartKind::ToolCall { id, name } => Part::ToolCall(ToolCall {
            id,
            name,
            arguments: String::new(),
            signature: None,
        }),
        PartKind::Opaque(opaque) => Part::Opaque(opaque),
    }
}
