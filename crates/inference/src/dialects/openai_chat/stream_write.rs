//! Streams to callers.

use super::super::openai::{ExtraContent, end_line, error_object, json, line};
use super::answer_write::{answer_id, finish_word};
use super::deltas::{Delta, DeltaCall, DeltaFunction};
use super::message_wire::is_call;
use super::thoughts::Block;
use super::usage::Usage;
use crate::{
    AnswerContext, Dialect, Event, Failure, FinishReason, Opaque, PartKind, StreamEncoder, Tokens,
};
use serde::Serialize;

/// A writer for one stream. Usage is told at the end if the request asks for it.
pub(crate) fn stream_writer(context: &AnswerContext<'_>) -> StreamWriter {
    StreamWriter {
        request_id: context.request_id.to_owned(),
        model: context.request.model.clone(),
        created: context.created,
        has_usage: context.request.stream_usage,
        head: Vec::new(),
        parts: Vec::new(),
        thoughts: Vec::new(),
        calls: 0,
        tokens: None,
    }
}

/// Writes a stream of Chat Completions.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    request_id: String,
    model: String,
    created: u64,
    has_usage: bool,
    /// How every chunk begins, up to its choices.
    head: Vec<u8>,
    parts: Vec<Written>,
    thoughts: Vec<Thought>,
    calls: usize,
    tokens: Option<Tokens>,
}

/// What a part was written as.
#[derive(Debug, Clone, Copy)]
enum Written {
    Text,
    Refusal,
    /// By its place among the thoughts.
    Thought(usize),
    /// By its place among the calls.
    Call(usize),
    Whole,
}

#[derive(Debug, Default)]
struct Thought {
    block: Block<'static>,
    is_written: bool,
}

