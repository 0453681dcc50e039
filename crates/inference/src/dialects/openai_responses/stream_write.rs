//! Streams to callers.
//!
//! A part of a message is closed when the next part begins, not when it ends: annotations of a text may
//! follow it. So is a call: the last item of an answer that was cut is told to be incomplete.

use super::super::openai::error_object;
use super::answer_write::{Made, ResponseObject, Said, Stage, What};
use super::items::{Summary, annotations, arguments};
use super::stream_events::{Events, OfArguments, OfContent, OfItem, OfSummary};
use crate::{
    AnswerContext, Dialect, Event, Failure, FinishReason, PartKind, StreamEncoder, Tokens, ToolCall,
};
use serde::Serialize;
use serde_json::Value;

/// A writer for one stream.
pub(crate) fn stream_writer(context: &AnswerContext<'_>) -> StreamWriter {
    StreamWriter {
        object: ResponseObject::new("", "", context),
        request_id: context.request_id.to_owned(),
        asked: context.request.model.clone(),
        events: Events::default(),
        is_started: false,
        places: Vec::new(),
        ended: None,
        tokens: None,
    }
}

/// Writes a stream of Responses.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    object: ResponseObject,
    request_id: String,
    asked: String,
    events: Events,
    is_started: bool,
    places: Vec<Place>,
    /// The call that ended last, and was not told to be done.
    ended: Option<usize>,
    tokens: Option<Tokens>,
}

/// Where a part was written.
#[derive(Debug, Clone, Copy)]
struct Place {
    item: usize,
    content: usize,
}

impl StreamWriter {
    fn start(&mut self, out: &mut Vec<u8>) {
        self.is_started = true;
        for name in ["response.created", "response.in_progress"] {
            self.events
                .response(name, &self.object, &Stage::InProgress, out);
        }
    }

