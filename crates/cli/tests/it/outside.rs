//! What leaves the node: requests of the `http` tool with their secrets, and model calls over HTTP.

use crate::harness::Place;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const TOKEN: &str = "tok-5f2c8a91d7e04b36";

/// A request as it arrived.
#[derive(Debug, Clone)]
struct Request {
    line: String,
    headers: Vec<String>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.headers
            .iter()
            .find_map(|line| line.strip_prefix(&prefix))
    }
}

/// A server on loopback that answers as it is told and remembers what it was asked.
struct Target {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Target {
    /// `answer` gives a whole answer, or none to hang up.
    fn start(answer: impl Fn(&Request) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&seen);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let Some(request) = read(&connection) else {
                    continue;
                };
                let answer = answer(&request);
                remembered.lock().unwrap().push(request);
                if let Some(answer) = answer {
                    let _gone = (&connection).write_all(answer.as_bytes());
                }
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(connection: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(connection);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut request = Request {
        line: lines.remove(0),
        headers: lines,
        body: String::new(),
    };
    let length = request.header("content-length").unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}

fn answer(status: &str, headers: &str, body: &str) -> Option<String> {
    Some(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

/// An agent whose `http` tool has these options and makes one call.
fn place(options: &str, method: &str, url: &str) -> Place {
    let manifest = format!(
        "version: 1\nmodels:\n  m: {{provider: script, file: script.yaml}}\nagents:\n  a:\n    \
         model: m\n    tools:\n      - http: {{private: [\"127.0.0.1\", localhost], {options}}}\n\
         secrets: {{tracker: {{file: token.txt}}}}\n"
    );
    let script = format!(
        "- tool_calls: [{{name: http, arguments: {{method: {method}, url: '{url}', body: hello}}}}]\n\
         - text: done\n"
    );
    let place = Place::new(&manifest, &script);
    place.write("token.txt", &format!("{TOKEN}\n"));
    place
}

/// Everything that anybody but the target could see.
fn everything_seen(place: &Place) -> String {
    let mut seen = place.mainstay(&["--json", "session", "show", "s"]).stdout;
    seen.push_str(&place.mainstay(&["session", "export", "s"]).stdout);
    seen.push_str(&place.mainstay(&["--json", "session", "events", "s"]).stdout);
    seen
}

#[test]
fn a_secret_reaches_its_host_and_nobody_else() {
    let echo = |request: &Request| {
        let token = request.header("authorization").unwrap_or("nothing");
        let location = format!("location: /next?t={token}\r\n");
        answer("302 Found", &location, &format!("you said {token}"))
    };
    let target = Target::start(echo);
    let port = target.address.port();
    let options = format!(
        "allow: [\"POST http://127.0.0.1:{port}/*\", \"POST http://localhost:{port}/*\"], \
         secret: {{header: Authorization, secret: tracker, host: 127.0.0.1}}"
    );
    let url = format!("http://127.0.0.1:{port}/issues/1");
    let own = place(&options, "POST", &url);
    own.run(&["--session", "s"]).ok();
    let seen = target.seen();
    assert_eq!(seen.len(), 1, "the redirect was followed: {seen:?}");
    assert_eq!(seen[0].line, "POST /issues/1 HTTP/1.1");
    assert_eq!(seen[0].header("authorization"), Some(TOKEN));
    assert_eq!(seen[0].body, "hello");
    assert!(seen[0].header("idempotency-key").is_some());
    let everything = everything_seen(&own);
    assert!(everything.contains("you said [secret]"), "{everything}");
    assert!(everything.contains("/next?t=[secret]"), "{everything}");
    assert!(!everything.contains(TOKEN));

    let other = place(&options, "POST", &url.replace("127.0.0.1", "localhost"));
    other.run(&["--session", "s"]).ok();
    assert_eq!(target.seen()[1].header("authorization"), None);
}

#[test]
fn no_part_of_a_secret_survives_a_cut() {
    for (before, limit) in [(0, 10), (90, 100), (85, 100), (99, 100), (100, 100)] {
        let echo = move |request: &Request| {
            let token = request.header("authorization").unwrap_or_default();
            answer(
                "200 OK",
                "",
                &format!("{}{token}{token}", ".".repeat(before)),
            )
        };
        let target = Target::start(echo);
        let port = target.address.port();
        let options = format!(
            "allow: [\"POST http://127.0.0.1:{port}/*\"], response_bytes_max: {limit}B, \
             secret: {{header: Authorization, secret: tracker}}"
        );
        let url = format!("http://127.0.0.1:{port}/");
        let place = place(&options, "POST", &url);
        place.run(&["--session", "s"]).ok();
        let everything = everything_seen(&place);
        assert!(everything.contains("cut after"), "{everything}");
        assert!(!everything.contains("tok-"), "{before}: {everything}");
        assert!(!everything.contains(".to\\n"), "{before}: {everything}");
    }
}

#[test]
fn what_the_model_may_not_ask_for_never_leaves() {
    let target = Target::start(|_| answer("200 OK", "", "reached"));
    let port = target.address.port();
    let options = format!(
        "allow: [\"POST http://127.0.0.1:{port}/open/*\"], \
         secret: {{header: X-Token, secret: tracker}}"
    );
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    for (method, url) in [
        ("GET", at("/open/x")),
        ("POST", at("/closed")),
        ("POST", at("/open/../closed")),
        ("POST", at("/open/%2e%2e/closed")),
        ("POST", at("/open/x").replace("127.0.0.1", "0.0.0.0")),
        ("POST", at("/open/x").replace("127.0.0.1", "user@127.0.0.1")),
        (
            "POST",
            at("/open/x").replace("127.0.0.1", "[::ffff:127.0.0.1]"),
        ),
    ] {
        let place = place(&options, method, &url);
        place.run(&["--session", "s"]).ok();
        assert_eq!(target.seen().len(), 0, "{method} {url}");
    }
    for header in [
        "Authorization",
        "x-token",
        "Host",
        "Idempotency-Key",
        "Cookie",
    ] {
        let place = place(&options, "POST", &at("/open/x"));
        let script = format!(
            "- tool_calls: [{{name: http, arguments: {{method: POST, url: '{}', \
             headers: {{{header}: mine}}}}}}]\n- text: done\n",
            at("/open/x")
        );
        place.write("script.yaml", &script);
        place.run(&["--session", "s"]).ok();
        assert_eq!(target.seen().len(), 0, "{header}");
    }
}

#[test]
fn a_lost_answer_is_found_by_the_probe_with_the_same_key() {
    let hang_up = |request: &Request| match request.line.starts_with("GET") {
        true => answer("200 OK", "", "it is there"),
        false => None,
    };
    let target = Target::start(hang_up);
    let port = target.address.port();
    let options = format!(
        "allow: [\"POST http://127.0.0.1:{port}/*\"], \
         probe: {{url: \"http://127.0.0.1:{port}/by-key/{{key}}\"}}"
    );
    let place = place(&options, "POST", &format!("http://127.0.0.1:{port}/posts"));
    place.run(&["--session", "s"]).ok();
    let seen = target.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let key = seen[0].header("idempotency-key").unwrap();
    assert_eq!(seen[1].line, format!("GET /by-key/{key} HTTP/1.1"));
    let everything = everything_seen(&place);
    assert!(everything.contains("It took effect"), "{everything}");
}

/// Calls a tool, then answers with what it is told.
fn talk(request: &Request) -> Option<String> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!(
            "data: {}\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})
        )
    };
    let usage = |input: u32, output: u32| {
        let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        format!(
            "data: {}\n\ndata: [DONE]\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage})
        )
    };
    let asked: Value = serde_json::from_str(&request.body).unwrap();
    let messages = asked["messages"].as_array().unwrap();
    let last = messages.last().unwrap();
    let call = |part: &str| {
        json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                   "function": {"name": "shell", "arguments": part}}]})
    };
    let more = |part: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]});
    let body = if last["role"] == "tool" {
        let told = last["content"].as_str().unwrap();
        let is_told = told.contains("six times seven is 42");
        chunk(
            json!({"role": "assistant", "content": "it is "}),
            Value::Null,
        ) + &chunk(
            json!({"content": if is_told { "42" } else { "lost" }}),
            json!("stop"),
        ) + &usage(300, 20)
    } else {
        chunk(call("{\"command\": \"echo six times "), Value::Null)
            + &chunk(more("seven is $((6*7))\"}"), json!("tool_calls"))
            + &usage(100, 10)
    };
    answer("200 OK", "content-type: text/event-stream\r\n", &body)
}