impl StreamWriter {
    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Head<'a> {
            id: &'a str,
            object: &'static str,
            created: u64,
            model: &'a str,
        }
        self.head.extend_from_slice(b"data: ");
        let id = answer_id(id, &self.request_id);
        let head = Head {
            id: &id,
            object: "chat.completion.chunk",
            created: self.created,
            model,
        };
        json(&head, &mut self.head);
        // Every chunk goes on inside of the object.
        self.head.pop();
        self.chunk(
            &Delta {
                role: Some("assistant"),
                content: Some(""),
                ..Delta::default()
            },
            out,
        );
    }

    fn chunk(&self, delta: &Delta<'_>, out: &mut Vec<u8>) {
        self.choice(delta, None, None, out);
    }

    fn choice(
        &self,
        delta: &Delta<'_>,
        finish_reason: Option<&'static str>,
        stop_reason: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        #[derive(Serialize)]
        struct Choice<'a> {
            index: u64,
            delta: &'a Delta<'a>,
            logprobs: Option<()>,
            finish_reason: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            stop_reason: Option<&'a str>,
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"choices\":[");
        let choice = Choice {
            index: 0,
            delta,
            logprobs: None,
            finish_reason,
            stop_reason,
        };
        json(&choice, out);
        out.extend_from_slice(b"]}");
        end_line(out);
    }

    fn begin(&mut self, kind: &PartKind, out: &mut Vec<u8>) {
        let written = match kind {
            PartKind::Text => Written::Text,
            PartKind::Refusal => Written::Refusal,
            PartKind::Reasoning { id } => self.begin_thought(id.as_ref(), out),
            PartKind::ToolCall { id, name } => {
                let index = self.calls;
                self.calls += 1;
                let delta = Delta::calls(DeltaCall {
                    index,
                    id: Some(id),
                    r#type: Some("function"),
                    function: Some(DeltaFunction {
                        name: Some(name),
                        arguments: "",
                    }),
                    extra_content: None,
                    whole: None,
                });
                self.chunk(&delta, out);
                Written::Call(index)
            }
            PartKind::Opaque(opaque) => {
                self.whole(opaque, out);
                Written::Whole
            }
        };
        self.parts.push(written);
    }

    /// A thought after another begins with its block, because pieces of text alone could not be told
    /// apart; so does one with an id.
    fn begin_thought(&mut self, id: Option<&String>, out: &mut Vec<u8>) -> Written {
        let index = self.thoughts.len();
        for earlier in 0..index {
            self.block(earlier, out);
        }
        let block = Block {
            index: Some(index),
            id: id.cloned(),
            ..Block::default()
        };
        if index > 0 || id.is_some() {
            self.chunk(&Delta::block(&block), out);
        }
        self.thoughts.push(Thought {
            block,
            is_written: false,
        });
        Written::Thought(index)
    }

    /// Writes a thought's text and proof, once.
    fn block(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(thought) = self.thoughts.get_mut(index) else {
            return;
        };
        if std::mem::replace(&mut thought.is_written, true) {
            return;
        }
        let mut block = std::mem::take(&mut thought.block);
        // It was told when the thought began, and clients join what comes twice.
        block.id = None;
        self.chunk(&Delta::block(&block), out);
    }

    fn whole(&mut self, opaque: &Opaque, out: &mut Vec<u8>) {
        if opaque.dialect != Dialect::OpenAiChat {
            return;
        }
        let Some(fields) = opaque.value.as_object() else {
            return;
        };
        if is_call(opaque) {
            let index = self.calls;
            self.calls += 1;
            let delta = Delta::calls(DeltaCall {
                index,
                id: None,
                r#type: None,
                function: None,
                extra_content: None,
                whole: Some(fields),
            });
            return self.chunk(&delta, out);
        }
        let (audio, aside) = match fields.get("type") {
            Some(_) => (fields.get("audio"), None),
            None => (None, Some(fields)),
        };
        let delta = Delta {
            audio,
            aside,
            ..Delta::default()
        };
        self.chunk(&delta, out);
    }

    fn delta(&mut self, part: usize, text: &str, out: &mut Vec<u8>) {
        let said = Some(text);
        let delta = match self.parts.get(part) {
            Some(Written::Text) => Delta {
                content: said,
                ..Delta::default()
            },
            Some(Written::Refusal) => Delta {
                refusal: said,
                ..Delta::default()
            },
            Some(Written::Thought(index)) => {
                if let Some(thought) = self.thoughts.get_mut(*index) {
                    thought.block.text.to_mut().push_str(text);
                }
                Delta {
                    reasoning_content: said,
                    ..Delta::default()
                }
            }
            Some(Written::Call(index)) => {
                let function = DeltaFunction {
                    name: None,
                    arguments: text,
                };
                Delta::call(*index, function)
            }
            Some(Written::Whole) | None => return,
        };
        self.chunk(&delta, out);
    }

    fn proof(&mut self, part: usize, signature: &str, out: &mut Vec<u8>) {
        match self.parts.get(part) {
            Some(Written::Thought(index)) => {
                if let Some(thought) = self.thoughts.get_mut(*index) {
                    thought.block.signature = Some(signature.to_owned());
                }
            }
            Some(Written::Call(index)) => {
                let delta = Delta::calls(DeltaCall {
                    index: *index,
                    id: None,
                    r#type: None,
                    // The official client's stream helper takes no piece of a call without one.
                    function: Some(DeltaFunction {
                        name: None,
                        arguments: "",
                    }),
                    extra_content: Some(ExtraContent::of(signature)),
                    whole: None,
                });
                self.chunk(&delta, out);
            }
            _ => {}
        }
    }

    fn end_part(&mut self, part: usize, out: &mut Vec<u8>) {
        let Some(Written::Thought(index)) = self.parts.get(part).copied() else {
            return;
        };
        let thought = self.thoughts.get(index);
        if index > 0 || thought.is_some_and(|thought| thought.block.is_more_than_text()) {
            self.block(index, out);
        }
    }

    fn finish(&self, reason: FinishReason, stop: Option<&str>, out: &mut Vec<u8>) {
        self.choice(&Delta::default(), Some(finish_word(reason)), stop, out);
        if let Some(tokens) = self.tokens.filter(|_| self.has_usage) {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b",\"choices\":[],\"usage\":");
            json(&Usage::from(tokens), out);
            out.extend_from_slice(b"}");
            end_line(out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl StreamEncoder for StreamWriter {
    fn encode(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Started { id, model } => {
                let asked = std::mem::take(&mut self.model);
                let model = if model.is_empty() { &asked } else { model };
                self.start(id, model, out);
            }
            Event::PartStarted { kind, .. } => self.begin(kind, out),
            Event::Delta { part, text } if !text.is_empty() => self.delta(*part, text, out),
            Event::Delta { .. } => {}
            Event::Signature { part, signature } => self.proof(*part, signature, out),
            Event::Sealed { part, sealed } => {
                if let Some(Written::Thought(index)) = self.parts.get(*part)
                    && let Some(thought) = self.thoughts.get_mut(*index)
                {
                    thought.block.sealed = Some(sealed.clone());
                }
            }
            Event::PartEnded { part } => self.end_part(*part, out),
            Event::Counted(tokens) => self.tokens = Some(*tokens),
            Event::Finished { reason, stop } => self.finish(*reason, stop.as_deref(), out),
        }
    }

    /// An error, and no `[DONE]` after it: official clients raise it.
    fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Failed<T> {
            error: T,
        }
        let error = error_object(failure);
        line(&Failed { error }, out);
    }
}
