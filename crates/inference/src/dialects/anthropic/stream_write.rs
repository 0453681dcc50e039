//! Streams, written. Clients want blocks strictly one after another, so of parts that arrive at the same
//! time the first is sent on and the others wait.

use super::answer::{id_of, model_of, reason_name};
use super::failure::write_failure;
use super::stream_block::{Piece, Waiting, json_to};
use super::usage::Written;
use crate::{AnswerContext, Event, Failure, FinishReason, PartKind, StreamEncoder, Tokens};
use serde::Serialize;
use std::collections::VecDeque;

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
