//! What goes wrong inside tools: the model is told, the turn goes on, the record says why.

use crate::harness::{Place, manifest};
use serde_json::Value;

/// Runs one call and gives back how it ended, and what the model was told.
fn ended(place: &Place) -> (Value, String) {
    place.run(&["--session", "s"]).ok();
    let events = place.events("s");
    let ended = events
        .iter()
        .find(|event| event["kind"] == "tool_completed");
    let status = ended.unwrap_or_else(|| panic!("{events:?}"))["data"]["status"].clone();
    let shown = place
        .mainstay(&["--json", "session", "export", "s"])
        .ok()
        .stdout
        .clone();
    (status, shown)
}

fn call(name: &str, arguments: &str) -> String {
    format!("- tool_calls: [{{name: {name}, arguments: {arguments}}}]\n- text: done\n")
}

#[track_caller]
fn fails(place: &Place, code: &str) -> String {
    let (status, shown) = ended(place);
    assert_eq!(status["failed"], code, "{shown}");
    shown
}

#[test]
fn an_unknown_tool() {
    let shown = fails(
        &Place::scripted(&call("shel", "{command: ls}")),
        "tool.unknown",
    );
    assert!(shown.contains("shell"), "{shown}");
}

#[test]
fn unusable_arguments() {
    for arguments in [
        "{}",
        "{command: 7}",
        "{command: ls, extra: 1}",
        "'not json'",
    ] {
        fails(
            &Place::scripted(&call("shell", arguments)),
            "tool.invalid_arguments",
        );
    }
}

#[test]
fn a_failed_tool() {
    let shown = fails(
        &Place::scripted(&call("files_read", "{path: helo.txt}")),
        "tool.failed",
    );
    assert!(shown.contains("hello.txt"), "near names: {shown}");
}

#[test]
fn a_failing_command_is_a_result_and_no_failure_of_the_tool() {
    let (status, shown) = ended(&Place::scripted(&call("shell", "{command: 'exit 7'}")));
    assert_eq!(status, "succeeded");
    assert!(shown.contains('7'), "{shown}");
}

#[test]
fn out_of_time() {
    let sandbox = "    sandbox: {timeout: 200ms}\n";
    let models = "  m: {provider: script, file: script.yaml}\n";
    let script = call("shell", "{command: 'echo before; sleep 30'}");
    let place = Place::new(&manifest(models, sandbox), &script);
    let shown = fails(&place, "tool.timed_out");
    assert!(shown.contains("before"), "{shown}");
}

#[test]
fn out_of_memory() {
    let sandbox = "    sandbox: {memory: 32MiB, weaker: true}\n";
    let models = "  m: {provider: script, file: script.yaml}\n";
    let hog = "{command: 'head -c 200000000 /dev/zero | tail | wc -c'}";
    let place = Place::new(&manifest(models, sandbox), &call("shell", hog));
    let (status, shown) = ended(&place);
    let is_told = status["failed"] == "tool.resources_exhausted";
    if !is_told && !crate::harness::is_root() {
        return crate::harness::skipped("no memory control group for an ordinary user here");
    }
    assert!(is_told, "{status} {shown}");
}

#[test]
fn not_permitted() {
    let models = "  m: {provider: script, file: script.yaml}\n";
    let http = |allow: &str| {
        format!(
            "version: 1\nmodels:\n{models}agents:\n  a:\n    model: m\n    \
             tools: [{{http: {{allow: [\"{allow}\"]}}}}]\n"
        )
    };
    let get = |url: &str| call("http", &format!("{{method: GET, url: '{url}'}}"));
    let cases = [
        ("GET https://example.com/*", "https://other.example/"),
        ("GET http://127.0.0.1:9/*", "http://127.0.0.1:9/x"),
        ("GET http://localhost:9/*", "http://localhost:9/x"),
        (
            "GET http://169.254.169.254/*",
            "http://169.254.169.254/latest",
        ),
    ];
    for (allow, url) in cases {
        fails(&Place::new(&http(allow), &get(url)), "tool.not_permitted");
    }
}
