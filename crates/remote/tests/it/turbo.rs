//! Turborepo's HTTP API, by hand.

use crate::harness::{Server, http, noise};
use std::fs;

const TAG: &str = "hmac+/=~ \"quoted\" \u{e9}";

#[test]
fn an_artifact_comes_back_with_its_notes_to_its_team_only() {
    let server = Server::start();
    let bytes = noise(1, 3_000_000);
    let notes = [
        ("x-artifact-duration", "1234"),
        ("x-artifact-tag", TAG),
        ("x-artifact-sha", "abc"),
        ("x-artifact-dirty-hash", "def"),
        ("x-artifact-client-ci", "SOME_CI"),
    ];
    let put = http(
        &server,
        "PUT",
        "/v8/artifacts/00ff?teamId=team_1",
        &notes,
        &bytes,
    );
    assert_eq!(put.status, 202);
    assert_eq!(put.body, br#"{"urls":[]}"#);
    let got = http(
        &server,
        "GET",
        "/v8/artifacts/00ff?teamId=team_1&slug=other",
        &[],
        b"",
    );
    assert_eq!((got.status, got.body == bytes), (200, true));
    let seen = http(
        &server,
        "HEAD",
        "/v8/artifacts/00ff?teamId=team_1",
        &[],
        b"",
    );
    assert_eq!((seen.status, seen.body.len()), (200, 0));
    for answer in [got, seen] {
        assert_eq!(answer.headers["content-length"], "3000000");
        assert_eq!(answer.headers["x-artifact-duration"], "1234");
        assert_eq!(answer.headers["x-artifact-tag"], TAG);
    }
    for elsewhere in [
        "00ff",
        "00ff?teamId=team_2",
        "00ff?slug=x",
        "00fe?teamId=team_1",
    ] {
        for method in ["GET", "HEAD"] {
            let path = format!("/v8/artifacts/{elsewhere}");
            assert_eq!(http(&server, method, &path, &[], b"").status, 404);
        }
    }
}

#[test]
fn several_are_asked_for_at_once() {
    let server = Server::start();
    let notes = [("x-artifact-duration", "7")];
    http(&server, "PUT", "/v8/artifacts/aa?slug=s", &notes, b"bytes");
    let question = br#"{"hashes":["aa","bb"]}"#;
    let answer = http(&server, "POST", "/v8/artifacts?slug=s", &[], question);
    assert_eq!(answer.status, 200);
    let expected = r#"{"aa":{"size":5,"taskDurationMs":7,"tag":null},"bb":null}"#;
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
    for odd in [&b"[]"[..], b"{", br#"{"hashes":["../x"]}"#] {
        assert_eq!(http(&server, "POST", "/v8/artifacts", &[], odd).status, 400);
    }
}

#[test]
fn status_and_events_are_answered() {
    let server = Server::start();
    let status = http(&server, "GET", "/v8/artifacts/status?slug=x", &[], b"");
    assert_eq!(status.body, br#"{"status":"enabled"}"#);
    assert_eq!(
        http(&server, "POST", "/v8/artifacts/events", &[], b"[]").status,
        200
    );
    let flood = vec![b' '; 2 << 20];
    assert_eq!(
        http(&server, "POST", "/v8/artifacts/events", &[], &flood).status,
        400
    );
    assert_eq!(http(&server, "GET", "/v2/user", &[], b"").status, 404);
}

#[test]
fn odd_names_and_notes_are_refused() {
    let server = Server::start();
    for name in ["..%2f..%2fetc", "a%00", ".", "%2e%2e", &"a".repeat(200)] {
        let path = format!("/v8/artifacts/{name}");
        let refused = http(&server, "PUT", &path, &[], b"x").status;
        assert!(matches!(refused, 400 | 404), "{name}: {refused}");
    }
    let long = "x".repeat(2000);
    for notes in [("x-artifact-duration", "soon"), ("x-artifact-tag", &*long)] {
        let refused = http(&server, "PUT", "/v8/artifacts/1", &[notes], b"x");
        assert_eq!(refused.status, 400);
    }
    assert!(server.files("artifacts").is_empty());
}

#[test]
fn a_damaged_artifact_is_a_missing_one() {
    let server = Server::start();
    http(&server, "PUT", "/v8/artifacts/1", &[], b"bytes");
    fs::write(&server.files("cas")[0], b"bites").unwrap();
    assert_eq!(
        http(&server, "GET", "/v8/artifacts/1", &[], b"").status,
        404
    );
    http(&server, "PUT", "/v8/artifacts/1", &[], b"bytes");
    assert_eq!(
        http(&server, "GET", "/v8/artifacts/1", &[], b"").body,
        b"bytes"
    );
}
