//! Streams, written. Clients want blocks strictly one after another, so of parts that arrive at the same
//! time the first is sent on and the others wait.

use super::answer::{id_of, model_of, reason_name};
use super::failure::write_failure;
use super::ids::with_proof;
use super::usage::Written;
use crate::{
    AnswerContext, Dialect, Event, Failure, FinishReason, Opaque, PartKind, StreamEncoder, Tokens,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Write as _;

/// A writer of streams.
#[must_use]
pub(crate) fn stream_writer(context: &AnswerContext<'_>) -> StreamWriter {
    StreamWriter {
        id: id_of("", context.request_id).into_owned(),
        model: context.request.model.clone(),
        tokens: Tokens::default(),
        stage: Stage::Before,
        waiting: VecDeque::new(),
        blocks: 0,
        is_refusal: false,
    }
}

/// Writes a stream of Messages.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    id: String,
    model: String,
    tokens: Tokens,
    stage: Stage,
    /// Parts that are not wholly written; the first one is being written.
    waiting: VecDeque<Waiting>,
    /// How many blocks have begun on the wire.
    blocks: usize,
    is_refusal: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is written: the counts of the input may still come.
    Before,
    Within,
    After,
}

#[derive(Debug)]
struct Waiting {
    part: usize,
    kind: PartKind,
    pieces: Vec<Piece<'static>>,
    is_ended: bool,
    /// The index of its block, once begun.
    block: Option<usize>,
}

#[derive(Debug)]
enum Piece<'a> {
    Text(Cow<'a, str>),
    Signature(Cow<'a, str>),
    Sealed(Cow<'a, str>),
}

impl Piece<'_> {
    fn into_owned(self) -> Piece<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Text(text) => Piece::Text(owned(text)),
            Self::Signature(text) => Piece::Signature(owned(text)),
            Self::Sealed(text) => Piece::Sealed(owned(text)),
        }
    }
}

impl StreamEncoder for StreamWriter {
    fn encode(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.stage == Stage::After {
            return;
        }
        match event {
            Event::Started { id, model } => {
                if !id.is_empty() {
                    self.id.clone_from(id);
                }
                self.model = model_of(model, &self.model).to_owned();
                return;
            }
            Event::Counted(tokens) => {
                self.tokens = *tokens;
                return;
            }
            _ => self.start(out),
        }
        match event {
            Event::PartStarted { part, kind } => {
                self.is_refusal |= *kind == PartKind::Refusal;
                self.waiting.push_back(Waiting::new(*part, kind.clone()));
                self.write_ready(out);
            }
            Event::Delta { part, text } => self.piece(*part, Piece::Text(text.into()), out),
            Event::Signature { part, signature } => {
                self.piece(*part, Piece::Signature(signature.into()), out);
            }
            Event::Sealed { part, sealed } => {
                self.piece(*part, Piece::Sealed(sealed.into()), out);
            }
            Event::PartEnded { part } => {
                if let Some(waiting) = self.waiting.iter_mut().find(|one| one.part == *part) {
                    waiting.is_ended = true;
                }
                self.write_ready(out);
            }
            Event::Finished { reason, stop } => self.finish(*reason, stop.as_deref(), out),
            Event::Started { .. } | Event::Counted(_) => {}
        }
    }

    fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        if self.stage == Stage::After {
            return;
        }
        self.stage = Stage::After;
        out.extend_from_slice(b"event: error\ndata: ");
        out.extend_from_slice(&write_failure(failure));
        out.extend_from_slice(b"\n\n");
    }
}

impl Waiting {
    const fn new(part: usize, kind: PartKind) -> Self {
        Self {
            part,
            kind,
            pieces: Vec::new(),
            is_ended: false,
            block: None,
        }
    }
}

#[derive(Serialize)]
struct Start<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: Option<()>,
    stop_sequence: Option<()>,
    usage: Written,
}

#[derive(Serialize)]
struct End<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

impl StreamWriter {
    fn start(&mut self, out: &mut Vec<u8>) {
        if self.stage != Stage::Before {
            return;
        }
        self.stage = Stage::Within;
        let start = Start {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage: Written::of(self.tokens),
        };
        out.extend_from_slice(
            b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":",
        );
        json_to(out, &start);
        out.extend_from_slice(b"}\n\n");
    }

    fn piece(&mut self, part: usize, piece: Piece<'_>, out: &mut Vec<u8>) {
        let Some(at) = self.waiting.iter().position(|one| one.part == part) else {
            return;
        };
        let waiting = &mut self.waiting[at];
        if at == 0 {
            waiting.write(&piece, &mut self.blocks, out);
        } else {
            waiting.pieces.push(piece.into_owned());
        }
    }

    /// Writes as far as the order allows.
    fn write_ready(&mut self, out: &mut Vec<u8>) {
        while let Some(first) = self.waiting.front_mut() {
            for piece in std::mem::take(&mut first.pieces) {
                first.write(&piece, &mut self.blocks, out);
            }
            if !first.is_ended {
                return;
            }
            first.close(&mut self.blocks, out);
            let _ = self.waiting.pop_front();
        }
    }