#[test]
fn a_model_over_http_streams_calls_tools_and_is_paid() {
    let target = Target::start(talk);
    let manifest = format!(
        "version: 1\nmodels:\n  m: {{provider: openai_compatible, model: large, api_key: {{secret: k}}, \
         base_url: \"http://{}/v1\", price: {{input_per_million: 1, output_per_million: 10}}}}\n\
         agents:\n  a: {{model: m, workspace: work, tools: [shell]}}\nsecrets: {{k: {{file: token.txt}}}}\n",
        target.address
    );
    let place = Place::new(&manifest, "[]");
    place.write("token.txt", TOKEN);
    let ran = place.run(&["--session", "s"]);
    let last = ran.ok().json();
    assert_eq!(last["data"]["text"], "it is 42", "{ran:?}");
    assert_eq!(last["data"]["spent"]["input_tokens"], 400);
    assert_eq!(last["data"]["spent"]["usd"], "0.0007");
    let seen = target.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].line, "POST /v1/chat/completions HTTP/1.1");
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(seen[0].header("authorization"), Some(bearer.as_str()));
    assert!(!everything_seen(&place).contains(TOKEN));
    let recorded = place.path().join("script.jsonl");
    let record = ["--session", "again", "--record", recorded.to_str().unwrap()];
    place.run(&record).ok();
    place.write(
        "mainstay.yaml",
        "version: 1\nmodels:\n  m: {provider: script, file: script.jsonl}\n\
         agents:\n  a: {model: m, workspace: work, tools: [shell]}\n",
    );
    let replayed = place.run(&["--session", "from-record"]);
    assert_eq!(replayed.ok().json()["data"]["text"], "it is 42");
    assert_eq!(target.seen().len(), 4);
}
