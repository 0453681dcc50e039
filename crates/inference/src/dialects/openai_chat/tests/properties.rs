use super::super::{
    StreamReader, read_answer, read_request, stream_writer, write_answer, write_request,
};
use super::{EVERYTHING, assemble, context, limits, read_stream, write_stream};
use crate::Request;
use crate::strategies::{answer, any_json, cut, near_json, request};
use proptest::prelude::*;

const NAMES: &[&str] = &[
    "model",
    "messages",
    "role",
    "user",
    "assistant",
    "tool",
    "content",
    "type",
    "text",
    "tools",
    "function",
    "name",
    "tool_calls",
    "id",
    "arguments",
    "image_url",
    "url",
    "stop",
    "choices",
    "delta",
    "index",
    "error",
    "usage",
    "reasoning_blocks",
    "stream_options",
    "tool_choice",
    "response_format",
    "json_schema",
    "finish_reason",
    "message",
    "extra_content",
    "data:a,b",
];

proptest! {
    #[test]
    fn a_request_comes_back(request in request(limits())) {
        let written = write_request(&request, &request.model, &EVERYTHING).unwrap();
        prop_assert_eq!(&written.dropped, &Vec::<String>::new());
        let text = String::from_utf8(written.body).unwrap();
        let read = read_request(text.as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&request), "{}", text);
    }

    #[test]
    fn an_answer_comes_back(answer in answer(limits())) {
        let request = Request::default();
        let body = write_answer(&answer, &context(&request));
        prop_assert_eq!(read_answer(&body, &Request::default()), Ok(answer), "{}", String::from_utf8_lossy(&body));
    }

    #[test]
    fn a_stream_comes_back_however_it_is_cut(
        answer in answer(limits()),
        sizes in proptest::collection::vec(1_usize..6, 1..5),
    ) {
        let request = Request { stream_usage: true, ..Request::default() };
        let events = cut(answer.events(), &sizes);
        let wire = write_stream(&mut stream_writer(&context(&request)), &events);
        let read = read_stream(&mut StreamReader::new(&Request::default()), &wire).unwrap();
        prop_assert_eq!(assemble(read), answer, "{}", wire);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(body in any::<Vec<u8>>()) {
        let _ = read_request(&body);
        let _ = read_answer(&body, &Request::default());
        let _ = read_stream(&mut StreamReader::new(&Request::default()), &String::from_utf8_lossy(&body));
    }

    #[test]
    fn no_json_makes_a_reader_panic(value in prop_oneof![any_json(), near_json(NAMES)]) {
        let text = value.to_string();
        let _ = read_answer(text.as_bytes(), &Request::default());
        let _ = read_stream(&mut StreamReader::new(&Request::default()), &format!("data: {text}"));
        if let Err(refused) = read_request(text.as_bytes()) {
            prop_assert!(refused.message.ends_with('.'), "{}", refused.message);
        }
    }
}
