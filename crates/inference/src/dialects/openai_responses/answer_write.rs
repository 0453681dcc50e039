//! Whole answers to callers, and the object that stands for an answer at every stage of a stream.

use super::super::openai::{ExtraContent, json};
use super::echo::echo;
use super::items::{
    Content, Item, TypedPart, WireItem, WirePart, annotations, arguments, reasoning,
};
use super::sealed::thought_id;
use super::usage::Usage;
use crate::{Answer, AnswerContext, Dialect, FinishReason, Part, Tokens, ToolCall};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Writes a whole answer.
pub(crate) fn write_answer(answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
    let mut object = ResponseObject::new(&answer.id, &answer.model, context);
    for part in &answer.parts {
        object.items.add(part);
    }
    object.items.end(answer.reason);
    let mut body = Vec::with_capacity(1024);
    object.write(&Stage::Ended(answer.reason, answer.tokens), &mut body);
    body
}

/// An answer, as far as it came.
#[derive(Debug)]
pub(super) struct ResponseObject {
    id: String,
    model: String,
    created: u64,
    pub(super) items: Items,
    echo: Vec<u8>,
}

/// How far an answer came.
#[derive(Debug)]
pub(super) enum Stage<'a> {
    /// It goes on.
    InProgress,
    /// It is over.
    Ended(FinishReason, Option<Tokens>),
    /// It failed.
    Failed {
        /// A word for programs.
        code: &'a str,
        /// A sentence for people.
        message: &'a str,
    },
}

impl ResponseObject {
    /// An answer without items.
    pub(super) fn new(id: &str, model: &str, context: &AnswerContext<'_>) -> Self {
        let mut object = Self {
            id: String::new(),
            model: String::new(),
            created: context.created,
            items: Items::default(),
            echo: echo(context.request),
        };
        object.name(id, model, context.request_id, &context.request.model);
        object
    }

    /// Sets id and model, or what stands in for them.
    pub(super) fn name(&mut self, id: &str, model: &str, request_id: &str, asked: &str) {
        self.id = if id.is_empty() {
            format!("resp_{request_id}")
        } else {
            id.to_owned()
        };
        self.model = if model.is_empty() { asked } else { model }.to_owned();
        self.items.answer.clone_from(&self.id);
    }

    /// Writes the object.
    pub(super) fn write(&self, stage: &Stage<'_>, out: &mut Vec<u8>) {
        let (status, why, tokens, error) = match stage {
            Stage::InProgress => ("in_progress", None, None, None),
            Stage::Ended(FinishReason::Stop | FinishReason::ToolCalls, tokens) => {
                ("completed", None, *tokens, None)
            }
            Stage::Ended(FinishReason::ContentFilter, tokens) => {
                ("incomplete", Some("content_filter"), *tokens, None)
            }
            // There is no word for a pause; the caller may go on in both cases.
            Stage::Ended(FinishReason::Length | FinishReason::Pause, tokens) => {
                ("incomplete", Some("max_output_tokens"), *tokens, None)
            }
            Stage::Failed { code, message } => {
                ("failed", None, None, Some(WireError { code, message }))
            }
        };
        let object = Object {
            id: &self.id,
            object: "response",
            created_at: self.created,
            status,
            error,
            incomplete_details: why.map(|reason| Incomplete { reason }),
            model: &self.model,
            output: &self.items,
            usage: tokens.map(Into::into),
        };
        json(&object, out);
        out.pop();
        out.push(b',');
        out.extend_from_slice(&self.echo);
        out.push(b'}');
    }
}

#[derive(Serialize)]
struct Object<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    error: Option<WireError<'a>>,
    incomplete_details: Option<Incomplete>,
    model: &'a str,
    output: &'a Items,
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct WireError<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

/// The items of an answer.
#[derive(Debug, Default)]
pub(super) struct Items {
    answer: String,
    pub(super) items: Vec<Made>,
}

/// An item.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) id: String,
    pub(super) is_done: bool,
    /// Whether the answer was cut within it.
    is_cut: bool,
    pub(super) what: What,
}

/// What an item is.
#[derive(Debug)]
pub(super) enum What {
    Message(Vec<Said>),
    Thought {
        text: String,
        signature: Option<String>,
        sealed: Option<String>,
    },
    Call(ToolCall),
    Opaque(Value),
}

/// A part of what the model says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) is_refusal: bool,
    pub(super) is_done: bool,
    pub(super) text: String,
    pub(super) annotations: Vec<Value>,
}

impl Said {
    /// The part on the wire.
    pub(super) fn wire(&self) -> WirePart<'_> {
        WirePart::Known(if self.is_refusal {
            TypedPart::Refusal {
                refusal: &self.text,
            }
        } else {
            TypedPart::OutputText {
                annotations: &self.annotations,
                logprobs: [],
                text: &self.text,
            }
        })
    }
}

