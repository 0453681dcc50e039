//! The scripted model: what it answers, and which scripts it refuses.

use mainstay_contract::{Coded, Message, Role};
use mainstay_providers::{
    Direct, InferenceError, ModelAnswer, ModelProvider, ModelRequest, ProviderSettings, Script,
    ScriptError, open,
};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn script(name: &str, text: &str) -> Arc<dyn ModelProvider> {
    let steps = Script::parse(name, text.as_bytes()).unwrap();
    let provider = open(ProviderSettings::Script { steps }).unwrap();
    Arc::new(Direct::new(provider, name))
}

async fn ask(
    model: &dyn ModelProvider,
    answers: usize,
    attempt: u32,
) -> Result<ModelAnswer, InferenceError> {
    let mut messages = vec![Message::text(Role::User, "go")];
    messages.extend((0..answers).map(|_| Message::text(Role::Assistant, "x")));
    let request = ModelRequest {
        messages,
        attempt,
        ..ModelRequest::default()
    };
    model.call(&request, &mut |_| {}).await
}

fn refusal(name: &str, bytes: &[u8]) -> ScriptError {
    Script::parse(name, bytes).unwrap_err()
}

#[tokio::test]
async fn the_conversation_alone_decides_which_step_answers() {
    let yaml = "
steps:
  - text: reading
    tool_calls:
      - {name: files, arguments: {op: read, lines: [1, 2], deep: {a: null, b: 1.5, c: 'no'}}}
      - {name: shell, arguments: '{broken', id: mine}
    usage: {input_tokens: 10, output_tokens: 4}
  - {text: again, repeat: 2}
  - text: |
      done
";
    let model = script("fix.yaml", yaml);
    let first = ask(&*model, 0, 0).await.unwrap();
    assert_eq!(
        first,
        ask(&*model, 0, 3).await.unwrap(),
        "a repeated call gets the same answer"
    );
    let calls: Vec<_> = first
        .tool_calls
        .iter()
        .map(|call| (call.id.as_str(), call.arguments.as_str()))
        .collect();
    let arguments = r#"{"op":"read","lines":[1,2],"deep":{"a":null,"b":1.5,"c":"no"}}"#;
    assert_eq!(calls, [("call_0_0", arguments), ("mine", "{broken")]);
    assert_eq!(
        (first.usage.input_tokens, first.usage.output_tokens),
        (10, 4)
    );
    let mut texts = Vec::new();
    for answers in 1..4 {
        texts.push(ask(&*model, answers, 0).await.unwrap().text);
    }
    assert_eq!(texts, ["again", "again", "done\n"]);
    let end = ask(&*model, 4, 0).await.unwrap_err();
    assert!(
        matches!(
            end,
            InferenceError::ScriptExhausted {
                step: 5,
                steps: 4,
                ..
            }
        ),
        "{end:?}"
    );
    assert_eq!(end.report().code.as_str(), "inference.script_exhausted");
}

#[tokio::test]
async fn faults_end_the_first_attempts_of_their_step() {
    let yaml = "
- fault: {kind: rate_limited, retry_after: 1.5s, times: 2}
- fault: {kind: server_error, status: 502}
  text: one
- text: two
  fault: {kind: timeout, phase: idle, after: 30s}
- fault: {kind: bad_request, message: no}
";
    let model = script("faults.yml", yaml);
    for attempt in [0, 1] {
        let report = ask(&*model, 0, attempt).await.unwrap_err().report();
        assert_eq!(
            (report.code.as_str(), report.retry.after_ms),
            ("inference.rate_limited", Some(1500))
        );
    }
    assert_eq!(
        ask(&*model, 0, 2).await.unwrap_err().report().data["status"],
        502
    );
    assert_eq!(ask(&*model, 0, 3).await.unwrap().text, "one");
    assert_eq!(
        ask(&*model, 1, 0).await.unwrap_err().report().data["after"],
        30_000
    );
    assert_eq!(ask(&*model, 1, 1).await.unwrap().text, "two");
    assert_eq!(
        ask(&*model, 2, 0).await.unwrap_err().code().as_str(),
        "inference.bad_request"
    );
    assert_eq!(
        ask(&*model, 2, 1).await.unwrap_err().code().as_str(),
        "inference.script_exhausted"
    );
}

