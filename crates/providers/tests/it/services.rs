//! Whose wire it is: addresses, headers and forms of each service.

use crate::server::{Act, GOOD, KEY, Server, events, json, opened, plain, settings};
use bytes::Bytes;
use mainstay_contract::Secret;
use mainstay_inference::{
    Answer, Assembly, Dialect, EmbeddingEncoding, EmbeddingInput, EmbeddingRequest, Embeddings,
    InferenceError, Message, Part, Piece, Provider, ProviderCall, Relay, Request, Role,
};
use mainstay_providers::{HttpSettings, Service};
use serde_json::Value;
use std::sync::Arc;

const CLAUDE: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"tiny-1\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":12,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);
const GEMINI: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":12,\"candidatesTokenCount\":7,\"totalTokenCount\":19},\"modelVersion\":\"tiny-1\",\"responseId\":\"r\"}\r\n\r\n";
const CHAT: &str = concat!(
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":7}}\n\n",
    "data: [DONE]\n\n",
);
const CHAT_WHOLE: &str = r#"{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":12,"completion_tokens":7}}"#;
const CLAUDE_WHOLE: &str = r#"{"id":"m","type":"message","role":"assistant","model":"tiny-1","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":7}}"#;

pub(crate) fn call(stream: bool) -> ProviderCall {
    ProviderCall {
        request: Arc::new(Request {
            model: "main".to_owned(),
            messages: vec![Message::text(Role::User, "hello")],
            output_tokens_max: Some(50),
            stream,
            ..Request::default()
        }),
        relay: None,
        attempt: 0,
        hops: 0,
    }
}

/// The pieces of an answer.
pub(crate) async fn pieces(
    provider: Arc<dyn Provider>,
    call: ProviderCall,
) -> Result<Vec<Piece>, InferenceError> {
    let mut answering = provider.call(call).await?;
    let mut pieces = Vec::new();
    while let Some(piece) = answering.next().await? {
        pieces.push(piece);
    }
    Ok(pieces)
}

pub(crate) fn whole(pieces: Vec<Piece>) -> Answer {
    let mut assembly = Assembly::default();
    for event in pieces.into_iter().flat_map(|piece| piece.events) {
        assembly.add(event).unwrap();
    }
    assembly.finish().unwrap()
}

/// Asks a service once; its request line, its headers in lower case, and its body.
async fn sent(
    service: Service,
    base: &str,
    call: ProviderCall,
    acts: Vec<Act>,
) -> (String, String, Value) {
    let server = Server::start(acts).await;
    let base = server.url.replace("/v1", base);
    let provider = opened(HttpSettings {
        service,
        ..settings(&base)
    });
    let answer = whole(pieces(provider, call).await.unwrap());
    assert_eq!(answer.parts, [Part::text("hi")]);
    let tokens = answer.tokens.unwrap();
    assert_eq!((tokens.input, tokens.output), (12, 7));
    assert_eq!(server.hits(), 1);
    parts(&server.requests.lock().unwrap()[0])
}

fn parts(request: &str) -> (String, String, Value) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    let body = serde_json::from_str(body).unwrap();
    (line.to_owned(), format!("{headers}\r\n"), body)
}

#[tokio::test]
async fn each_service_has_its_addresses_headers_and_forms() {
    let azure = || Service::AzureOpenAi {
        api_version: "2024-10-21".to_owned(),
    };
    let bearer = format!("authorization: Bearer {KEY}\r\n");
    let named = |name: &str| format!("{name}: {KEY}\r\n");
    let gemini_whole = GEMINI.trim().trim_start_matches("data: ").to_owned();
    for (service, base, stream, acts, line, key, field) in [
        (
            Service::OpenAi,
            "/v1",
            true,
            events(CHAT),
            "/v1/chat/completions",
            bearer.clone(),
            "messages",
        ),
        (
            Service::OpenAi,
            "/v1",
            false,
            json(200, CHAT_WHOLE),
            "/v1/chat/completions",
            bearer.clone(),
            "messages",
        ),
        (
            Service::OpenAiCompatible,
            "/v1/?tenant=7",
            true,
            events(CHAT),
            "/v1/chat/completions?tenant=7",
            bearer.clone(),
            "messages",
        ),
        (
            azure(),
            "",
            true,
            events(CHAT),
            "/openai/deployments/tiny-1/chat/completions?api-version=2024-10-21",
            named("api-key"),
            "messages",
        ),
        (
            azure(),
            "/?x=1",
            false,
            json(200, CHAT_WHOLE),
            "/openai/deployments/tiny-1/chat/completions?x=1&api-version=2024-10-21",
            named("api-key"),
            "messages",
        ),
        (
            Service::Anthropic,
            "",
            true,
            events(CLAUDE),
            "/v1/messages",
            named("x-api-key"),
            "messages",
        ),
        (
            Service::Anthropic,
            "/v1/",
            false,
            json(200, CLAUDE_WHOLE),
            "/v1/messages",
            named("x-api-key"),
            "messages",
        ),
        (
            Service::Gemini,
            "/v1beta",
            true,
            events(GEMINI),
            "/v1beta/models/tiny-1:streamGenerateContent?alt=sse",
            named("x-goog-api-key"),
            "contents",
        ),
        (
            Service::Gemini,
            "/v1beta",
            false,
            json(200, &gemini_whole),
            "/v1beta/models/tiny-1:generateContent",
            named("x-goog-api-key"),
            "contents",
        ),
    ] {
        let is_anthropic = service == Service::Anthropic;
        let is_gemini = service == Service::Gemini;
        let told = format!("{service:?} {base} {stream}");
        let (got, headers, body) = sent(service, base, call(stream), acts).await;
        assert_eq!(got, format!("POST {line} HTTP/1.1"), "{told}");
        assert!(headers.contains(&key), "{told}: {headers}");
        assert_eq!(headers.matches(KEY).count(), 1, "{told}: {headers}");
        assert!(
            headers.contains("content-type: application/json\r\n"),
            "{told}: {headers}"
        );
        assert_eq!(
            headers.contains("anthropic-version: 2023-06-01\r\n"),
            is_anthropic,
            "{told}"
        );
        assert!(body[field].is_array(), "{told}: {body}");
        assert_eq!(body["model"] == "tiny-1", !is_gemini, "{told}: {body}");
        let streams = body["stream"] == true || is_gemini && stream;
        assert_eq!(streams, stream, "{told}: {body}");
    }
}

