use super::super::{
    StreamReader, read_answer, read_request, stream_writer, write_answer, write_request,
};
use super::{answer_limits, assemble, context, limits, read_stream, write_stream};
use crate::strategies::{Limits, answer, any_json, cut, near_json, request};
use crate::{Event, Request};
use proptest::prelude::*;
use serde_json::Value;

const NAMES: &[&str] = &[
    "model",
    "input",
    "role",
    "user",
    "assistant",
    "content",
    "type",
    "text",
    "tools",
    "function",
    "name",
    "function_call",
    "function_call_output",
    "call_id",
    "id",
    "arguments",
    "output",
    "message",
    "reasoning",
    "summary",
    "encrypted_content",
    "input_text",
    "input_image",
    "image_url",
    "include",
    "tool_choice",
    "format",
    "status",
    "usage",
    "response",
    "item",
    "delta",
    "output_index",
    "response.output_item.done",
    "response.completed",
    "output_text",
    "response.output_text.delta",
    "annotations",
    "incomplete_details",
    "error",
    "data:a,b",
];

proptest! {
    #[test]
    fn a_request_comes_back(
        request in prop_oneof![
            request(limits()),
            // Thoughts come to a provider only in their sealed form, which all of these have.
            request(Limits { reasoning: true, sealed_text: true, reasoning_ids: true, ..limits() })
                .prop_map(seal),
        ],
    ) {
        let written = write_request(&request, &request.model).unwrap();
        prop_assert_eq!(&written.dropped, &Vec::<String>::new());
        let text = String::from_utf8(written.body).unwrap();
        let read = read_request(text.as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&request), "{}", text);
    }

    #[test]
    fn an_answer_comes_back(answer in answers()) {
        let request = Request::default();
        let body = write_answer(&answer, &context(&request));
        prop_assert_eq!(read_answer(&body), Ok(answer), "{}", String::from_utf8_lossy(&body));
    }

    #[test]
    fn a_stream_comes_back_however_it_is_cut(
        answer in answers(),
        sizes in proptest::collection::vec(1_usize..6, 1..5),
    ) {
        let request = Request::default();
        let events: Vec<Event> = cut(answer.events(), &sizes);
        let wire = write_stream(&mut stream_writer(&context(&request)), &events);
        let read = read_stream(&mut StreamReader::new(), &wire).unwrap();
        prop_assert_eq!(assemble(read), answer, "{}", wire);
    }

    #[test]
    fn a_streams_last_event_holds_the_whole_answer(
        answer in answers(),
        request in request(limits()),
    ) {
        let wire = write_stream(&mut stream_writer(&context(&request)), &answer.events());
        let last = wire.trim_end().rsplit("data: ").next().unwrap_or_default();
        let last: Value = serde_json::from_str(last).unwrap();
        let whole = write_answer(&answer, &context(&request));
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        prop_assert_eq!(&last["response"], &whole);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(body in any::<Vec<u8>>()) {
        let _ = read_request(&body);
        let _ = read_answer(&body);
        let _ = read_stream(&mut StreamReader::new(), &String::from_utf8_lossy(&body));
    }

    #[test]
    fn no_json_makes_a_reader_panic(value in prop_oneof![any_json(), near_json(NAMES)]) {
        let text = value.to_string();
        let _ = read_answer(text.as_bytes());
        let _ = read_stream(&mut StreamReader::new(), &format!("data: {text}"));
        if let Err(refused) = read_request(text.as_bytes()) {
            prop_assert!(refused.message.ends_with('.'), "{}", refused.message);
        }
    }
}

fn answers() -> impl Strategy<Value = crate::Answer> {
    prop_oneof![
        answer(answer_limits()),
        answer(Limits {
            reasoning_ids: true,
            ..answer_limits()
        }),
    ]
}

fn seal(mut request: Request) -> Request {
    for part in request
        .messages
        .iter_mut()
        .flat_map(|message| &mut message.parts)
    {
        if let crate::Part::Reasoning { sealed, .. } = part {
            *sealed = Some("c2VhbGVk".to_owned());
        }
    }
    request
}
