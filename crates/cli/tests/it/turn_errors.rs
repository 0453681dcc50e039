//! How turns end badly, or wait.

use crate::harness::{Place, manifest, wait_until};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SCRIPT: &str = "  m: {provider: script, file: script.yaml}\n";

#[test]
fn a_panic_is_contained() {
    let place = Place::scripted("- fault: {kind: panic}\n- text: fine\n");
    let ran = place.run(&["--session", "s"]);
    let report = ran.failed_with("runtime.effect_panicked");
    assert!(report["incident"].is_string(), "{report}");
    place.mainstay(&["doctor"]).ok();
}

#[tokio::test]
async fn a_cancelled_turn_leaves_a_usable_session() {
    let place = Place::scripted(
        "- tool_calls: [{name: shell, arguments: {command: 'echo x > made; sleep 30'}}]\n- text: on\n",
    );
    let server = place.serve();
    let body = json!({ "agent": "a", "input": "x", "turn_id": "t" });
    server.post("/api/sessions/s/turns", &body).await;
    loop {
        let (_, view) = server.get("/api/turns/t").await;
        if view["steps"]
            .as_array()
            .is_some_and(|steps| steps.len() == 2)
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    server.post("/api/sessions/s/cancel", &json!({})).await;
    let view = server.settled("t").await;
    assert_eq!(view["state"], "cancelled", "{view}");
    assert_eq!(view["error"]["code"], "runtime.turn_cancelled", "{view}");
    let next = json!({ "agent": "a", "input": "y", "turn_id": "u" });
    server.post("/api/sessions/s/turns", &next).await;
    assert_eq!(server.settled("u").await["text"], "on");
    drop(server);
    let diff = place
        .mainstay(&["session", "diff", "s"])
        .ok()
        .stdout
        .clone();
    assert!(
        !diff.contains("made"),
        "the aborted tool was rolled back: {diff}"
    );
}

#[test]
fn a_turn_that_never_gets_anywhere_is_set_aside() {
    let place = Place::new(
        &manifest(SCRIPT, "    max_attempts: 2\n"),
        "- {text: slow, delay: 20s}\n",
    );
    for attempt in 0..3 {
        let args = ["--json", "run", "a", "go", "--session", "s", "--turn", "t"];
        let mut child = place.command(&args).spawn().unwrap();
        let mut seen = String::new();
        let mut stdout = child.stdout.take().unwrap();
        wait_until("the turn is at work", || {
            let mut buffer = [0; 1024];
            let count = stdout.read(&mut buffer).unwrap();
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            seen.contains("workspace_opened") && seen.matches("turn_resumed").count() >= attempt
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!seen.contains("turn_quarantined"), "{seen}");
    }
    let ran = place.run(&["--session", "s", "--turn", "t"]);
    ran.failed_with("runtime.turn_quarantined");
    place.mainstay(&["session", "cancel", "s"]).ok();
    place
        .run(&["--session", "s", "--turn", "t"])
        .failed_with("runtime.turn_cancelled");
}

#[test]
fn all_steps_used() {
    let agent = "    max_steps: 2\n";
    let script = "- tool_calls: [{name: shell, arguments: {command: 'true'}}]\n  repeat: 5\n";
    let place = Place::new(&manifest(SCRIPT, agent), script);
    let report = place.run(&[]).failed_with("runtime.step_limit_reached");
    assert_eq!(report["scored"], true);
}

#[test]
fn all_money_used() {
    let models = "  m: {provider: script, file: script.yaml, \
                  price: {input_per_million: 1, output_per_million: 1}}\n";
    let script = "- tool_calls: [{name: shell, arguments: {command: 'true'}}]\n  \
                  usage: {input_tokens: 2000000, output_tokens: 0}\n- text: done\n";
    let place = Place::new(&manifest(models, "    budget: {usd: 1.50}\n"), script);
    let report = place.run(&[]).failed_with("runtime.budget_exceeded");
    assert_eq!(report["spent"]["usd"], "2");
}

#[test]
fn a_secret_that_is_not_there() {
    let models = "  m: {provider: openai_compatible, model: x, base_url: \"http://127.0.0.1:9/v1\", \
                  api_key: {secret: k}}\n";
    let text = format!(
        "{}secrets: {{k: {{env: NOT_SET_ANYWHERE}}}}\n",
        manifest(models, "")
    );
    let place = Place::new(&text, "");
    place.run(&[]).failed_with("runtime.secret_unavailable");
}

#[test]
fn a_workspace_that_is_not_there() {
    let place = Place::scripted("- text: hi\n");
    std::fs::remove_dir_all(place.workspace()).unwrap();
    place.run(&[]).failed_with("runtime.workspace_unavailable");
}

#[test]
fn a_folder_that_changed_meanwhile() {
    let place = Place::scripted(
        "- tool_calls: [{name: files_write, arguments: {path: hello.txt, content: mine}}]\n- text: ok\n",
    );
    place.run(&["--session", "s"]).ok();
    place.write("work/hello.txt", "somebody else's\n");
    let ran = place.mainstay(&["--json", "session", "apply", "s"]);
    let report = ran.failed_with("runtime.workspace_conflict");
    assert!(report.to_string().contains("hello.txt"), "{report}");
    assert_eq!(place.read("work/hello.txt"), "somebody else's\n");
}

#[test]
fn a_journal_that_was_changed_does_not_replay() {
    let place = Place::scripted("- text: hi\n");
    place.run(&["--session", "s", "--turn", "t"]).ok();
    let database = rusqlite::Connection::open(place.data_dir().join("mainstay.db")).unwrap();
    let changed = database.execute(
        "UPDATE records SET payload = replace(payload, '\"input_tokens\":0', '\"input_tokens\":9') \
         WHERE payload LIKE '%model_answered%'",
        [],
    );
    assert!(changed.unwrap() > 0);
    drop(database);
    let ran = place.mainstay(&["--json", "session", "replay", "t"]);
    let report = ran.failed_with("runtime.replay_diverged");
    assert!(report["data"].to_string().contains("seq"), "{report}");
}

/// A tracker that stores what it gets, then never answers; a probe finds it.
struct Tracker {
    port: u16,
    posts: Arc<AtomicUsize>,
}

impl Tracker {
    fn start(finds: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let posts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&posts);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut buffer = [0; 4096];
                let count = connection.read(&mut buffer).unwrap_or(0);
                if buffer[..count].starts_with(b"POST") {
                    counted.fetch_add(1, Ordering::SeqCst);
                    held.push(connection);
                } else {
                    let answer = format!(
                        "HTTP/1.1 {finds}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
                    );
                    let _gone = connection.write_all(answer.as_bytes());
                }
            }
        });
        Self { port, posts }
    }

    fn place(&self, probe: bool) -> Place {
        let port = self.port;
        let probe = if probe {
            format!(", probe: {{url: \"http://127.0.0.1:{port}/posts/{{key}}\"}}")
        } else {
            String::new()
        };
        let text = format!(
            "version: 1\nmodels:\n{SCRIPT}agents:\n  a:\n    model: m\n    tools:\n      - http: \
             {{allow: [\"POST http://127.0.0.1:{port}/posts\"], private: [\"127.0.0.1\"], \
             timeout: 20s{probe}}}\n"
        );
        let script = format!(
            "- tool_calls: [{{name: http, arguments: {{method: POST, \
             url: 'http://127.0.0.1:{port}/posts', body: x}}}}]\n- text: done\n"
        );
        Place::new(&text, &script)
    }

    /// Kills the node between the effect and the news of it.
    fn kill_in_flight(&self, place: &Place) {
        let args = ["--json", "run", "a", "go", "--session", "s", "--turn", "t"];
        let mut child = place.command(&args).spawn().unwrap();
        wait_until("the post arrives", || {
            self.posts.load(Ordering::SeqCst) == 1
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn an_unknown_outcome_waits_for_a_word() {
    let tracker = Tracker::start("404 Not Found");
    let place = tracker.place(false);
    tracker.kill_in_flight(&place);
    let report = place
        .run(&["--session", "s", "--turn", "t"])
        .failed_with("runtime.effect_in_doubt");
    assert_eq!(report["effect"], "unknown");
    assert_eq!(
        tracker.posts.load(Ordering::SeqCst),
        1,
        "nothing is repeated unasked"
    );
    place
        .mainstay(&["session", "resolve", "t.2", "--result", "created"])
        .ok();
    let ran = place.run(&["--session", "s", "--turn", "t"]);
    assert_eq!(ran.ok().json()["data"]["text"], "done");
    assert_eq!(tracker.posts.load(Ordering::SeqCst), 1);
}

#[test]
fn a_probe_that_finds_it_answers_for_it() {
    let tracker = Tracker::start("200 OK");
    let place = tracker.place(true);
    tracker.kill_in_flight(&place);
    place.run(&["--session", "s", "--turn", "t"]).ok();
    assert_eq!(tracker.posts.load(Ordering::SeqCst), 1);
    let resolved = place
        .events("s")
        .into_iter()
        .find(|event| event["kind"] == "tool_resolved");
    assert_eq!(resolved.unwrap()["data"]["by_probe"], Value::Bool(true));
}

#[test]
fn a_probe_that_cannot_tell_leaves_it_in_doubt() {
    let tracker = Tracker::start("503 Service Unavailable");
    let place = tracker.place(true);
    tracker.kill_in_flight(&place);
    place
        .run(&["--session", "s", "--turn", "t"])
        .failed_with("runtime.effect_in_doubt");
    assert_eq!(tracker.posts.load(Ordering::SeqCst), 1);
}

#[test]
fn a_sandbox_that_cannot_be_built() {
    let agent = "    sandbox: {read: [/there/is/no/such/path]}\n";
    let script = "- tool_calls: [{name: shell, arguments: {command: ls}}]\n- text: done\n";
    let place = Place::new(&manifest(SCRIPT, agent), script);
    let report = place.run(&[]).failed_with("sandbox.failed");
    assert!(
        report["message"]
            .as_str()
            .unwrap()
            .contains("/there/is/no/such/path"),
        "{report}"
    );
}

#[test]
fn a_limit_that_the_host_cannot_enforce() {
    let agent = "    sandbox: {memory: 64MiB}\n";
    let script = "- tool_calls: [{name: shell, arguments: {command: ls}}]\n- text: done\n";
    let place = Place::new(&manifest(SCRIPT, agent), script);
    let ran = if crate::harness::is_root() {
        // A host without control groups, as far as the node can see.
        let mut hidden = std::process::Command::new("unshare");
        hidden.args([
            "--mount",
            "/bin/sh",
            "-c",
            "umount -R -l /sys/fs/cgroup; exec \"$@\"",
            "sh",
        ]);
        let inner = place.command(&["--json", "run", "a", "go"]);
        hidden.arg(inner.get_program()).args(inner.get_args());
        hidden.current_dir(place.path()).env("HOME", place.path());
        crate::harness::Ran::of(&hidden.output().unwrap())
    } else {
        let ran = place.run(&[]);
        if ran.exit == 0 {
            return crate::harness::skipped("this user may make control groups");
        }
        ran
    };
    ran.failed_with("sandbox.unsupported");
}

#[test]
fn a_process_that_cannot_even_begin() {
    let place = Place::scripted("[]");
    let inner = place.command(&["--json", "session", "ls"]);
    let mut starved = std::process::Command::new("/bin/sh");
    starved
        .args(["-c", "ulimit -n 4; exec \"$@\"", "sh"])
        .arg(inner.get_program());
    starved
        .args(inner.get_args())
        .current_dir(place.path())
        .env("HOME", place.path());
    crate::harness::Ran::of(&starved.output().unwrap()).failed_with("runtime.internal");
}
