//! One block of a written stream.

use super::ids::{seal, seal_data, with_proof};
use crate::{Dialect, Opaque, PartKind};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::Write as _;

/// A part that is not wholly written.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) part: usize,
    kind: PartKind,
    pub(super) pieces: Vec<Piece<'static>>,
    pub(super) is_ended: bool,
    /// The index of its block, once begun.
    block: Option<usize>,
    /// Whether a thought's proof is written.
    is_signed: bool,
}

/// What arrived of a part.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    Text(Cow<'a, str>),
    Signature(Cow<'a, str>),
    Sealed(Cow<'a, str>),
}

impl Piece<'_> {
    pub(super) fn into_owned(self) -> Piece<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Text(text) => Piece::Text(owned(text)),
            Self::Signature(text) => Piece::Signature(owned(text)),
            Self::Sealed(text) => Piece::Sealed(owned(text)),
        }
    }
}

impl Waiting {
    pub(super) const fn new(part: usize, kind: PartKind) -> Self {
        Self {
            part,
            kind,
            pieces: Vec::new(),
            is_ended: false,
            block: None,
            is_signed: false,
        }
    }
}

impl Waiting {
    /// Writes a piece.
    pub(super) fn write(&mut self, piece: &Piece<'_>, blocks: &mut usize, out: &mut Vec<u8>) {
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
                self.is_signed = true;
                let block = self.begin(blocks, out, thinking);
                delta(out, block, "signature_delta", "signature", signature);
            }
            (Piece::Sealed(sealed), PartKind::Reasoning { id }) => {
                self.sealed(id.clone().as_deref(), sealed, blocks, out);
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

    /// Writes a sealed thought: by itself as a block, behind its text as that block's signature.
    fn sealed(&mut self, id: Option<&str>, sealed: &str, blocks: &mut usize, out: &mut Vec<u8>) {
        match self.block {
            None => {
                let data = seal_data(id, sealed);
                let head = || json!({"type": "redacted_thinking", "data": data});
                let _ = self.begin(blocks, out, head);
            }
            Some(block) if !self.is_signed => {
                let signature = seal(id, Some(sealed));
                delta(out, block, "signature_delta", "signature", &signature);
            }
            Some(_) => {}
        }
        self.is_signed = true;
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
    pub(super) fn close(&mut self, blocks: &mut usize, out: &mut Vec<u8>) {
        match &self.kind {
            PartKind::ToolCall { .. } => {
                let _ = self.begin_call(None, blocks, out);
            }
            PartKind::Reasoning { id: Some(id) } if !self.is_signed => {
                if let Some(block) = self.block {
                    let signature = seal(Some(id), None);
                    delta(out, block, "signature_delta", "signature", &signature);
                }
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
pub(super) fn json_to<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(out, value);
}