    fn begin(&mut self, kind: &PartKind, out: &mut Vec<u8>) {
        let place = match kind {
            PartKind::Text => self.begin_said(false, out),
            PartKind::Refusal => self.begin_said(true, out),
            PartKind::Reasoning { id } => {
                let what = What::Thought {
                    text: String::new(),
                    signature: None,
                    sealed: None,
                };
                self.begin_item(what, id.as_deref(), out)
            }
            PartKind::ToolCall { id, name } => {
                let call = ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                    signature: None,
                };
                self.begin_item(What::Call(call), None, out)
            }
            PartKind::Opaque(opaque) if opaque.dialect != Dialect::OpenAiResponses => usize::MAX,
            PartKind::Opaque(opaque) => match annotations(&opaque.value) {
                Some(list) => {
                    self.annotate(list, out);
                    usize::MAX
                }
                None => self.begin_item(What::Opaque(opaque.value.clone()), None, out),
            },
        };
        let content = match self.made(place).map(|made| &made.what) {
            Some(What::Message(content)) => content.len().saturating_sub(1),
            _ => 0,
        };
        let item = place;
        self.places.push(Place { item, content });
    }

    fn made(&self, item: usize) -> Option<&Made> {
        self.object.items.items.get(item)
    }

    fn begin_item(&mut self, what: What, id: Option<&str>, out: &mut Vec<u8>) -> usize {
        self.close_message(out);
        self.close_call(out);
        let output_index = self.object.items.begin(what, id);
        if let Some(made) = self.object.items.items.get(output_index) {
            let item = made.wire_begun();
            let fields = OfItem { output_index, item };
            self.events
                .write("response.output_item.added", &fields, out);
        }
        output_index
    }

    fn begin_said(&mut self, is_refusal: bool, out: &mut Vec<u8>) -> usize {
        let item = match self.object.items.open_message() {
            Some(item) => {
                self.close_said(item, out);
                item
            }
            None => self.begin_item(What::Message(Vec::new()), None, out),
        };
        if let Some(made) = self.object.items.items.get_mut(item)
            && let What::Message(content) = &mut made.what
        {
            let said = Said {
                is_refusal,
                ..Said::default()
            };
            let fields = OfContent {
                part: Some(said.wire()),
                ..OfContent::new(&made.id, item, content.len())
            };
            self.events
                .write("response.content_part.added", &fields, out);
            content.push(said);
        }
        item
    }

    fn annotate(&mut self, list: &[Value], out: &mut Vec<u8>) {
        let Some(item) = self.object.items.open_message() else {
            return;
        };
        let Some(made) = self.object.items.items.get_mut(item) else {
            return;
        };
        let What::Message(content) = &mut made.what else {
            return;
        };
        let index = content.len().saturating_sub(1);
        let Some(said) = content.last_mut() else {
            return;
        };
        for annotation in list {
            let fields = OfContent {
                annotation_index: Some(said.annotations.len()),
                annotation: Some(annotation),
                ..OfContent::new(&made.id, item, index)
            };
            self.events
                .write("response.output_text.annotation.added", &fields, out);
            said.annotations.push(annotation.clone());
        }
    }

    fn delta(&mut self, part: usize, text: &str, out: &mut Vec<u8>) {
        let Some(Place { item, content }) = self.places.get(part).copied() else {
            return;
        };
        let Some(made) = self.object.items.items.get_mut(item) else {
            return;
        };
        let delta = Some(text);
        match &mut made.what {
            What::Message(parts) => {
                let Some(said) = parts.get_mut(content) else {
                    return;
                };
                said.text.push_str(text);
                let is_refusal = said.is_refusal;
                let fields = OfContent {
                    delta,
                    logprobs: (!is_refusal).then_some([]),
                    ..OfContent::new(&made.id, item, content)
                };
                let name = if is_refusal {
                    "response.refusal.delta"
                } else {
                    "response.output_text.delta"
                };
                self.events.write(name, &fields, out);
            }
            What::Thought { text: whole, .. } => {
                let fields = |delta, part| OfSummary {
                    item_id: &made.id,
                    output_index: item,
                    summary_index: 0,
                    delta,
                    text: None,
                    part,
                };
                if whole.is_empty() {
                    let fields = fields(None, Some(Summary::of("")));
                    self.events
                        .write("response.reasoning_summary_part.added", &fields, out);
                }
                whole.push_str(text);
                self.events.write(
                    "response.reasoning_summary_text.delta",
                    &fields(delta, None),
                    out,
                );
            }
            What::Call(call) => {
                call.arguments.push_str(text);
                let fields = OfArguments {
                    item_id: &made.id,
                    output_index: item,
                    delta,
                    name: None,
                    arguments: None,
                };
                self.events
                    .write("response.function_call_arguments.delta", &fields, out);
            }
            What::Opaque(_) => {}
        }
    }

    fn proof(&mut self, part: usize, proof: &str, is_sealed: bool) {
        let item = self.places.get(part).map(|place| place.item);
        let made = item.and_then(|item| self.object.items.items.get_mut(item));
        match made.map(|made| &mut made.what) {
            Some(What::Thought { sealed, .. }) if is_sealed => *sealed = Some(proof.to_owned()),
            Some(What::Thought { signature, .. } | What::Call(ToolCall { signature, .. })) => {
                *signature = Some(proof.to_owned());
            }
            _ => {}
        }
    }

    fn end_part(&mut self, part: usize, out: &mut Vec<u8>) {
        let Some(Place { item, .. }) = self.places.get(part).copied() else {
            return;
        };
        let Some(made) = self.object.items.items.get(item) else {
            return;
        };
        match &made.what {
            What::Message(_) => return,
            What::Thought { text, .. } if !text.is_empty() => {
                let fields = |text, part| OfSummary {
                    item_id: &made.id,
                    output_index: item,
                    summary_index: 0,
                    delta: None,
                    text,
                    part,
                };
                let name = "response.reasoning_summary_text.done";
                self.events.write(name, &fields(Some(text), None), out);
                let name = "response.reasoning_summary_part.done";
                let part = Some(Summary::of(text));
                self.events.write(name, &fields(None, part), out);
            }
            What::Call(call) => {
                let fields = OfArguments {
                    item_id: &made.id,
                    output_index: item,
                    delta: None,
                    name: Some(&call.name),
                    arguments: Some(arguments(call)),
                };
                self.events
                    .write("response.function_call_arguments.done", &fields, out);
                self.close_call(out);
                self.ended = Some(item);
                return;
            }
            What::Thought { .. } | What::Opaque(_) => {}
        }
        self.done(item, out);
    }

    /// Ends the part of a message that is open.
    fn close_said(&mut self, item: usize, out: &mut Vec<u8>) {
        let Some(made) = self.object.items.items.get_mut(item) else {
            return;
        };
        let What::Message(content) = &mut made.what else {
            return;
        };
        let index = content.len().saturating_sub(1);
        let Some(said) = content.last_mut().filter(|said| !said.is_done) else {
            return;
        };
        said.is_done = true;
        let mut fields = OfContent::new(&made.id, item, index);
        let name = if said.is_refusal {
            fields.refusal = Some(&said.text);
            "response.refusal.done"
        } else {
            fields.text = Some(&said.text);
            fields.logprobs = Some([]);
            "response.output_text.done"
        };
        self.events.write(name, &fields, out);
        let fields = OfContent {
            part: Some(said.wire()),
            ..OfContent::new(&made.id, item, index)
        };
        self.events
            .write("response.content_part.done", &fields, out);
    }

    fn close_message(&mut self, out: &mut Vec<u8>) {
        if let Some(item) = self.object.items.open_message() {
            self.close_said(item, out);
            self.done(item, out);
        }
    }

    fn close_call(&mut self, out: &mut Vec<u8>) {
        if let Some(item) = self.ended.take() {
            self.done(item, out);
        }
    }

    fn done(&mut self, output_index: usize, out: &mut Vec<u8>) {
        let made = self.object.items.items.get_mut(output_index);
        if let Some(made) = made.filter(|made| !made.is_done) {
            made.is_done = true;
            let item = made.wire();
            let fields = OfItem { output_index, item };
            self.events.write("response.output_item.done", &fields, out);
        }
    }

    fn finish(&mut self, reason: FinishReason, out: &mut Vec<u8>) {
        self.object.items.ended_by(reason);
        self.close_message(out);
        self.close_call(out);
        for item in 0..self.object.items.items.len() {
            self.done(item, out);
        }
        let name = match reason {
            FinishReason::Stop | FinishReason::ToolCalls => "response.completed",
            FinishReason::Length | FinishReason::ContentFilter | FinishReason::Pause => {
                "response.incomplete"
            }
        };
        let stage = Stage::Ended(reason, self.tokens);
        self.events.response(name, &self.object, &stage, out);
    }
}

