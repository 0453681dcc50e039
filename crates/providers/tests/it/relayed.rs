//! What a caller wrote in the provider's own dialect is handed on, and so is what the provider answers.

use crate::server::{Act, Server, events, json, opened, settings};
use crate::services::{pieces, whole};
use bytes::Bytes;
use mainstay_inference::{Dialect, InferenceError, Part, Piece, ProviderCall, Relay};
use mainstay_providers::{HttpSettings, Service};
use std::sync::Arc;

fn relayed(dialect: Dialect, body: &'static str) -> ProviderCall {
    ProviderCall {
        request: Arc::new(dialect.read_request(body.as_bytes()).unwrap()),
        relay: Some(Relay {
            dialect,
            body: Bytes::from_static(body.as_bytes()),
            headers: Vec::new(),
        }),
        attempt: 0,
        hops: 0,
    }
}

fn body_of(server: &Server) -> String {
    let requests = server.requests.lock().unwrap();
    requests[0].split_once("\r\n\r\n").unwrap().1.to_owned()
}

const TEXT: &str = "data: {\"id\":\"c1\",  \"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}],\"own\":{\"x\":1}}\n\n";
const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const COUNT: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":7}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn usage_is_asked_for_where_the_caller_did_not_and_is_kept_from_him() {
    let server = Server::start(events(&[TEXT, END, COUNT, DONE].concat())).await;
    let body = r#"{ "model":"main", "stream": true,"messages":[{"role":"user","content":"h\u00e9"}], "temperature":1.0e0, "stream_options":{"include_obfuscation":false}, "unheard_of":[1.50] }"#;
    let read = pieces(
        opened(settings(&server.url)),
        relayed(Dialect::OpenAiChat, body),
    )
    .await;
    let read = read.unwrap();
    assert_eq!(
        body_of(&server),
        r#"{"model":"tiny-1","stream":true,"messages":[{"role":"user","content":"h\u00e9"}],"temperature":1.0e0,"unheard_of":[1.50],"stream_options":{"include_obfuscation":false,"include_usage":true}}"#
    );
    let raw: Vec<u8> = read.iter().flat_map(|piece| piece.raw.to_vec()).collect();
    assert_eq!(String::from_utf8(raw).unwrap(), [TEXT, END, DONE].concat());
    let tokens = whole(read).tokens.unwrap();
    assert_eq!(
        (tokens.input, tokens.output),
        (12, 7),
        "the gateway counts it all the same"
    );
}

#[tokio::test]
async fn usage_that_the_caller_asked_for_reaches_him() {
    let stream = [TEXT, END, COUNT, DONE].concat();
    let server = Server::start(events(&stream)).await;
    let body = r#"{"model":"main","messages":[{"role":"user","content":"h"}],"stream":true,"stream_options":{"include_usage":true}}"#;
    let read = pieces(
        opened(settings(&server.url)),
        relayed(Dialect::OpenAiChat, body),
    )
    .await;
    let raw: Vec<u8> = read
        .unwrap()
        .iter()
        .flat_map(|piece| piece.raw.to_vec())
        .collect();
    assert_eq!(String::from_utf8(raw).unwrap(), stream);
    assert_eq!(body_of(&server), body.replace("main", "tiny-1"));
}

#[tokio::test]
async fn a_whole_answer_is_handed_on_byte_by_byte() {
    let answer = "{ \"id\":\"m\",\"own\":1.50,\"type\":\"message\",\"role\":\"assistant\",\"model\":\"tiny-1\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":12,\"output_tokens\":7} }\n";
    let server = Server::start(json(200, answer)).await;
    let body = r#"{"model":"main","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"h","cache_control":{"type":"ephemeral"}}]}],"metadata":{"user_id":"u"},"unheard_of":{"a":1}}"#;
    let provider = opened(HttpSettings {
        service: Service::Anthropic,
        ..settings(&server.url)
    });
    let read = pieces(provider, relayed(Dialect::Anthropic, body))
        .await
        .unwrap();
    assert_eq!(body_of(&server), body.replace("\"main\"", "\"tiny-1\""));
    let [piece] = read.as_slice() else {
        panic!("a whole answer comes in {} pieces", read.len());
    };
    assert_eq!(piece.raw, answer.as_bytes());
    assert_eq!(whole(read).parts, [Part::text("hi")]);
}

