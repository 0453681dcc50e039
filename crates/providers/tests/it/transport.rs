//! Connections that fail, stall or end, and the limits that notice it.

use crate::server::{
    Act, GOOD, Server, ask, events, json, opened, provider, request, response, settings,
};
use crate::services::{call, pieces};
use mainstay_contract::{Coded, EffectState};
use mainstay_providers::{HttpSettings, InferenceError, NetworkPhase, TimeoutPhase, Timeouts};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(20);
const PIECE: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

fn patient() -> Timeouts {
    Timeouts {
        connect: LONG,
        first_token: LONG,
        first_token_whole: LONG,
        idle: LONG,
        total: LONG,
    }
}

fn head() -> Act {
    Act::Send(response(200, "content-type: text/event-stream\r\n", ""))
}

fn piece() -> Act {
    Act::Send(PIECE.as_bytes().to_vec())
}

async fn expires(acts: Vec<Act>, timeouts: Timeouts, expected: TimeoutPhase) {
    let mut server = Server::start(acts).await;
    let started = Instant::now();
    let settings = HttpSettings {
        timeouts,
        ..settings(&server.url)
    };
    let error = ask(&*provider(settings)).await.unwrap_err();
    let took = started.elapsed();
    match &error {
        InferenceError::Timeout { phase, after, .. } => {
            assert_eq!((*phase, *after), (expected, SHORT));
        }
        other => panic!("{other:?}"),
    }
    assert!(took >= SHORT && took < LONG / 4, "{took:?}");
    assert_eq!(error.effect(), EffectState::Unknown);
    assert_eq!(error.report().data["after"], 150);
    server.until_closed().await;
}

