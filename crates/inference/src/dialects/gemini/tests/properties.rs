//! Round trips, and JSON of any kind.

use super::{mirror, options};
use crate::dialects::gemini::{StreamReader, read_answer, write_request};
use crate::dialects::proof;
use crate::strategies::{self, Limits};
use crate::{
    Answer, Assembly, DecodeError, Message, OutputFormat, Part, Request, Role, Sse,
    StreamDecoder as _,
};
use proptest::prelude::*;

const NAMES: &[&str] = &[
    "candidates",
    "content",
    "parts",
    "text",
    "thought",
    "thoughtSignature",
    "functionCall",
    "name",
    "args",
    "id",
    "finishReason",
    "STOP",
    "index",
    "usageMetadata",
    "promptTokenCount",
    "promptFeedback",
    "blockReason",
    "error",
    "modelVersion",
    "responseId",
];

fn limits() -> Limits {
    Limits {
        image_urls: true,
        files: true,
        audio: true,
        result_images: true,
        result_errors: true,
        reasoning: true,
        signatures: true,
        call_signatures: true,
        formats: true,
        top_k: true,
        penalties: true,
        seed: true,
        stop: true,
        budget: true,
        summary: true,
        audio_tokens: true,
        reasoning_tokens: true,
        ..Limits::least()
    }
}

fn own(parts: &mut [Part]) {
    for part in parts {
        match part {
            Part::Reasoning {
                signature: Some(signature),
                ..
            } => *signature = proof::of_gemini(signature),
            Part::ToolCall(call) => {
                call.signature = call.signature.as_deref().map(proof::of_gemini);
            }
            _ => {}
        }
    }
}

/// Results that answer calls, in the one form that the wire gives back.
fn answering(messages: &mut Vec<Message>) {
    let mut calls = Vec::new();
    for message in messages.iter_mut() {
        for part in &mut message.parts {
            match part {
                Part::ToolCall(call) => calls.push(call.id.clone()),
                Part::ToolResult {
                    call_id, content, ..
                } => {
                    if let Some(call) = calls.last() {
                        call_id.clone_from(call);
                    } else {
                        *part = Part::text("no call yet");
                        continue;
                    }
                    content.truncate(1);
                }
                _ => {}
            }
        }
        let is_result = |part: &Part| matches!(part, Part::ToolResult { .. });
        message.parts.sort_by_key(|part| !is_result(part));
    }
    messages.retain(|message| !message.parts.is_empty());
}

fn sayable(mut request: Request) -> Request {
    request.stream = false;
    request.stream_usage = false;
    request.user = None;
    for message in &mut request.messages {
        own(&mut message.parts);
    }
    answering(&mut request.messages);
    request.sampling.seed = request.sampling.seed.map(|seed| seed % 1000);
    match &mut request.format {
        Some(OutputFormat::JsonSchema {
            name,
            description,
            strict,
            ..
        }) => {
            *name = "output".to_owned();
            *description = None;
            *strict = None;
        }
        Some(OutputFormat::Text) => request.format = None,
        _ => {}
    }
    if let Some(reasoning) = &mut request.reasoning
        && reasoning.budget_tokens.is_some()
    {
        reasoning.summary = Some("auto".to_owned());
    }
    request
}

fn answers() -> impl Strategy<Value = Answer> {
    strategies::answer(limits()).prop_map(|mut answer| {
        own(&mut answer.parts);
        // Thoughts that follow one another without a proof are one.
        for part in &mut answer.parts {
            if let Part::Reasoning { signature, .. } = part {
                let _ = signature.get_or_insert_with(|| "gemini:p".to_owned());
            }
        }
        answer
    })
}

fn fed(chunks: &[String]) -> Result<(StreamReader, Vec<crate::Event>), DecodeError> {
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    for data in chunks {
        reader.decode(&Sse { name: "", data }, &mut events)?;
    }
    Ok((reader, events))
}

proptest! {
    #[test]
    fn requests_survive(request in strategies::request(limits()).prop_map(sayable)) {
        let written = write_request(&request, &options()).unwrap();
        prop_assert_eq!(&written.dropped, &Vec::<String>::new());
        prop_assert_eq!(mirror::read_request(&written.body, &request.model), request);
    }

    #[test]
    fn answers_survive(answer in answers()) {
        prop_assert_eq!(read_answer(&mirror::write_answer(&answer)).unwrap(), answer);
    }

    #[test]
    fn streams_survive_and_a_cut_is_seen(answer in answers(), cut in any::<prop::sample::Index>()) {
        let chunks = mirror::write_stream(&answer);
        let (mut reader, mut events) = fed(&chunks).unwrap();
        reader.end(&mut events).unwrap();
        let mut assembly = Assembly::default();
        for event in events {
            assembly.add(event).unwrap();
        }
        prop_assert_eq!(assembly.finish().unwrap(), answer);
        let (mut reader, mut events) = fed(&chunks[..cut.index(chunks.len())]).unwrap();
        prop_assert_eq!(reader.end(&mut events), Err(DecodeError::Cut));
    }

    #[test]
    fn no_json_makes_a_reader_panic(value in strategies::near_json(NAMES)) {
        let _ = read_answer(value.to_string().as_bytes());
        let wrapped = serde_json::json!({"candidates": [{"content": {"parts": [value]}}]});
        let _ = read_answer(wrapped.to_string().as_bytes());
        let wrapped = serde_json::json!({"candidates": [value], "usageMetadata": value});
        let _ = read_answer(wrapped.to_string().as_bytes());
    }

    #[test]
    fn any_request_is_written_or_refused(request in strategies::request(Limits { image_ids: true, file_ids: true, ..limits() })) {
        let _ = write_request(&request, &options());
        let is_user = |message: &Message| message.role == Role::User;
        prop_assert!(request.messages.iter().any(is_user));
    }
}
