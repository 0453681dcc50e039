//! Round trips, and bytes of any kind.

use super::{decode, options, split};
use crate::dialects::anthropic::ids::unseal;
use crate::dialects::anthropic::{
    StreamReader, read_answer, read_count_request, read_request, stream_writer, write_answer,
    write_request,
};
use crate::strategies::{self, Limits};
use crate::{
    Answer, AnswerContext, Assembly, DecodeError, Effort, Event, Message, Part, Request, Role, Sse,
    StreamDecoder as _, StreamEncoder as _, Tool, ToolChoice,
};
use proptest::prelude::*;

const NAMES: &[&str] = &[
    "type",
    "text",
    "messages",
    "content",
    "role",
    "user",
    "assistant",
    "system",
    "model",
    "tools",
    "tool_use",
    "tool_result",
    "input",
    "id",
    "name",
    "source",
    "image",
    "document",
    "thinking",
    "max_tokens",
    "cache_control",
    "tool_choice",
    "output_config",
    "metadata",
    "usage",
    "stop_reason",
    "delta",
    "index",
    "content_block",
    "message",
    "content_block_start",
    "content_block_delta",
    "message_start",
    "message_delta",
    "input_json_delta",
    "error",
];

fn limits() -> Limits {
    Limits {
        cache: true,
        image_urls: true,
        image_ids: true,
        files: true,
        file_urls: true,
        file_ids: true,
        file_names: true,
        result_images: true,
        result_errors: true,
        reasoning: true,
        signatures: true,
        sealed: true,
        strict: true,
        top_k: true,
        stop: true,
        effort: true,
        budget: true,
        summary: true,
        parallel: true,
        stop_told: true,
        parts_anywhere: true,
        cache_write: true,
        cache_write_hour: true,
        reasoning_tokens: true,
        ..Limits::least()
    }
}

/// What the wire can say of a request.
fn sayable(mut request: Request) -> Request {
    request.stream_usage = false;
    let first = request.messages.first();
    request.is_first_apart = first.is_some_and(|message| message.role == Role::System);
    if let Some(heat) = &mut request.sampling.temperature {
        *heat = heat.min(1.0);
    }
    for tool in &mut request.tools {
        if let Tool::Function { parameters, .. } = tool {
            let _ = parameters.get_or_insert_with(|| serde_json::json!({"type": "object"}));
        }
    }
    if let Some(reasoning) = &mut request.reasoning {
        if reasoning.effort == Some(Effort::Minimal) {
            reasoning.effort = Some(Effort::Low);
        }
        if let Some(choice) = &mut request.tool_choice {
            *choice = ToolChoice::Auto;
        }
        request.sampling.temperature = None;
        request.sampling.top_p = None;
        request.sampling.top_k = None;
    }
    match request.tool_choice {
        None if request.parallel_tool_calls.is_some() => {
            request.tool_choice = Some(ToolChoice::Auto);
        }
        Some(ToolChoice::None) => request.parallel_tool_calls = None,
        _ => {}
    }
    for message in &mut request.messages {
        visible(&mut message.parts);
    }
    request
}

fn visible(parts: &mut [Part]) {
    for part in parts {
        match part {
            Part::Text { text, .. } => text.push('.'),
            Part::ToolResult { content, .. } => visible(content),
            Part::Reasoning {
                signature,
                sealed: None,
                ..
            } => {
                let _ = signature.get_or_insert_with(|| "proof".to_owned());
            }
            _ => {}
        }
    }
}

fn context(request: &Request) -> AnswerContext<'_> {
    AnswerContext {
        request,
        created: 0,
        request_id: "req",
    }
}

fn streamed(events: &[Event]) -> Vec<(String, String)> {
    let request = Request::default();
    let mut writer = stream_writer(&context(&request));
    let mut out = Vec::new();
    for event in events {
        writer.encode(event, &mut out);
    }
    split(&out)
}

fn assembled(events: Vec<Event>) -> Answer {
    let mut assembly = Assembly::default();
    for event in events {
        assembly.add(event).unwrap();
    }
    let mut answer = assembly.finish().unwrap();
    for part in &mut answer.parts {
        came_back(part);
    }
    answer
}

/// What a client would bring back: foreign thoughts are themselves again.
fn came_back(part: &mut Part) {
    if let Part::Reasoning {
        signature,
        sealed,
        id,
        ..
    } = part
        && let Some(own) = signature.as_deref().or(sealed.as_deref()).and_then(unseal)
    {
        (*id, *sealed) = own;
        *signature = None;
    }
}

