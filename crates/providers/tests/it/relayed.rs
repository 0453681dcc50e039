//! What a caller wrote in the provider's own dialect is handed on, and so is what the provider answers.

use crate::server::{Server, events, json, opened, settings};
use crate::services::{pieces, whole};
use bytes::Bytes;
use mainstay_inference::{Dialect, Part, ProviderCall, Relay};
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
