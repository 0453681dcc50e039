//! Traces, as a collector gets them: names and figures, and nothing that was said.

use super::{Gate, Route, SECRET, model};
use crate::harness::{Place, Server};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Takes in what is sent to it, as it is.
async fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let place = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let place = Arc::clone(&place);
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    place.lock().unwrap().extend_from_slice(&bytes[..read]);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    let _gone = stream.write_all(answer).await;
                }
            });
        }
    });
    (url, taken)
}

fn holds(taken: &Mutex<Vec<u8>>, text: &str) -> bool {
    let taken = taken.lock().unwrap();
    taken
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_request_is_traced_without_what_was_said() {
    let (url, taken) = collector().await;
    let models = model("main", "openai", "echo", "") + &model("broken", "openai", "500", "");
    let gate = Gate::starting(&models, "", |place: &Place| {
        let mut command = place.command(&["--json", "serve", "--listen", "127.0.0.1:0"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
        Server::start(command, place)
    });
    let body = Route::Chat.body("main", "a word that nobody else may read", false);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = gate
        .request(Route::Chat, &body)
        .header("traceparent", parent);
    let told = gate.send(Route::Chat, request).await;
    let id = told.ok().header("x-request-id").to_owned();
    gate.chat("broken")
        .await
        .failed("inference.server_error", 502);
    for text in [
        "gen_ai.operation.name",
        "gen_ai.request.model",
        "gen_ai.provider.name",
        "gen_ai.usage.output_tokens",
        "gen_ai.response.finish_reasons",
        "chat main",
        id.as_str(),
        "inference.server_error",
    ] {
        gate.until(text, || holds(&taken, text)).await;
    }
    // The bytes of the caller's trace and span.
    let trace = [0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6];
    let is_there = |taken: &[u8]| taken.windows(8).any(|window| window == trace);
    assert!(
        is_there(&taken.lock().unwrap()),
        "the caller's trace goes on"
    );
    for text in ["nobody else", SECRET, gate.server.key.as_str()] {
        assert!(!holds(&taken, text), "{text}");
    }
}
