//! A chat-completions server on loopback that answers every request with the same bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How the server treats a connection.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Sends these bytes, then closes.
    Answer(String),
    /// Says nothing for this long, then closes.
    Silence(Duration),
}

pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else {
                    continue;
                };
                let behaviour = behaviour.clone();
                counted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    read_request(&mut connection);
                    match behaviour {
                        Behaviour::Answer(text) => {
                            let _gone = connection.write_all(text.as_bytes());
                        }
                        Behaviour::Silence(time) => thread::sleep(time),
                    }
                });
            }
        });
        Self { address, requests }
    }

    /// Answers with a status, headers and a JSON body.
    pub(crate) fn status(status: &str, headers: &str, body: &str) -> Self {
        Self::start(Behaviour::Answer(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             {headers}connection: close\r\n\r\n{body}",
            body.len()
        )))
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The `models` section of a manifest that uses it.
    pub(crate) fn models(&self, more: &str) -> String {
        format!(
            "  m: {{provider: openai_compatible, model: any, base_url: \"http://{}/v1\", \
             retry: {{max: 1, base: 1ms, cap: 10ms}}{more}}}\n",
            self.address
        )
    }
}

fn read_request(connection: &mut std::net::TcpStream) {
    let _set = connection.set_read_timeout(Some(Duration::from_secs(5)));
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = connection.read(&mut buffer) {
        if count == 0 {
            return;
        }
        seen.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&seen);
        let Some(end) = text.find("\r\n\r\n") else {
            continue;
        };
        let length = text
            .to_lowercase()
            .split("content-length:")
            .nth(1)
            .map_or(0, |rest| {
                rest.split("\r\n")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .parse()
                    .unwrap_or(0)
            });
        if seen.len() >= end + 4 + length {
            return;
        }
    }
}