/// The same answer with all parts begun at once and their pieces in turns.
fn interleaved(events: Vec<Event>) -> Vec<Event> {
    let mut started = Vec::new();
    let (mut pieces, mut rest) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Started { .. } | Event::PartStarted { .. } => started.push(event),
            Event::Counted(_) | Event::Finished { .. } => rest.push(event),
            _ => pieces.push(event),
        }
    }
    let part = |event: &Event| match event {
        Event::Delta { part, .. }
        | Event::Signature { part, .. }
        | Event::Sealed { part, .. }
        | Event::PartEnded { part } => *part,
        _ => 0,
    };
    let mut turns: Vec<(usize, usize, Event)> = Vec::new();
    for piece in pieces {
        let part = part(&piece);
        let turn = turns.iter().filter(|(_, other, _)| *other == part).count();
        turns.push((turn, part, piece));
    }
    turns.sort_by_key(|(turn, part, _)| (*turn, std::cmp::Reverse(*part)));
    started.extend(turns.into_iter().map(|(_, _, piece)| piece));
    started.extend(rest);
    started
}

/// Answers of Anthropic, and of others whose thoughts have ids and are sealed together with their text.
fn answers() -> impl Strategy<Value = Answer> {
    let own = Limits {
        call_signatures: true,
        ..limits()
    };
    let foreign = Limits {
        reasoning_ids: true,
        sealed_text: true,
        signatures: false,
        ..own
    };
    prop_oneof![strategies::answer(own), strategies::answer(foreign)]
}

proptest! {
    #[test]
    fn requests_survive(request in strategies::request(limits()).prop_map(sayable)) {
        let written = write_request(&request, &request.model, &options()).unwrap();
        prop_assert_eq!(&written.dropped, &Vec::<String>::new());
        prop_assert_eq!(read_request(&written.body).unwrap(), request);
    }

    #[test]
    fn instructions_survive_in_their_place(text in strategies::text()) {
        let text = format!("{text}.");
        let request = super::asked(vec![
            super::said(Role::User, "a"),
            Message::text(Role::System, text),
            super::said(Role::User, "b"),
        ]);
        let options = super::Options { system_in_place: true, ..options() };
        let written = write_request(&request, "m", &options).unwrap();
        prop_assert_eq!(read_request(&written.body).unwrap(), request);
    }

    #[test]
    fn answers_survive(answer in answers()) {
        let request = Request::default();
        let written = write_answer(&answer, &context(&request));
        prop_assert_eq!(read_answer(&written).unwrap(), answer);
    }

    #[test]
    fn streams_survive_and_a_cut_is_seen(answer in answers(), cut in any::<prop::sample::Index>()) {
        let stream = streamed(&answer.events());
        let mut reader = StreamReader::default();
        let mut events = decode(&mut reader, &stream).unwrap();
        prop_assert!(reader.is_complete());
        reader.end(&mut events).unwrap();
        prop_assert_eq!(&assembled(events), &answer);
        let mut reader = StreamReader::default();
        let mut events = decode(&mut reader, &stream[..cut.index(stream.len())]).unwrap();
        prop_assert!(!reader.is_complete());
        prop_assert_eq!(reader.end(&mut events), Err(DecodeError::Cut));
        let is_finished = events.iter().any(|event| matches!(event, Event::Finished { .. }));
        prop_assert!(!is_finished);
    }

    #[test]
    fn parts_that_arrive_together_are_written_one_after_another(answer in answers()) {
        let stream = streamed(&interleaved(answer.events()));
        let mut open = None;
        let mut next = 0;
        for (name, data) in &stream {
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            let index = data["index"].as_u64();
            match name.as_str() {
                "content_block_start" => {
                    prop_assert_eq!((open, index), (None, Some(next)));
                    open = index;
                    next += 1;
                }
                "content_block_delta" => prop_assert_eq!(open, index),
                "content_block_stop" => {
                    prop_assert_eq!(open, index);
                    open = None;
                }
                _ => prop_assert_eq!(open, None),
            }
        }
        let events = decode(&mut StreamReader::default(), &stream).unwrap();
        prop_assert_eq!(assembled(events), answer);
    }

    #[test]
    fn no_json_makes_a_reader_panic(value in strategies::near_json(NAMES)) {
        let mut wrapped = super::body(value.clone());
        let _ = read_request(wrapped.to_string().as_bytes());
        wrapped["messages"] = serde_json::json!([{"role": "user", "content": [value]}]);
        let _ = read_request(wrapped.to_string().as_bytes());
        let _ = read_count_request(value.to_string().as_bytes());
        let _ = read_answer(value.to_string().as_bytes());
        let mut events = Vec::new();
        let data = value.to_string();
        let _ = StreamReader::default().decode(&Sse { name: "", data: &data }, &mut events);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_request(&bytes);
        let _ = read_answer(&bytes);
    }
}