#[tokio::test]
async fn a_name_of_a_model_cannot_leave_its_place_in_the_address() {
    let server = Server::start(events(GEMINI)).await;
    let provider = opened(HttpSettings {
        service: Service::Gemini,
        ..plain(&server.url, "a b?key=x#y")
    });
    pieces(provider, call(true)).await.unwrap();
    let (line, _, _) = parts(&server.requests.lock().unwrap()[0]);
    let expected = "POST /v1/models/a%20b%3Fkey%3Dx%23y:streamGenerateContent?alt=sse HTTP/1.1";
    assert_eq!(line, expected);
}

#[tokio::test]
async fn openai_itself_is_asked_for_responses_by_who_speaks_them() {
    let body = r#"{"model":"main","input":"hello","stream":true}"#;
    let request = Dialect::OpenAiResponses
        .read_request(body.as_bytes())
        .unwrap();
    let relayed = |headers| ProviderCall {
        request: Arc::new(request.clone()),
        relay: Some(Relay {
            dialect: Dialect::OpenAiResponses,
            body: Bytes::from_static(body.as_bytes()),
            headers,
        }),
        attempt: 0,
        hops: 0,
    };
    let server = Server::start(json(400, r#"{"error":{"message":"no"}}"#)).await;
    let provider = opened(HttpSettings {
        service: Service::OpenAi,
        ..settings(&server.url)
    });
    let headers = vec![("openai-beta", "responses=v1".to_owned())];
    pieces(provider, relayed(headers)).await.unwrap_err();
    let (line, headers, sent) = parts(&server.requests.lock().unwrap()[0]);
    assert_eq!(line, "POST /v1/responses HTTP/1.1");
    assert!(
        headers.contains("openai-beta: responses=v1\r\n"),
        "{headers}"
    );
    assert_eq!(sent["model"], "tiny-1");
    // A server that only follows Chat Completions is asked in those, without headers of another dialect.
    let server = Server::start(events(CHAT)).await;
    let provider = opened(settings(&server.url));
    let headers = vec![("openai-beta", "responses=v1".to_owned())];
    pieces(provider, relayed(headers)).await.unwrap();
    let (line, headers, sent) = parts(&server.requests.lock().unwrap()[0]);
    assert_eq!(line, "POST /v1/chat/completions HTTP/1.1");
    assert!(!headers.contains("openai-beta"), "{headers}");
    assert_eq!(sent["messages"][0]["content"], "hello");
}

#[tokio::test]
async fn a_caller_adds_to_the_operators_headers_and_exchanges_none() {
    let server = Server::start(json(400, r#"{"error":{"message":"no"}}"#)).await;
    let own = [
        ("Anthropic-Beta", "own"),
        ("anthropic-version", "2023-01-01"),
    ];
    let provider = opened(HttpSettings {
        service: Service::Anthropic,
        headers: own
            .map(|(name, value)| (name.to_owned(), Secret::new(value)))
            .to_vec(),
        ..settings(&server.url)
    });
    let body = r#"{"model":"main","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
    let called = ProviderCall {
        request: Arc::new(Dialect::Anthropic.read_request(body.as_bytes()).unwrap()),
        relay: Some(Relay {
            dialect: Dialect::Anthropic,
            body: Bytes::from_static(body.as_bytes()),
            headers: vec![
                ("anthropic-beta", "callers".to_owned()),
                ("anthropic-version", "2099-01-01".to_owned()),
            ],
        }),
        attempt: 0,
        hops: 0,
    };
    pieces(provider, called).await.unwrap_err();
    let (_, headers, _) = parts(&server.requests.lock().unwrap()[0]);
    assert!(
        headers.contains("anthropic-beta: own,callers\r\n"),
        "{headers}"
    );
    assert!(
        headers.contains("anthropic-version: 2023-01-01\r\n"),
        "{headers}"
    );
}

#[tokio::test]
async fn headers_of_the_manifest_go_with_every_request_and_stay_secret() {
    let body = serde_json::json!({"error": {"message": "tenant blue-4711 is unknown"}});
    let server = Server::start(json(400, &body.to_string())).await;
    let provider = opened(HttpSettings {
        headers: vec![("x-tenant".to_owned(), Secret::new("blue-4711"))],
        ..settings(&server.url)
    });
    let error = pieces(provider, call(true)).await.unwrap_err();
    assert!(
        error.to_string().contains("tenant [secret] is unknown"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("4711"), "{error:?}");
    let (_, headers, _) = parts(&server.requests.lock().unwrap()[0]);
    assert!(headers.contains("x-tenant: blue-4711\r\n"), "{headers}");
}

async fn vectors(
    service: Service,
    input: EmbeddingInput,
    acts: Vec<Act>,
) -> (Result<Embeddings, InferenceError>, Vec<String>) {
    let server = Server::start(acts).await;
    let provider = opened(HttpSettings {
        service,
        ..settings(&server.url)
    });
    let request = EmbeddingRequest {
        model: "main".to_owned(),
        inputs: vec![input],
        dimensions: Some(2),
        encoding: EmbeddingEncoding::Float,
        user: None,
        extra: serde_json::Map::new(),
    };
    let made = provider.embed(Arc::new(request)).await;
    (made, server.requests.lock().unwrap().clone())
}

#[tokio::test]
async fn vectors_come_from_who_makes_them() {
    let text = || EmbeddingInput::Text("hello".to_owned());
    let answer = r#"{"object":"list","model":"tiny-1","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]}],"usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    let (made, sent) = vectors(Service::OpenAi, text(), json(200, answer)).await;
    let made = made.unwrap();
    assert_eq!(made.vectors, [[0.5, -1.0]]);
    assert_eq!(made.tokens.unwrap().input, 2);
    let (line, _, body) = parts(&sent[0]);
    assert_eq!(line, "POST /v1/embeddings HTTP/1.1");
    assert_eq!(
        (&body["model"], &body["dimensions"]),
        (&"tiny-1".into(), &2.into())
    );

    let answer = r#"{"embeddings":[{"values":[0.5,-1]}]}"#;
    let (made, sent) = vectors(Service::Gemini, text(), json(200, answer)).await;
    let made = made.unwrap();
    assert_eq!((made.vectors, made.tokens), (vec![vec![0.5, -1.0]], None));
    let (line, _, body) = parts(&sent[0]);
    assert_eq!(line, "POST /v1/models/tiny-1:batchEmbedContents HTTP/1.1");
    assert_eq!(body["requests"][0]["content"]["parts"][0]["text"], "hello");
    assert_eq!(body["requests"][0]["outputDimensionality"], 2);

    for (service, answer) in [
        (Service::OpenAi, r#"{"data":[]}"#),
        (Service::OpenAi, r#"{"data":[{"index":1,"embedding":[1]}]}"#),
        (Service::OpenAi, r#"{"data":[{"index":0,"embedding":[]}]}"#),
        (
            Service::Gemini,
            r#"{"embeddings":[{"values":[1]},{"values":[1]}]}"#,
        ),
        (Service::Gemini, r#"{"embeddings":[{"values":[]}]}"#),
    ] {
        let (made, _) = vectors(service, text(), json(200, answer)).await;
        let bad = matches!(made, Err(InferenceError::BadResponse { .. }));
        assert!(bad, "{answer}: {made:?}");
    }

    for (service, input) in [
        (Service::Anthropic, text()),
        (Service::Gemini, EmbeddingInput::Tokens(vec![1])),
    ] {
        let (made, sent) = vectors(service, input, json(200, answer)).await;
        let refused = matches!(made, Err(InferenceError::Unsupported { .. }));
        assert!(refused && sent.is_empty(), "{made:?}");
    }
}

#[tokio::test]
async fn a_connection_serves_one_call_after_another() {
    let framed = |body: &str| {
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{chunk}").into_bytes()
    };
    let server = Server::start_with(move |number| {
        assert_eq!(number, 0, "a second connection is opened");
        let (one, two) = (framed(GOOD), framed(CHAT));
        vec![Act::Send(one), Act::Read, Act::Send(two), Act::Hang]
    })
    .await;
    let provider = opened(settings(&server.url));
    pieces(Arc::clone(&provider), call(true)).await.unwrap();
    let second = pieces(provider, call(true)).await.unwrap();
    assert_eq!(whole(second).parts, [Part::text("hi")]);
    assert_eq!(server.hits(), 2);
}