#[tokio::test]
async fn each_limit_is_named_and_closes_the_socket() {
    let first = Timeouts {
        first_token: SHORT,
        ..patient()
    };
    expires(vec![Act::Hang], first, TimeoutPhase::FirstToken).await;
    let comment = Act::Send(b": still here\n\n".to_vec());
    expires(
        vec![head(), comment, Act::Hang],
        first,
        TimeoutPhase::FirstToken,
    )
    .await;
    let idle = Timeouts {
        idle: SHORT,
        ..patient()
    };
    expires(vec![head(), piece(), Act::Hang], idle, TimeoutPhase::Idle).await;
    let total = Timeouts {
        total: SHORT,
        ..patient()
    };
    expires(vec![Act::Hang], total, TimeoutPhase::Total).await;
    expires(vec![head(), piece(), Act::Hang], total, TimeoutPhase::Total).await;
    let slow = Act::Send(response(500, "content-length: 10\r\n", "half"));
    let server = Server::start(vec![slow, Act::Hang]).await;
    let settings = HttpSettings {
        timeouts: idle,
        ..settings(&server.url)
    };
    let error = ask(&*provider(settings)).await.unwrap_err();
    assert!(
        matches!(error, InferenceError::ServerError { status: 500, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn connecting_has_its_own_limit() {
    // Accepts, and never speaks TLS.
    let mut server = Server::start(vec![Act::Hang]).await;
    let timeouts = Timeouts {
        connect: SHORT,
        ..patient()
    };
    let url = server.url.replace("http:", "https:");
    let settings = HttpSettings {
        timeouts,
        ..settings(&url)
    };
    let error = ask(&*provider(settings)).await.unwrap_err();
    let is_connect = matches!(
        error,
        InferenceError::Timeout {
            phase: TimeoutPhase::Connect,
            after: SHORT,
            ..
        }
    );
    assert!(is_connect, "{error:?}");
    assert_eq!(error.effect(), EffectState::None);
    server.until_closed().await;
}

#[tokio::test]
async fn a_slow_stream_that_moves_survives_the_idle_limit() {
    let mut acts = vec![head()];
    for _ in 0..60 {
        acts.extend([piece(), Act::Pause(Duration::from_millis(20))]);
    }
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    acts.push(Act::Send(end.as_bytes().to_vec()));
    let server = Server::start(acts).await;
    let timeouts = Timeouts {
        idle: Duration::from_millis(600),
        ..patient()
    };
    let started = Instant::now();
    let settings = HttpSettings {
        timeouts,
        ..settings(&server.url)
    };
    assert_eq!(
        ask(&*provider(settings)).await.unwrap().text,
        "a".repeat(60)
    );
    assert!(
        started.elapsed() > timeouts.idle,
        "the whole takes longer than the limit"
    );
}

#[tokio::test]
async fn comments_that_keep_a_stream_alive_count_as_life() {
    let mut acts = vec![head(), piece()];
    for _ in 0..60 {
        let comment = Act::Send(b": keepalive\n\n".to_vec());
        acts.extend([comment, Act::Pause(Duration::from_millis(20))]);
    }
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    acts.push(Act::Send(end.as_bytes().to_vec()));
    let server = Server::start(acts).await;
    let timeouts = Timeouts {
        idle: Duration::from_millis(600),
        ..patient()
    };
    let settings = HttpSettings {
        timeouts,
        ..settings(&server.url)
    };
    let started = Instant::now();
    assert_eq!(ask(&*provider(settings)).await.unwrap().text, "a");
    assert!(started.elapsed() > timeouts.idle);
}

#[tokio::test]
async fn an_answer_that_comes_whole_has_a_limit_of_its_own() {
    let body = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    let late = |pause: u64| {
        let mut acts = vec![Act::Pause(Duration::from_millis(pause))];
        acts.extend(json(200, body));
        acts
    };
    let timeouts = Timeouts {
        first_token: SHORT,
        ..patient()
    };
    let limited = |server: &Server, timeouts| {
        let url = server.url.clone();
        opened(HttpSettings {
            timeouts,
            ..settings(&url)
        })
    };
    let server = Server::start(late(400)).await;
    let whole = pieces(limited(&server, timeouts), call(false)).await;
    assert_eq!(whole.unwrap().len(), 1);
    let streamed = pieces(limited(&server, timeouts), call(true)).await;
    let is_late = |error| {
        matches!(
            error,
            InferenceError::Timeout {
                phase: TimeoutPhase::FirstToken,
                after: SHORT,
                ..
            }
        )
    };
    assert!(is_late(streamed.unwrap_err()));
    let timeouts = Timeouts {
        first_token_whole: SHORT,
        ..patient()
    };
    let error = pieces(limited(&server, timeouts), call(false)).await;
    assert!(is_late(error.unwrap_err()));
    pieces(limited(&server, timeouts), call(true))
        .await
        .unwrap();
}

#[tokio::test]
async fn dropping_the_call_closes_the_socket() {
    let mut server = Server::start(vec![head(), piece(), Act::Hang]).await;
    let provider = provider(HttpSettings {
        timeouts: patient(),
        ..settings(&server.url)
    });
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let request = request();
    let mut on_text = move |_: &str| sender.send(()).unwrap_or_default();
    let call = provider.call(&request, &mut on_text);
    tokio::select! {
        _ = call => panic!("a hanging call ended"),
        text = seen.recv() => assert!(text.is_some()),
    }
    server.until_closed().await;
}

#[tokio::test]
async fn what_cannot_be_reached_says_how_far_it_came() {
    let network = async |url: String| match ask(&*provider(settings(&url))).await.unwrap_err() {
        error @ InferenceError::NetworkError { phase, .. } => (phase, error.effect()),
        other => panic!("{other:?}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_port = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(
        network(closed_port).await,
        (NetworkPhase::Connect, EffectState::None)
    );
    let nowhere = "http://nowhere.invalid/v1".to_owned();
    assert_eq!(
        network(nowhere).await,
        (NetworkPhase::Resolve, EffectState::None)
    );
    let silent = Server::start(vec![]).await;
    assert_eq!(
        network(silent.url).await,
        (NetworkPhase::Response, EffectState::Unknown)
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 this is no TLS\r\n\r\n")
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
    });
    assert_eq!(
        network(format!("https://{address}")).await,
        (NetworkPhase::Tls, EffectState::None)
    );
    let short = response(
        200,
        "content-type: text/event-stream\r\ncontent-length: 9999\r\n",
        PIECE,
    );
    let cut = Server::start(vec![Act::Send(short)]).await;
    assert_eq!(
        network(cut.url).await,
        (NetworkPhase::Stream, EffectState::Unknown)
    );
}

#[tokio::test]
async fn a_finished_answer_does_not_wait_for_a_server_that_lingers() {
    let Act::Send(bytes) = events(GOOD).remove(0) else {
        unreachable!()
    };
    let mut server = Server::start(vec![Act::Send(bytes), Act::Hang]).await;
    let answer = ask(&*provider(HttpSettings {
        timeouts: patient(),
        ..settings(&server.url)
    }))
    .await;
    assert_eq!(answer.unwrap().usage.input_tokens, 12);
    server.until_closed().await;
}
