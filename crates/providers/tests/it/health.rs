//! Questions of health: what counts as an answer, and what goes with them.

use crate::server::{Act, KEY, Server, response, settings};
use mainstay_inference::NetworkPhase;
use mainstay_providers::{HealthProbe, ProbeError};
use std::time::Duration;
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(20);

fn probe(server: &Server, address: &str, within: Duration) -> HealthProbe {
    HealthProbe::open(&settings(&server.url), address, within).unwrap()
}

fn address(server: &Server) -> String {
    server.url.replace("/v1", "/health?deep=1")
}

#[tokio::test]
async fn only_success_is_success() {
    for status in [200, 204, 299, 302, 404, 503] {
        let location = "location: /v1/models\r\n";
        let server = Server::start(vec![Act::Send(response(status, location, "ok"))]).await;
        let told = probe(&server, &address(&server), LONG).ask().await;
        match status {
            200..300 => told.unwrap(),
            _ => assert_eq!(told, Err(ProbeError::Status(status))),
        }
        assert_eq!(server.hits(), 1, "redirects are not followed");
    }
}

#[tokio::test]
async fn the_key_goes_to_the_models_own_server_alone() {
    let act = vec![Act::Send(response(200, "", ""))];
    let (own, other) = (Server::start(act.clone()).await, Server::start(act).await);
    let own_probe = probe(&own, &address(&own), LONG);
    own_probe.ask().await.unwrap();
    own_probe.ask().await.unwrap();
    assert_eq!(own.hits(), 2, "each question has its own connection");
    probe(&own, &address(&other), LONG).ask().await.unwrap();
    let seen = |server: &Server| server.requests.lock().unwrap()[0].clone();
    assert!(seen(&own).starts_with("GET /health?deep=1 HTTP/1.1\r\n"));
    assert!(seen(&own).contains(KEY) && !seen(&own).contains("content-type"));
    assert!(!seen(&other).contains(KEY), "{}", seen(&other));
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_its_connection_closed() {
    let mut server = Server::start(vec![Act::Hang]).await;
    let within = Duration::from_millis(100);
    let told = probe(&server, &address(&server), within).ask().await;
    assert_eq!(told, Err(ProbeError::TimedOut(within)));
    server.until_closed().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let told = HealthProbe::open(&settings(&url), &url, LONG).unwrap();
    let told = told.ask().await.unwrap_err();
    assert!(told.to_string().contains("refused"), "{told}");
    let phase = NetworkPhase::Connect;
    assert!(matches!(&told, ProbeError::Unreachable { phase: p, .. } if *p == phase));
    let noise = Server::start(vec![Act::Send(b"SSH-2.0-OpenSSH\r\n".to_vec())]).await;
    let told = probe(&noise, &address(&noise), LONG).ask().await;
    let told = told.unwrap_err();
    assert_eq!(told.reason(), "unreachable", "{told}");
}