#[tokio::test]
async fn a_caller_of_another_dialect_is_translated() {
    let server = Server::start(events(&[TEXT, END, COUNT, DONE].concat())).await;
    let body = r#"{"model":"main","max_tokens":9,"system":"be brief","messages":[{"role":"user","content":"h"}],"stream":true}"#;
    let call = relayed(Dialect::Anthropic, body);
    let read = pieces(opened(settings(&server.url)), call).await.unwrap();
    let sent: serde_json::Value = serde_json::from_str(&body_of(&server)).unwrap();
    assert_eq!(sent["messages"][0]["role"], "system");
    assert_eq!(sent["messages"][1]["content"], "h");
    assert_eq!(sent["stream_options"]["include_usage"], true);
    assert_eq!(whole(read).tokens.unwrap().output, 7);
}

const ASKED: &str =
    r#"{"model":"main","max_tokens":9,"messages":[{"role":"user","content":"h"}],"stream":STREAM}"#;

/// What a caller of a dialect is told of this answer.
async fn heard(
    service: Service,
    caller: Dialect,
    stream: bool,
    play: Vec<Act>,
) -> Result<Vec<Piece>, InferenceError> {
    let server = Server::start(play).await;
    let provider = opened(HttpSettings {
        service,
        ..settings(&server.url)
    });
    let body = ASKED.replace("STREAM", &stream.to_string());
    pieces(provider, relayed(caller, body.leak())).await
}

#[tokio::test]
async fn a_picture_reaches_only_callers_whose_dialect_can_say_it() {
    let picture =
        r#""images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]"#;
    let delta = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"\",{picture}}}}}]}}\n\n"
    );
    let streamed = [TEXT, &delta, END, DONE].concat();
    let whole = format!(
        r#"{{"choices":[{{"message":{{"content":"hi",{picture}}},"finish_reason":"stop"}}]}}"#
    );
    for (stream, play) in [(true, events(&streamed)), (false, json(200, &whole))] {
        let hear = |caller| heard(Service::OpenAiCompatible, caller, stream, play.clone());
        let own = hear(Dialect::OpenAiChat).await.unwrap();
        let raw: Vec<u8> = own.iter().flat_map(|piece| piece.raw.to_vec()).collect();
        assert!(String::from_utf8(raw).unwrap().contains(picture));
        let lost = hear(Dialect::Anthropic).await.unwrap_err();
        assert!(
            matches!(lost, InferenceError::Unsupported { .. }),
            "{lost:?}"
        );
        assert!(lost.may_be_billed() && !lost.is_retryable());
        assert!(lost.to_string().contains("the answer holds a picture"));
    }
}

#[tokio::test]
async fn text_with_citations_is_text_to_callers_of_another_dialect() {
    let block = |index: u64, head: &str, deltas: &[&str]| {
        let event = |name: &str, rest: &str| {
            format!("event: {name}\ndata: {{\"type\":\"{name}\",\"index\":{index}{rest}}}\n\n")
        };
        let deltas = deltas
            .iter()
            .map(|delta| event("content_block_delta", &format!(",\"delta\":{delta}")));
        let begun = event("content_block_start", &format!(",\"content_block\":{head}"));
        [begun]
            .into_iter()
            .chain(deltas)
            .chain([event("content_block_stop", "")])
            .collect::<String>()
    };
    let plain = |text: &str| format!(r#"{{"type":"text_delta","text":"{text}"}}"#);
    let cite = r#"{"type":"citations_delta","citation":{"type":"char_location","cited_text":"x"}}"#;
    let streamed = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"tiny-1\",\"usage\":{}}}\n\n",
        &block(0, r#"{"type":"text","text":""}"#, &[&plain("a")]),
        &block(1, r#"{"type":"text","text":"","citations":[]}"#, &[&plain("b"), &plain("b"), cite]),
        &block(2, r#"{"type":"text","text":""}"#, &[&plain("c")]),
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ]
    .concat();
    let body = r#"{"id":"m","type":"message","role":"assistant","model":"tiny-1","content":[{"type":"text","text":"a"},{"type":"text","text":"bb","citations":[{"type":"char_location","cited_text":"x"}]},{"type":"text","text":"c"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#;
    for (stream, play) in [(true, events(&streamed)), (false, json(200, body))] {
        let hear = |caller| heard(Service::Anthropic, caller, stream, play.clone());
        let foreign = whole(hear(Dialect::OpenAiChat).await.unwrap());
        assert_eq!(foreign.parts, ["a", "bb", "c"].map(Part::text));
        let own = whole(hear(Dialect::Anthropic).await.unwrap());
        assert!(
            matches!(&own.parts[1], Part::Opaque(opaque) if opaque.value["citations"][0]["cited_text"] == "x")
        );
    }
}