#[tokio::test]
async fn every_kind_of_fault_is_its_own_error() {
    for (kind, code) in [
        ("rate_limited", "inference.rate_limited"),
        ("backpressure", "inference.backpressure"),
        ("quota_exhausted", "inference.quota_exhausted"),
        ("content_filtered", "inference.content_filtered"),
        (
            "context_length_exceeded",
            "inference.context_length_exceeded",
        ),
        ("bad_request", "inference.bad_request"),
        ("misdirected", "inference.bad_request"),
        ("model_not_found", "inference.model_not_found"),
        ("unauthorized", "inference.unauthorized"),
        ("forbidden", "inference.forbidden"),
        ("network_error", "inference.network_error"),
        ("server_error", "inference.server_error"),
        ("timeout", "inference.timeout"),
        ("bad_response", "inference.bad_response"),
        ("internal", "inference.internal"),
    ] {
        let model = script(
            "f.yaml",
            &format!("- fault: {{kind: {kind}}}\n- text: ok\n"),
        );
        let error = ask(&*model, 0, 0).await.unwrap_err();
        assert_eq!(error.code().as_str(), code);
        assert_eq!(error.report().data["kind"], kind);
    }
    let model = script("f.yaml", "- {text: ok, fault: {kind: panic}}");
    let call = tokio::spawn(async move { ask(&*model, 0, 0).await });
    assert!(call.await.unwrap_err().is_panic());
}

#[tokio::test]
async fn text_comes_in_pieces_and_in_time() {
    let yaml = "- {text: aébcdefg, delay: 30ms, chunks: 3, chunk_delay: 20ms, fault: {kind: network_error, phase: stream, after_chunks: 2}}";
    let model = script("slow.yaml", yaml);
    let mut pieces = Vec::new();
    let mut request = ModelRequest::default();
    let error = model
        .call(&request, &mut |text| pieces.push(text.to_owned()))
        .await
        .unwrap_err();
    assert_eq!(pieces, ["aéb", "cde"]);
    assert!(error.origin().answering);
    let started = Instant::now();
    (request.attempt, pieces) = (1, Vec::new());
    model
        .call(&request, &mut |text| pieces.push(text.to_owned()))
        .await
        .unwrap();
    assert_eq!(pieces, ["aéb", "cde", "fg"]);
    assert!(started.elapsed() >= Duration::from_millis(70));
}

#[tokio::test]
async fn json_lines_are_a_script_too() {
    let lines = "{\"text\":\"\\ud83e\\udd80\"}\n\n  \n{\"tool_calls\":[{\"name\":\"t\",\"arguments\":{\"n\":1}}]}\r\n";
    let model = script("a.jsonl", lines);
    assert_eq!(ask(&*model, 0, 0).await.unwrap().text, "🦀");
    assert_eq!(
        ask(&*model, 1, 0).await.unwrap().tool_calls[0].arguments,
        "{\"n\":1}"
    );
}

