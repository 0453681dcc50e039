//! A provider behind TLS with a certificate of one's own, and behind a proxy.

use super::{Gate, PROVIDERS, ROUTES, Route, model, serve};
use crate::harness::LIMIT;
use mainstay_testkit::upstream::Upstream;
use rustls::pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Speaks TLS for a server that does not; its address, and who vouches for it.
async fn front(server: SocketAddr) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await?;
                copy_bidirectional(&mut acceptor.accept(stream).await?, &mut far).await
            });
        }
    });
    (address, made.cert.pem())
}

/// Tunnels to wherever it is asked to; its address, and what it was asked.
async fn proxy() -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    head.push(char::from(stream.read_u8().await?));
                }
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                heard.lock().unwrap().push_str(&head);
                let mut far = TcpStream::connect(target).await?;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                copy_bidirectional(&mut stream, &mut far).await
            });
        }
    });
    (address, seen)
}

fn behind(front: SocketAddr, name: &str, provider: &str, more: &str) -> String {
    let base = format!("https://localhost:{}", front.port());
    model(name, provider, "ok", &format!("retry: {{max: 0}}{more}")).replace("URL", &base)
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_trusted_where_the_manifest_names_it() {
    let upstream = Upstream::start().unwrap();
    let (address, certificate) = front(upstream.address()).await;
    let (tunnel, asked) = proxy().await;
    let through = format!(", ca_file: ca.pem, proxy_url: \"http://{tunnel}\"");
    let mut models = behind(address, "stranger", "openai", "");
    for provider in PROVIDERS {
        models += &behind(address, provider, provider, ", ca_file: ca.pem");
    }
    models += &behind(address, "far", "openai", &through);
    let gate = Gate::starting(&models, "", |place| {
        place.write("ca.pem", &certificate);
        serve(place)
    });
    for route in ROUTES {
        let told = gate.ask(route, "stranger", false).await;
        told.failed("inference.network_error", 502);
        assert!(told.body.contains("certificate"), "{told:?}");
    }
    assert_eq!(upstream.hits("ok"), 0);
    for provider in PROVIDERS {
        for stream in [false, true] {
            let told = gate.ask(Route::Chat, provider, stream).await;
            assert_eq!(told.ok().text(), "ok", "{provider}");
        }
    }
    assert_eq!(*asked.lock().unwrap(), "");
    assert_eq!(
        gate.ask(Route::Messages, "far", true).await.ok().text(),
        "ok"
    );
    let asked = asked.lock().unwrap().clone();
    let port = address.port();
    assert!(
        asked.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")),
        "{asked}"
    );
    assert!(!asked.contains(super::SECRET), "{asked}");
}

#[tokio::test]
async fn a_certificate_or_a_proxy_that_is_missing_is_named() {
    let upstream = Upstream::start().unwrap();
    let (address, certificate) = front(upstream.address()).await;
    let nobody = Upstream::start().unwrap().address();
    let models = behind(address, "missing", "openai", ", ca_file: none.pem")
        + &behind(address, "empty", "openai", ", ca_file: empty.pem")
        + &behind(
            address,
            "far",
            "openai",
            &format!(", ca_file: ca.pem, proxy_url: \"http://{nobody}\""),
        );
    let gate = Gate::starting(&models, "", |place| {
        place.write("ca.pem", &certificate);
        place.write("empty.pem", "");
        serve(place)
    });
    for (name, code, status, said) in [
        (
            "missing",
            "inference.backpressure",
            503,
            "none.pem cannot be read",
        ),
        ("empty", "inference.backpressure", 503, "no certificate"),
        ("far", "inference.network_error", 502, "refused"),
    ] {
        let told = gate.chat(name).await;
        told.failed(code, status);
        assert!(told.body.contains(said), "{told:?}");
        if code == "inference.backpressure" {
            assert_eq!(told.header("x-mainstay-responsible"), "operator");
            let log = gate.place.read("log");
            let warned =
                |line: &&str| line.contains("a model cannot be used") && line.contains(said);
            assert_eq!(log.lines().filter(warned).count(), 1, "{log}");
            let (_, models) = gate.server.get("/api/models").await;
            let models = models.as_array().unwrap();
            let model = models.iter().find(|model| model["name"] == name).unwrap();
            assert_eq!(model["ready"], false, "{model}");
            assert!(
                model["unusable"].as_str().unwrap().contains(said),
                "{model}"
            );
        }
    }
    assert_eq!(upstream.hits("ok"), 0);
    // What is mended is taken up.
    gate.place.write("empty.pem", &certificate);
    let deadline = Instant::now() + LIMIT;
    while gate.chat("empty").await.status != 200 {
        assert!(Instant::now() < deadline);
    }
}
