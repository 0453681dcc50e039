//! Who may come in.

use super::client::Wire;
use super::place::Place;
use std::os::unix::fs::PermissionsExt;

const SCRIPT: &str = "- text: hi\n";

#[tokio::test]
async fn tcp_needs_the_key_and_healthz_does_not() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let address = served.address;
    let bare = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n")
    };
    for path in [
        "/api/sessions",
        "/metrics",
        "/openapi.json",
        "/nothing",
        "/healthz/x",
    ] {
        let reply = served.raw(bare(path, "")).await;
        reply.refused("runtime.unauthorized");
        assert!(reply.head.header("www-authenticate").is_some());
    }
    for header in [
        "authorization: Bearer nonsense\r\n",
        "authorization: Basic eDp5\r\n",
        "x-api-key: no\r\n",
    ] {
        served
            .raw(bare("/api/sessions", header))
            .await
            .refused("runtime.unauthorized");
    }
    assert_eq!(served.raw(bare("/healthz", "")).await.status, 200);
    assert_eq!(served.raw(bare("/readyz", "")).await.status, 200);
    let key = format!("x-api-key: {}\r\n", served.key);
    assert_eq!(served.raw(bare("/api/sessions", &key)).await.status, 200);
    assert_eq!(served.get("/api/sessions").await.status, 200);
    served.stop().await;
}

#[tokio::test]
async fn no_web_page_reaches_the_node() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let key = format!("authorization: Bearer {}\r\n", served.key);
    let port = served.address.port();
    let ask = |headers: String| {
        let request = format!("GET /api/sessions HTTP/1.1\r\n{key}{headers}\r\n");
        let served = &served;
        async move { served.raw(request).await }
    };
    for host in [
        "evil.example",
        "evil.example:7447",
        "10.0.0.1",
        "localhost.evil.example",
    ] {
        ask(format!("host: {host}\r\n"))
            .await
            .refused("runtime.forbidden");
    }
    ask(String::new()).await.refused("runtime.forbidden");
    ask("host: localhost\r\nhost: localhost\r\n".into())
        .await
        .refused("runtime.forbidden");
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        assert_eq!(
            ask(format!("host: {host}:{port}\r\n")).await.status,
            200,
            "{host}"
        );
    }
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        let headers = format!("host: localhost:{port}\r\norigin: {origin}\r\n");
        ask(headers).await.refused("runtime.forbidden");
    }
    let own = format!("host: localhost:{port}\r\norigin: http://localhost:{port}\r\n");
    let reply = ask(own).await;
    assert_eq!(reply.status, 200);
    assert!(reply.head.header("access-control-allow-origin").is_none());
    let other = "GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    served.raw(other).await.refused("runtime.forbidden");
    served.stop().await;
}

#[tokio::test]
async fn the_socket_is_its_owners_and_needs_no_key() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let mode = std::fs::metadata(&served.socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut wire = Wire::unix(&served.socket).await;
    wire.send("GET /api/sessions HTTP/1.1\r\nhost: anything\r\n\r\n")
        .await;
    assert_eq!(wire.reply().await.status, 200);
    let socket = served.socket.clone();
    served.stop().await;
    assert!(!socket.exists(), "the socket goes with its node");
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    use mainstay_contract::{Code, Coded};
    use mainstay_node::api::{Listen, bind};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.sock");
    let at = |path| Listen {
        unix: Some(path),
        ..Listen::default()
    };
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = bind(at(path.clone())).await.unwrap();
    let taken = bind(at(path.clone())).await.unwrap_err();
    assert_eq!(taken.code(), Code::StoreLocked, "{taken}");
    drop(first);
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    assert!(bind(at(path.clone())).await.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let keyless = Listen {
        tcp: Some("127.0.0.1:0".parse().unwrap()),
        ..Listen::default()
    };
    assert!(bind(keyless).await.is_err(), "TCP cannot do without a key");
}

#[tokio::test]
async fn a_stopping_node_finishes_what_it_began() {
    let place = Place::new("- {text: slow, delay: 400ms}\n");
    let served = place.serve().await;
    let mut wire = served.wire().await;
    let body = r#"{"agent": "fixer", "input": "go", "turn_id": "t"}"#;
    let head = served.line("POST", "/api/sessions/s/turns?wait=20");
    let length = body.len();
    wire.send(format!(
        "{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .await;
    served.settled("t", "running").await;
    let (reply, ()) = tokio::join!(wire.reply(), served.stop());
    assert!(matches!(reply.status, 200 | 202), "{reply:?}");
}
