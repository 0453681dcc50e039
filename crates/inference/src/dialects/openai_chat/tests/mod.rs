mod complaints;
mod properties;
mod requests;
mod streams;
mod whole_answers;

use super::{CacheMarks, Flavour, Thoughts};
use crate::strategies::Limits;
use crate::{
    Answer, AnswerContext, Assembly, DecodeError, Event, Request, Sse, StreamDecoder, StreamEncoder,
};

/// A server that understands everything, such as this gateway itself.
const EVERYTHING: Flavour = Flavour {
    legacy_max_tokens: false,
    developer_role: true,
    thoughts: Thoughts::Blocks,
    call_signatures: true,
    top_k: true,
    result_images: true,
    cache_marks: CacheMarks::CacheControl,
    shared_fields: true,
};

fn limits() -> Limits {
    Limits {
        instructions_anywhere: true,
        developer: true,
        names: true,
        cache: true,
        image_urls: true,
        image_detail: true,
        files: true,
        file_ids: true,
        file_names: true,
        audio: true,
        result_images: true,
        reasoning: true,
        signatures: true,
        sealed: true,
        sealed_text: true,
        call_signatures: true,
        refusals: true,
        strict: true,
        formats: true,
        top_k: true,
        penalties: true,
        seed: true,
        stop: true,
        logit_bias: true,
        choices: true,
        logprobs: true,
        effort: true,
        parallel: true,
        stop_told: true,
        cache_write: true,
        audio_tokens: true,
        reasoning_tokens: true,
        ..Limits::least()
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
