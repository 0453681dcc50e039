//! The events of a stream to a caller: their names, their numbers, and where they belong.

use super::super::openai::{end_line, json};
use super::answer_write::{ResponseObject, Stage};
use super::items::{WireItem, WirePart};
use serde::Serialize;
use serde_json::Value;
use std::io::Write as _;

/// Numbers the events of one stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    sequence: u64,
}

/// A piece or the whole of a part of a message.
#[derive(Debug, Serialize)]
pub(super) struct OfContent<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    pub(super) content_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<[(); 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<WirePart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotation_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotation: Option<&'a Value>,
}

impl<'a> OfContent<'a> {
    /// Of this part, with nothing about it yet.
    pub(super) const fn new(item_id: &'a str, output_index: usize, content_index: usize) -> Self {
        Self {
            item_id,
            output_index,
            content_index,
            delta: None,
            text: None,
            refusal: None,
            logprobs: None,
            part: None,
            annotation_index: None,
            annotation: None,
        }
    }
}

/// A piece or the whole of a thought.
#[derive(Debug, Serialize)]
pub(super) struct OfSummary<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    pub(super) summary_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<super::items::Summary<'a>>,
}

/// A piece or the whole of a call's arguments.
#[derive(Debug, Serialize)]
pub(super) struct OfArguments<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arguments: Option<&'a str>,
}

/// An item that begins or is complete.
#[derive(Debug, Serialize)]
pub(super) struct OfItem<'a> {
    pub(super) output_index: usize,
    pub(super) item: WireItem<'a>,
}

impl Events {
    /// Writes an event whose fields are those of an object.
    pub(super) fn write<T: Serialize>(&mut self, name: &str, fields: &T, out: &mut Vec<u8>) {
        self.head(name, out);
        let at = out.len();
        json(fields, out);
        // The fields go on in the object that has begun.
        if let Some(brace) = out.get_mut(at) {
            *brace = b',';
        }
        end_line(out);
    }

    /// Writes an event with the whole answer, as far as it came.
    pub(super) fn response(
        &mut self,
        name: &str,
        object: &ResponseObject,
        stage: &Stage<'_>,
        out: &mut Vec<u8>,
    ) {
        self.head(name, out);
        out.extend_from_slice(b",\"response\":");
        object.write(stage, out);
        out.push(b'}');
        end_line(out);
    }

    fn head(&mut self, name: &str, out: &mut Vec<u8>) {
        let sequence = self.sequence;
        self.sequence += 1;
        // A buffer takes every byte.
        let _ = write!(
            out,
            "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{sequence}"
        );
    }
}