impl StreamEncoder for StreamWriter {
    fn encode(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Started { id, model } => {
                self.object.name(id, model, &self.request_id, &self.asked);
                self.start(out);
            }
            Event::PartStarted { kind, .. } => self.begin(kind, out),
            Event::Delta { part, text } if !text.is_empty() => self.delta(*part, text, out),
            Event::Delta { .. } => {}
            Event::Signature { part, signature } => self.proof(*part, signature, false),
            Event::Sealed { part, sealed } => self.proof(*part, sealed, true),
            Event::PartEnded { part } => self.end_part(*part, out),
            Event::Counted(tokens) => self.tokens = Some(*tokens),
            Event::Finished { reason, .. } => self.finish(*reason, out),
        }
    }

    /// `response.failed` for clients that go by the answer's status, then `error`: its inner `error` is
    /// what makes the official clients raise.
    fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Failed<'a, T> {
            code: &'a str,
            message: &'a str,
            param: Option<&'a str>,
            error: T,
        }
        if !self.is_started {
            self.start(out);
        }
        self.close_call(out);
        let error = error_object(failure);
        let (code, message) = (error.code(), failure.message);
        let stage = Stage::Failed { code, message };
        self.events
            .response("response.failed", &self.object, &stage, out);
        let fields = Failed {
            code,
            message,
            param: failure.param,
            error,
        };
        self.events.write("error", &fields, out);
    }
}
