//! Which connection a request takes, and what becomes of it afterwards.

use crate::server::{Act, GOOD, Server, ask, opened, plain, provider, settings};
use crate::services::{call, pieces};
use crate::tls::{TlsServer, through};
use mainstay_contract::EffectState;
use mainstay_inference::{Message, ProviderCall, Request, Role};
use mainstay_providers::{HttpSettings, InferenceError, NetworkPhase, Route};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

/// A response after which the connection stays open.
fn kept() -> Act {
    let length = GOOD.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n"
    );
    Act::Send(format!("{head}{GOOD}").into_bytes())
}

/// Plays the same on every connection and counts them.
async fn counted(acts: Vec<Act>) -> (Server, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let server = Server::start_with(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        acts.clone()
    });
    (server.await, count)
}

/// Lets the runtime hear everything that the network has for it.
async fn hear() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    connected.unwrap();
    accepted.unwrap();
}

#[tokio::test]
async fn one_call_after_the_other_takes_the_same_connection() {
    let acts = vec![kept(), Act::Read, kept(), Act::Read, kept(), Act::Hang];
    let (server, connections) = counted(acts).await;
    let provider = provider(settings(&server.url));
    for _ in 0..3 {
        ask(&*provider).await.unwrap();
    }
    assert_eq!((server.hits(), connections.load(Ordering::Relaxed)), (3, 1));
    let requests = server.requests.lock().unwrap();
    let host = server
        .url
        .replace("http://", "host: ")
        .replace("/v1", "\r\n");
    for request in &*requests {
        assert!(
            request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains(&host), "{request}");
    }
}

#[tokio::test]
async fn calls_at_the_same_time_take_connections_of_their_own_and_leave_them() {
    const CALLS: usize = 20;
    let barrier = Arc::new(Barrier::new(CALLS));
    let meet = Act::Meet(barrier);
    let acts = vec![meet.clone(), kept(), Act::Read, meet, kept(), Act::Hang];
    let (server, connections) = counted(acts).await;
    let provider = opened(settings(&server.url));
    for round in 1..=2 {
        let calls = (0..CALLS).map(|_| tokio::spawn(pieces(Arc::clone(&provider), call(true))));
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
        let seen = (server.hits(), connections.load(Ordering::Relaxed));
        assert_eq!(seen, (CALLS * round, CALLS));
    }
}

#[tokio::test]
async fn a_connection_that_its_server_closed_meanwhile_costs_no_attempt() {
    let (server, connections) = counted(vec![kept()]).await;
    let provider = provider(settings(&server.url));
    for _ in 0..3 {
        ask(&*provider).await.unwrap();
        hear().await;
    }
    assert_eq!((server.hits(), connections.load(Ordering::Relaxed)), (3, 3));
}

#[tokio::test]
async fn a_server_that_closes_with_the_answer_half_sent_is_not_asked_again() {
    let (server, connections) = counted(vec![kept(), Act::Read]).await;
    let provider = provider(settings(&server.url));
    ask(&*provider).await.unwrap();
    let error = ask(&*provider).await.unwrap_err();
    assert!(
        matches!(
            error,
            InferenceError::NetworkError {
                phase: NetworkPhase::Response,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.effect(), EffectState::Unknown);
    assert_eq!((server.hits(), connections.load(Ordering::Relaxed)), (2, 1));
}

/// Reads as much of a request as comes at once, and resets the connection.
async fn resetting() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let hits = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&hits);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let read = stream.read(&mut [0; 4096]).await.unwrap();
            assert!(read > 0);
            seen.fetch_add(1, Ordering::Relaxed);
            stream.set_zero_linger().unwrap();
        }
    });
    (url, hits)
}

#[tokio::test]
async fn a_question_that_was_not_sent_whole_had_no_effect() {
    let (url, hits) = resetting().await;
    let large = Request {
        model: "main".to_owned(),
        messages: vec![Message::text(Role::User, "word ".repeat(4 << 20))],
        ..Request::default()
    };
    let large = ProviderCall {
        request: Arc::new(large),
        ..call(true)
    };
    for (call, phase, effect) in [
        (large, NetworkPhase::Send, EffectState::None),
        (call(true), NetworkPhase::Response, EffectState::Unknown),
    ] {
        let error = pieces(opened(settings(&url)), call).await.unwrap_err();
        assert!(
            matches!(error, InferenceError::NetworkError { phase: told, .. } if told == phase),
            "{error:?}"
        );
        let is_free = effect == EffectState::None;
        assert_eq!((error.effect(), error.may_be_billed()), (effect, !is_free));
    }
    assert_eq!(hits.load(Ordering::Relaxed), 2);
}

