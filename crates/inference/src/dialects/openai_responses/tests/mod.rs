mod complaints;
mod properties;
mod requests;
mod streams;
mod whole_answers;

use crate::strategies::Limits;
use crate::{
    Answer, AnswerContext, Assembly, DecodeError, Event, Request, Sse, StreamDecoder, StreamEncoder,
};

fn limits() -> Limits {
    Limits {
        instructions_anywhere: true,
        developer: true,
        image_urls: true,
        image_ids: true,
        image_detail: true,
        files: true,
        file_urls: true,
        file_ids: true,
        file_names: true,
        audio: true,
        result_images: true,
        refusals: true,
        strict: true,
        formats: true,
        logprobs: true,
        effort: true,
        summary: true,
        parallel: true,
        parts_anywhere: true,
        cache_write: true,
        reasoning_tokens: true,
        ..Limits::least()
    }
}

fn answer_limits() -> Limits {
    Limits {
        reasoning: true,
        signatures: true,
        sealed: true,
        sealed_text: true,
        call_signatures: true,
        ..limits()
    }
}

fn context(request: &Request) -> AnswerContext<'_> {
    AnswerContext {
        request,
        created: 1_700_000_000,
        request_id: "req_1",
    }
}

/// The events of a server-sent stream, cut by lines as a reader of bytes would.
fn read_stream(reader: &mut impl StreamDecoder, wire: &str) -> Result<Vec<Event>, DecodeError> {
    let mut events = Vec::new();
    for block in wire.split("\n\n").filter(|block| !block.is_empty()) {
        let (mut name, mut data) = ("", "");
        for line in block.lines() {
            name = line.strip_prefix("event: ").unwrap_or(name);
            data = line.strip_prefix("data: ").unwrap_or(data);
        }
        reader.decode(&Sse { name, data }, &mut events)?;
    }
    reader.end(&mut events)?;
    Ok(events)
}

fn write_stream(writer: &mut impl StreamEncoder, events: &[Event]) -> String {
    let mut out = Vec::new();
    for event in events {
        writer.encode(event, &mut out);
    }
    String::from_utf8(out).unwrap()
}

fn assemble(events: Vec<Event>) -> Answer {
    let mut assembly = Assembly::default();
    for event in events {
        assembly.add(event).unwrap();
    }
    assembly.finish().unwrap()
}