#[test]
fn refusals_name_the_place_and_what_was_meant() {
    for (name, text, expected) in [
        (
            "a.yaml",
            "- text: a\n  dealy: 1s\n",
            r#"a.yaml:2:3: unknown key "dealy"; did you mean "delay"?"#,
        ),
        (
            "a.yaml",
            "- text: a\n  text: b\n",
            r#"a.yaml:2:3: the key "text" stands here twice"#,
        ),
        (
            "a.yaml",
            "- text: 42\n",
            "a.yaml:1:9: text must be text; put other values in quotes",
        ),
        (
            "a.yaml",
            "- {text: a, delay: 20}\n",
            "a.yaml:1:20: delay must be a duration like 20ms, 1.5s, 2m or 1h",
        ),
        (
            "a.yaml",
            "- {text: a, repeat: 0}\n",
            "a.yaml:1:21: repeat must be at least 1",
        ),
        (
            "a.yaml",
            "- usage: {}\n",
            "a.yaml:1:3: a step must be an answer: `text`, `tool_calls` or both, or a `fault`",
        ),
        (
            "a.yaml",
            "- &x {text: a}\n- *x\n",
            "a.yaml:1:3: scripts have no anchors",
        ),
        (
            "a.yaml",
            "- !!binary aa\n",
            "a.yaml:1:3: scripts have no tags",
        ),
        (
            "a.yaml",
            "--- []\n--- []\n",
            "a.yaml:2:5: a script is one document",
        ),
        ("a.yaml", "text: a\n", r#"a.yaml:1:1: unknown key "text""#),
        (
            "a.yaml",
            "steps: 3\n",
            "a.yaml:1:8: steps must be a list of steps",
        ),
        (
            "a.yaml",
            "- fault: {kind: timeout, status: 3}\n  text: a\n",
            r#"a.yaml:1:26: unknown key "status""#,
        ),
        ("a.yaml", "", "a.yaml has no steps"),
        ("a.yaml", "steps: []\n", "a.yaml has no steps"),
        (
            "a.jsonl",
            "{\"text\":\"a\"}\n{\"txt\":\"b\"}",
            r#"a.jsonl:2:1: unknown key "txt"; did you mean "text"?"#,
        ),
        (
            "a.jsonl",
            "{\"text\":\"a\"}\n{\"text\":\"a\",\"text\":\"b\"}",
            r#"a.jsonl:2:18: the key "text" stands here twice"#,
        ),
        (
            "a.jsonl",
            "{\"text\":\"a\"} {}",
            "a.jsonl:1:14: more than one value on a line",
        ),
    ] {
        let error = refusal(name, text.as_bytes());
        assert_eq!(error.to_string(), expected, "{text}");
        assert_eq!(error.report().code.as_str(), "manifest.invalid");
    }
    let kind = refusal("a.yaml", b"- fault: {kind: rate_limit}").to_string();
    assert!(
        kind.starts_with("a.yaml:1:17: kind must be one of ")
            && kind.ends_with("did you mean \"rate_limited\"?"),
        "{kind}"
    );
    assert!(matches!(
        refusal("a.yaml", b"- text: 'open\n"),
        ScriptError::Syntax { .. }
    ));
    let not_utf8 = refusal("a.yaml", b"- text: a\n- text: \xc3\xa9\xff").to_string();
    assert_eq!(not_utf8, "a.yaml:2:10: not UTF-8");
}

#[test]
fn hostile_scripts_are_refused_quickly() {
    let started = Instant::now();
    let mib = 1 << 20;
    for (name, text) in [
        ("a.yaml", "[".repeat(mib)),
        ("a.yaml", "- ".repeat(mib)),
        ("a.yaml", "{a: ".repeat(mib)),
        ("a.yaml", "? ".repeat(mib)),
        ("a.jsonl", "[".repeat(mib)),
        ("a.jsonl", "{\"text\":".repeat(mib)),
        ("a.yaml", format!("- text: a\n  {}: b\n", "k".repeat(mib))),
    ] {
        let error = refusal(name, text.as_bytes());
        assert!(error.to_string().len() < 500, "{error}");
    }
    let depth = format!(
        "- tool_calls: [{{name: a, arguments: {{a: {}{}}}}}]",
        "[".repeat(100),
        "]".repeat(100)
    );
    assert!(matches!(
        refusal("a.yaml", depth.as_bytes()),
        ScriptError::TooDeep { depth_max: 64, .. }
    ));
    let line = format!("{{\"tool_calls\":{}{}}}", "[".repeat(100), "]".repeat(100));
    assert!(matches!(
        refusal("a.jsonl", line.as_bytes()),
        ScriptError::TooDeep { .. }
    ));
    assert!(matches!(
        refusal("a.yaml", &vec![b' '; 100 << 20]),
        ScriptError::TooLarge { .. }
    ));
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[-a-z:{}\\[\\]?&*!|>'\"#, \n\t]{0,80}") {
        for name in ["a.yaml", "a.jsonl"] {
            let _ = Script::parse(name, &bytes);
            let _ = Script::parse(name, text.as_bytes());
        }
    }
}
