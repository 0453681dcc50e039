//! What is told of a run, and what is refused.

use super::{RUNS, WAITS, begin, cancel, frames, timeless};
use crate::harness::{Server, assert_complete};
use crate::tasks::Tasks;
use serde_json::{Value, json};

#[tokio::test]
async fn a_run_tells_what_the_command_line_tells() {
    let manifest = "  a: {shell: 'echo one; printf \"\\377\\n\" >&2; echo x > out', inputs: [], outputs: [out]}\n  \
                      b: {shell: 'cat out', inputs: [out]}\n";
    let tasks = Tasks::new(manifest);
    let server = tasks.place.serve();
    let body = json!({ "tasks": ["b"], "options": { "jobs": 1 } });
    let (status, run) = server.post(&format!("{RUNS}?wait=60"), &body).await;
    assert_eq!((status, &run["state"]), (200, &json!("succeeded")), "{run}");
    assert_eq!(run["summary"]["ran"], 2, "{run}");
    assert!(run["ended_at"].as_u64() >= run["started_at"].as_u64());
    assert_eq!(run["error"], Value::Null);
    let id = run["id"].as_str().unwrap();
    let told = frames(&server, id, None, usize::MAX).await;
    let ids: Vec<u64> = told.iter().map(|frame| frame.id).collect();
    assert_eq!(ids, (1..=told.len() as u64).collect::<Vec<_>>());
    assert!(told.iter().all(|frame| frame.data["event"] == frame.kind));
    let (_, listed) = server.get(&format!("{RUNS}/{id}/events")).await;
    let listed = listed.as_array().unwrap().iter().cloned().map(timeless);
    let mut events: Vec<Value> = told.into_iter().map(|frame| timeless(frame.data)).collect();
    assert_eq!(listed.collect::<Vec<_>>(), events);
    let local = Tasks::new(manifest).run(&["-j1", "b"]);
    let mut expected: Vec<Value> = local.ok().events.iter().cloned().map(timeless).collect();
    // Both streams of a command are read as they come.
    let place = |event: &Value| (event["event"] == "output").then(|| event.to_string());
    for events in [&mut events, &mut expected] {
        events.sort_by_key(place);
    }
    assert_eq!(events, expected);
    let (_, again) = server.post(&format!("{RUNS}?wait=60"), &body).await;
    assert_eq!(again["summary"]["up_to_date"], 2, "{again}");
    let (_, all) = server.get(RUNS).await;
    let ids: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [again["id"].as_str().unwrap(), id]);
}

#[tokio::test]
async fn who_comes_back_hears_what_was_missed_and_nothing_twice() {
    let tasks = Tasks::new(&format!("  t: {{shell: '{WAITS}'}}\n"));
    let server = tasks.place.serve();
    let run = begin(&server, "t").await;
    let first = frames(&server, &run, None, 2).await;
    assert_eq!(first[1].data["text"], "up\n");
    tasks.write("go", "");
    let rest = frames(&server, &run, Some(2), usize::MAX).await;
    assert_eq!(rest[0].id, 3);
    let kinds: Vec<&str> = rest.iter().map(|frame| frame.kind.as_str()).collect();
    assert_eq!(kinds, ["output", "ended", "summary"]);
    let all = frames(&server, &run, None, usize::MAX).await;
    assert_eq!(all, [first, rest].concat());
    let (status, report) = server.get(&format!("{RUNS}/{run}/events?after=9")).await;
    assert_eq!(
        (status, &report["code"]),
        (400, &json!("runtime.invalid_request"))
    );
}

#[tokio::test]
async fn a_failure_says_what_it_says_here() {
    let tasks = Tasks::new("  t: {shell: 'exit 3'}\n  u: {command: ['true'], after: [t]}\n");
    let server = tasks.place.serve();
    let body = json!({ "tasks": ["u"] });
    let (status, run) = server.post(&format!("{RUNS}?wait=60"), &body).await;
    assert_eq!((status, &run["state"]), (200, &json!("failed")), "{run}");
    assert_eq!(run["error"]["code"], "task.failed");
    assert_eq!(run["error"]["scored"], true);
    assert_eq!(run["error"]["data"]["exit"]["code"], 3);
    assert_complete(&run["error"]);
    assert_eq!(run["summary"]["failure"], run["error"]);
    assert_eq!(run["summary"]["skipped"], 1);
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_as_on_the_command_line() {
    let tasks = Tasks::new("  build: {command: ['true']}\n");
    let server = tasks.place.serve();
    let refused = async |body: Value, code: &str| {
        let (status, report) = server.post(RUNS, &body).await;
        assert_eq!(report["code"], code, "{report}");
        assert_complete(&report);
        assert_eq!(status, mainstay_contract::Code::parse(code).info().http);
        report["message"].as_str().unwrap().to_owned() + &report["hints"].to_string()
    };
    let said = refused(json!({ "tasks": ["biuld"] }), "runtime.not_found").await;
    assert!(said.contains("build"), "{said}");
    for (body, word) in [
        (json!({}), "tasks"),
        (json!({ "tasks": [] }), "tasks"),
        (json!({ "tasks": [1] }), "tasks"),
        (json!({ "tasks": ["build"], "task": 1 }), "`task`"),
        (
            json!({ "tasks": ["build"], "options": { "keepgoing": true } }),
            "keep_going",
        ),
        (
            json!({ "tasks": ["build"], "options": { "jobs": 0 } }),
            "jobs",
        ),
        (
            json!({ "tasks": ["build"], "options": { "sandbox": "on" } }),
            "trace",
        ),
    ] {
        let said = refused(body, "runtime.invalid_request").await;
        assert!(said.contains(word), "{said}");
    }
    tasks.write(
        "mainstay.yaml",
        "version: 1\nname: w\ntasks: {build: {comand: [x]}}\n",
    );
    refused(json!({ "tasks": ["build"] }), "manifest.invalid").await;
    std::fs::remove_file(tasks.path("mainstay.yaml")).unwrap();
    refused(json!({ "tasks": ["build"] }), "manifest.not_found").await;
    assert_eq!(server.get(RUNS).await.1, json!([]));
    for path in ["none", "none/events"] {
        let (status, report) = server.get(&format!("{RUNS}/{path}")).await;
        assert_eq!(
            (status, &report["code"]),
            (404, &json!("runtime.not_found"))
        );
    }
    assert_eq!(cancel(&server, "none").await, 404);
}

#[tokio::test]
async fn commands_get_of_the_nodes_environment_what_they_declare() {
    let tasks = Tasks::new("  t: {command: [env], env: [SEEN]}\n");
    let mut serve = tasks
        .place
        .command(&["--json", "serve", "--listen", "127.0.0.1:0"]);
    serve.env("SEEN", "1").env("SECRET", "2");
    let server = Server::start(serve, &tasks.place);
    let body = json!({ "tasks": ["t"] });
    let (_, run) = server.post(&format!("{RUNS}?wait=60"), &body).await;
    let told = frames(&server, run["id"].as_str().unwrap(), None, usize::MAX).await;
    let said: String = told
        .iter()
        .filter_map(|frame| frame.data["text"].as_str())
        .collect();
    assert!(
        said.contains("SEEN=1\n") && !said.contains("SECRET"),
        "{said}"
    );
}