    fn finish(&mut self, reason: FinishReason, stop: Option<&str>, out: &mut Vec<u8>) {
        for waiting in &mut self.waiting {
            waiting.is_ended = true;
        }
        self.write_ready(out);
        self.stage = Stage::After;
        let end = End {
            stop_reason: reason_name(reason, stop.is_some(), self.is_refusal),
            stop_sequence: stop,
        };
        out.extend_from_slice(
            b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":",
        );
        json_to(out, &end);
        out.extend_from_slice(b",\"usage\":");
        json_to(out, &Written::of(self.tokens));
        out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }
}

impl Waiting {
    /// Writes a piece.
    fn write(&mut self, piece: &Piece<'_>, blocks: &mut usize, out: &mut Vec<u8>) {
        match (piece, &self.kind) {
            (Piece::Text(text), _) if text.is_empty() => {}
            (Piece::Text(text), PartKind::Text | PartKind::Refusal) => {
                let block = self.begin(blocks, out, || json!({"type": "text", "text": ""}));
                delta(out, block, "text_delta", "text", text);
            }
            (Piece::Text(text), PartKind::Reasoning { .. }) => {
                let block = self.begin(blocks, out, thinking);
                delta(out, block, "thinking_delta", "thinking", text);
            }
            (Piece::Signature(signature), PartKind::Reasoning { .. }) => {
                let block = self.begin(blocks, out, thinking);
                delta(out, block, "signature_delta", "signature", signature);
            }
            (Piece::Sealed(data), PartKind::Reasoning { .. }) => {
                let head = || json!({"type": "redacted_thinking", "data": data});
                let _ = self.begin(blocks, out, head);
            }
            (Piece::Text(json), PartKind::ToolCall { .. }) => {
                let block = self.begin_call(None, blocks, out);
                delta(out, block, "input_json_delta", "partial_json", json);
            }
            (Piece::Signature(proof), PartKind::ToolCall { .. }) => {
                let _ = self.begin_call(Some(proof), blocks, out);
            }
            (Piece::Text(_), PartKind::Opaque(_)) | (Piece::Signature(_) | Piece::Sealed(_), _) => {
            }
        }
    }

    fn begin_call(&mut self, proof: Option<&str>, blocks: &mut usize, out: &mut Vec<u8>) -> usize {
        if let (None, PartKind::ToolCall { id, name }) = (self.block, &self.kind) {
            let id = with_proof(id, proof);
            let head = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            return self.begin(blocks, out, || head);
        }
        self.begin(blocks, out, || Value::Null)
    }

    /// Begins the block, if it has not begun.
    fn begin(
        &mut self,
        blocks: &mut usize,
        out: &mut Vec<u8>,
        head: impl FnOnce() -> Value,
    ) -> usize {
        if let Some(block) = self.block {
            return block;
        }
        let block = *blocks;
        *blocks += 1;
        self.block = Some(block);
        write_head(out, block, &head());
        block
    }

    /// Ends the block. A call without arguments has not begun yet.
    fn close(&mut self, blocks: &mut usize, out: &mut Vec<u8>) {
        match &self.kind {
            PartKind::ToolCall { .. } => {
                let _ = self.begin_call(None, blocks, out);
            }
            PartKind::Opaque(opaque) if opaque.dialect == Dialect::Anthropic => {
                let opaque = opaque.clone();
                self.opaque(&opaque, blocks, out);
            }
            _ => {}
        }
        if let Some(block) = self.block {
            let _ = write!(
                out,
                "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":{block}}}\n\n"
            );
        }
    }

    /// Writes a block that only this dialect knows, in the pieces that clients expect.
    fn opaque(&mut self, opaque: &Opaque, blocks: &mut usize, out: &mut Vec<u8>) {
        let mut head = opaque.value.clone();
        let take = |head: &mut Value, name: &str, empty: Value| {
            head.get_mut(name)
                .map(|field| std::mem::replace(field, empty))
        };
        let kind = opaque.value.get("type").and_then(Value::as_str);
        match kind.unwrap_or_default() {
            "text" => {
                let text = take(&mut head, "text", json!(""));
                let citations = take(&mut head, "citations", json!([]));
                let block = self.begin(blocks, out, || head);
                if let Some(Value::String(text)) = text {
                    delta(out, block, "text_delta", "text", &text);
                }
                if let Some(Value::Array(citations)) = citations {
                    for citation in &citations {
                        delta(out, block, "citations_delta", "citation", citation);
                    }
                }
            }
            kind if kind.ends_with("tool_use") => {
                let input = take(&mut head, "input", json!({}));
                let block = self.begin(blocks, out, || head);
                if let Some(input) = input {
                    let json = input.to_string();
                    delta(out, block, "input_json_delta", "partial_json", &json);
                }
            }
            _ => {
                let _ = self.begin(blocks, out, || head);
            }
        }
    }
}

fn thinking() -> Value {
    json!({"type": "thinking", "thinking": "", "signature": ""})
}

fn write_head(out: &mut Vec<u8>, block: usize, head: &Value) {
    let _ = write!(
        out,
        "event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{block},\"content_block\":"
    );
    json_to(out, head);
    out.extend_from_slice(b"}\n\n");
}

fn delta<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    block: usize,
    kind: &str,
    field: &str,
    piece: &T,
) {
    let _ = write!(
        out,
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{block},\"delta\":{{\"type\":\"{kind}\",\"{field}\":"
    );
    json_to(out, piece);
    out.extend_from_slice(b"}}\n\n");
}

/// Writing to memory cannot fail, and what is written here has no maps with keys that are no text.
fn json_to<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(out, value);
}