impl Items {
    /// Begins an item; gives its place.
    pub(super) fn begin(&mut self, what: What, id: Option<&str>) -> usize {
        let place = self.items.len();
        let id = match &what {
            What::Message(_) => format!("msg_{place}_{}", self.answer),
            What::Call(_) => format!("fc_{place}_{}", self.answer),
            What::Thought { .. } => thought_id(id, place, &self.answer),
            What::Opaque(_) => String::new(),
        };
        self.items.push(Made {
            id,
            is_done: false,
            is_cut: false,
            what,
        });
        place
    }

    /// The message that can still grow.
    pub(super) fn open_message(&self) -> Option<usize> {
        let last = self.items.last()?;
        let is_open = matches!(last.what, What::Message(_)) && !last.is_done;
        is_open.then(|| self.items.len().saturating_sub(1))
    }

    /// Adds a whole part.
    fn add(&mut self, part: &Part) {
        match part {
            Part::Text { text, .. } => self.say(false, text),
            Part::Refusal { text } => self.say(true, text),
            Part::Reasoning {
                text,
                signature,
                sealed,
                id,
            } => {
                let what = What::Thought {
                    text: text.clone(),
                    signature: signature.clone(),
                    sealed: sealed.clone(),
                };
                self.begin(what, id.as_deref());
            }
            Part::ToolCall(call) => drop(self.begin(What::Call(call.clone()), None)),
            Part::Opaque(opaque) if opaque.dialect == Dialect::OpenAiResponses => {
                match annotations(&opaque.value) {
                    Some(list) => self.annotate(list),
                    None => drop(self.begin(What::Opaque(opaque.value.clone()), None)),
                }
            }
            // What only another dialect knows has no place here; a model says nothing else.
            _ => {}
        }
    }

    /// Says why the answer ended: where it was cut, its last item is not complete.
    pub(super) fn ended_by(&mut self, reason: FinishReason) {
        let is_whole = matches!(reason, FinishReason::Stop | FinishReason::ToolCalls);
        if let Some(last) = self.items.last_mut().filter(|_| !is_whole) {
            last.is_cut = true;
        }
    }

    fn end(&mut self, reason: FinishReason) {
        self.ended_by(reason);
        for made in &mut self.items {
            made.is_done = true;
        }
    }

    fn say(&mut self, is_refusal: bool, text: &str) {
        let said = Said {
            is_refusal,
            text: text.to_owned(),
            ..Said::default()
        };
        let open = self.open_message();
        match open.and_then(|place| self.items.get_mut(place)) {
            Some(Made {
                what: What::Message(content),
                ..
            }) => content.push(said),
            _ => drop(self.begin(What::Message(vec![said]), None)),
        }
    }

    fn annotate(&mut self, list: &[Value]) {
        if let Some(Made {
            what: What::Message(content),
            ..
        }) = self.items.last_mut()
            && let Some(said) = content.last_mut()
        {
            said.annotations.extend_from_slice(list);
        }
    }
}

impl Made {
    /// The item on the wire, whole.
    pub(super) fn wire(&self) -> WireItem<'_> {
        let id = Some(self.id.as_str());
        let status = Some(match self.is_cut {
            true => "incomplete",
            false => "completed",
        });
        WireItem::Known(match &self.what {
            What::Message(content) => Item::Message {
                id,
                status,
                role: "assistant",
                content: Content::Parts(content.iter().map(Said::wire).collect()),
            },
            What::Thought {
                text,
                signature,
                sealed,
            } => reasoning(&self.id, text, signature.as_deref(), sealed.as_deref()),
            What::Call(call) => Item::FunctionCall {
                id,
                call_id: &call.id,
                name: &call.name,
                arguments: arguments(call),
                status,
                extra_content: call.signature.as_deref().map(ExtraContent::of),
            },
            What::Opaque(value) => return WireItem::Opaque(value),
        })
    }

    /// The item on the wire, as it begins.
    pub(super) fn wire_begun(&self) -> WireItem<'_> {
        let id = Some(self.id.as_str());
        let status = Some("in_progress");
        WireItem::Known(match &self.what {
            What::Message(_) => Item::Message {
                id,
                status,
                role: "assistant",
                content: Content::Parts(Vec::new()),
            },
            What::Thought { .. } => reasoning(&self.id, "", None, None),
            What::Call(call) => Item::FunctionCall {
                id,
                call_id: &call.id,
                name: &call.name,
                arguments: "",
                status,
                extra_content: None,
            },
            What::Opaque(value) => return WireItem::Opaque(value),
        })
    }
}

impl Serialize for Items {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let done = self.items.iter().filter(|made| made.is_done);
        serializer.collect_seq(done.map(Made::wire))
    }
}
