//! Bodies that nobody should send.

use super::place::{Place, TURNS};
use serde_json::json;
use std::time::{Duration, Instant};

const SCRIPT: &str = "- text: hi\n";
const TOO_LARGE: &str = "runtime.request_too_large";
const INVALID: &str = "runtime.invalid_request";

#[tokio::test]
async fn malformed_bodies_say_where() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let nested = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let deep = [
        b"{\"options\":".repeat(50_000),
        b"1".to_vec(),
        b"}".repeat(50_000),
    ]
    .concat();
    let cases: [(&[u8], &str); 15] = [
        (b"", "agent"),
        (b"{", "line 1 column 1"),
        (b"{\"agent\": \"fixer\",\n \"input\" 1}", "line 2 column"),
        (b"[]", "a list"),
        (b"null", "null"),
        (b"\"text\"", "a string"),
        (b"{\"agent\": \"fixer\", \"input\": \"\xff\"}", "byte 29"),
        (&nested, "recursion"),
        (&deep, "recursion"),
        (
            b"{\"agent\": \"fixer\", \"input\": \"x\",\n \"agent\": \"other\"}",
            "`agent` stands there twice at line 2",
        ),
        (b"{\"agnet\": \"fixer\", \"input\": \"x\"}", "agnet"),
        (b"{\"agent\": 1, \"input\": \"x\"}", "a number"),
        (b"{\"agent\": \"fixer\", \"input\": {}}", "an object"),
        (
            b"{\"agent\": \"fixer\", \"input\": \"x\", \"on_busy\": \"que\"}",
            "reject",
        ),
        (
            b"{\"agent\": \"fixer\", \"input\": \"x\", \"options\": []}",
            "a list",
        ),
    ];
    for (body, part) in cases {
        let report = served.post_bytes(TURNS, body).await.refused(INVALID);
        let message = report["message"].as_str().unwrap();
        assert!(message.contains(part), "{part}: {message}");
    }
    let report = served
        .post(TURNS, &json!({ "agnet": "fixer" }))
        .await
        .refused(INVALID);
    assert!(report["hints"].to_string().contains("`agent`"), "{report}");
    let report = served
        .post(
            TURNS,
            &json!({ "agent": "fixer", "input": "x", "on_busy": "queu" }),
        )
        .await;
    assert!(
        report.refused(INVALID)["hints"]
            .to_string()
            .contains("`queue`")
    );
    served
        .get("/api/sessions/s")
        .await
        .refused("runtime.not_found");
    served.stop().await;
}

#[tokio::test]
async fn only_json_is_read() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let body = r#"{"agent": "fixer", "input": "x"}"#;
    for kind in [
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "",
    ] {
        let head = served.line("POST", TURNS);
        let request = format!("{head}{kind}content-length: {}\r\n\r\n{body}", body.len());
        let report = served.raw(request).await.refused(INVALID);
        assert!(
            report["hints"].to_string().contains("application/json"),
            "{report}"
        );
    }
    let head = served.line("POST", TURNS);
    let kind = "content-type: Application/JSON; charset=utf-8\r\n";
    let request = format!("{head}{kind}content-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(served.raw(request).await.status, 202);
    served.stop().await;
}

#[tokio::test]
async fn huge_bodies_are_refused_quickly_and_keep_nothing() {
    const SIZE: usize = 100 << 20;
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let head = served.line("POST", TURNS);
    let before = peak();
    let began = Instant::now();

    let announced =
        format!("{head}content-type: application/json\r\ncontent-length: {SIZE}\r\n\r\n");
    let mut wire = served.wire().await;
    wire.send(&announced).await;
    wire.reply().await.refused(TOO_LARGE);

    let chunked =
        format!("{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
    for start in [announced, chunked.clone()] {
        let mut wire = served.wire().await;
        let is_chunked = start == chunked;
        wire.send(start).await;
        let piece = vec![b' '; 1 << 20];
        let mut is_open = true;
        for _ in 0..SIZE / piece.len() {
            if is_chunked {
                is_open = is_open && wire.try_send(b"100000\r\n").await;
            }
            is_open = is_open && wire.try_send(&piece).await;
            if is_chunked {
                is_open = is_open && wire.try_send(b"\r\n").await;
            }
        }
        assert!(is_open, "the node reads on, so that the answer is not lost");
        let reply = wire.reply().await;
        reply.refused(TOO_LARGE);
        assert_eq!(reply.head.header("connection"), Some("close"));
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let grown = peak().saturating_sub(before);
    assert!(grown < 48 << 10, "{grown} KiB more at the peak");

    let five = vec![b' '; 5 << 20];
    served.post_bytes(TURNS, &five).await.refused(TOO_LARGE);
    assert_eq!(served.get("/healthz").await.status, 200);
    served.stop().await;
}

#[tokio::test]
async fn who_asks_first_is_told_to_send_nothing() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let head = served.line("POST", TURNS);
    let mut wire = served.wire().await;
    wire.send(format!(
        "{head}content-type: application/json\r\ncontent-length: 104857600\r\nexpect: 100-continue\r\n\r\n"
    ))
    .await;
    wire.reply().await.refused(TOO_LARGE);
    assert!(wire.is_closed().await);
    served.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_harms_nobody() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let head = served.line("POST", TURNS);
    let mut wire = served.wire().await;
    wire.send(format!(
        "{head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"agent\""
    ))
    .await;
    drop(wire);
    let mut wire = served.wire().await;
    wire.send(format!(
        "{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
    ))
    .await;
    wire.reply().await.refused(INVALID);
    assert_eq!(served.turn("t").await.status, 200);
    served.stop().await;
}

/// The most memory this process ever had, in KiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