fn trusting(server: &TlsServer, proxy: Option<String>) -> HttpSettings {
    HttpSettings {
        route: Route {
            authorities: Some(server.authority.clone()),
            proxy,
        },
        ..plain(&server.url, "tiny-1")
    }
}

#[tokio::test]
async fn an_authority_of_ones_own_vouches_for_a_server() {
    for http2 in [false, true] {
        let server = TlsServer::start(http2).await;
        let untrusted = opened(plain(&server.url, "tiny-1"));
        let error = pieces(untrusted, call(true)).await.unwrap_err();
        assert!(
            matches!(
                error,
                InferenceError::NetworkError {
                    phase: NetworkPhase::Tls,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(error.effect(), EffectState::None);
        assert_eq!(server.requests(), 0);
        pieces(opened(trusting(&server, None)), call(true))
            .await
            .unwrap();
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn over_http2_all_calls_share_a_connection() {
    let server = TlsServer::start(true).await;
    let provider = opened(trusting(&server, None));
    pieces(Arc::clone(&provider), call(true)).await.unwrap();
    let calls = (0..50).map(|_| tokio::spawn(pieces(Arc::clone(&provider), call(true))));
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!((server.requests(), server.connections()), (51, 1));
}

#[tokio::test]
async fn an_http2_connection_that_ends_is_replaced() {
    let server = TlsServer::start(true).await;
    let provider = opened(trusting(&server, None));
    for round in 1..=3 {
        pieces(Arc::clone(&provider), call(true)).await.unwrap();
        assert_eq!((server.requests(), server.connections()), (round, round));
        server.end_connections().await;
        hear().await;
    }
}

#[tokio::test]
async fn a_proxy_carries_what_it_cannot_read() {
    let server = TlsServer::start(true).await;
    let proxy = through(|_| "HTTP/1.1 200 Connection established\r\n\r\n").await;
    let provider = opened(trusting(&server, Some(proxy.url.clone())));
    pieces(provider, call(true)).await.unwrap();
    let authority = server.url.replace("https://", "").replace("/v1", "");
    let seen = proxy.requests();
    assert!(
        seen.starts_with(&format!("CONNECT {authority} HTTP/1.1\r\n")),
        "{seen}"
    );
    assert!(!seen.contains("tiny-1"), "{seen}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_nothing_was_sent() {
    let server = TlsServer::start(true).await;
    let proxy = through(|_| "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let provider = opened(trusting(&server, Some(proxy.url.clone())));
    let error = pieces(provider, call(true)).await.unwrap_err();
    let InferenceError::NetworkError {
        phase, ref message, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (phase, error.effect()),
        (NetworkPhase::Connect, EffectState::None)
    );
    assert!(message.contains("403"), "{message}");
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_way_that_cannot_be_taken_is_refused_at_once() {
    let cases = [
        (Some("https://proxy:1"), None, "http://HOST:PORT"),
        (Some("http://me:word@proxy:1"), None, "password"),
        (None, Some("no certificate at all"), "no certificate"),
        (None, Some(""), "no certificate"),
        (
            None,
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "certificate",
        ),
    ];
    for (proxy, authorities, expected) in cases {
        let route = Route {
            authorities: authorities.map(|text: &str| text.as_bytes().to_vec()),
            proxy: proxy.map(str::to_owned),
        };
        let settings = HttpSettings {
            route,
            ..plain("https://example.com/v1", "tiny-1")
        };
        let refused = mainstay_providers::open(mainstay_providers::ProviderSettings::Http(
            Box::new(settings),
        ));
        let Err(error) = refused else {
            panic!("{proxy:?} {authorities:?}");
        };
        assert!(
            error
                .to_string()
                .to_lowercase()
                .contains(&expected.to_lowercase()),
            "{error}"
        );
    }
}
