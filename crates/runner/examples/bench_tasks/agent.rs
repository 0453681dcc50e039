//! An agent that calls a task whose result the cache has.

use crate::place::{beside_target, binary};
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};

const CALLS: usize = 300;

const MANIFEST: &str = "\
version: 1
name: w
models: {m: {provider: script, file: script.yaml}}
agents: {a: {model: m, workspace: work, max_steps: 1000, tools: [shell, {task: test}]}}
";

const TASKS: &str = "\
version: 1
name: w
tasks:
  build: {shell: 'mkdir -p out; cat in/* > out/built', inputs: ['in/**'], outputs: ['out/**']}
  test: {shell: 'grep -q 7 out/built && echo passed', inputs: [out/built], outputs: []}
";

/// The mean time from the start of such a call to its end on the journal, in milliseconds. The times of
/// events are whole milliseconds, which many calls even out. `is_restored`: with the outputs gone before each.
pub(crate) fn call(is_restored: bool) -> f64 {
    let folder = tempfile::tempdir_in(beside_target()).unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("work/in")).unwrap();
    for file in 0..10 {
        fs::write(
            at(&format!("work/in/{file}")),
            file.to_string().repeat(1024),
        )
        .unwrap();
    }
    fs::write(at("mainstay.yaml"), MANIFEST).unwrap();
    fs::write(at("work/mainstay.yaml"), TASKS).unwrap();
    let clean = "- tool_calls: [{name: shell, arguments: {command: 'rm -rf out'}}]\n";
    let call = "- tool_calls: [{name: task_test, arguments: {}}]\n";
    let step = if is_restored {
        [clean, call].concat()
    } else {
        call.to_owned()
    };
    fs::write(at("script.yaml"), step.repeat(CALLS + 1) + "- text: done\n").unwrap();
    let mut command = Command::new(binary());
    command.current_dir(folder.path()).stderr(Stdio::inherit());
    command.args([
        "--data-dir",
        "data",
        "--cache-dir",
        "cache",
        "--json",
        "run",
        "a",
        "go",
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut took = Vec::new();
    let mut started = None;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let at = event["at"].as_f64();
        match event["kind"].as_str() {
            Some("tool_started") if event["data"]["tool"] == "task_test" => started = at,
            Some("tool_completed") => {
                assert_eq!(event["data"]["status"], "succeeded", "{line}");
                took.extend(started.take().zip(at).map(|(from, to)| to - from));
            }
            _ => {}
        }
    }
    // The first ran.
    let calls = &took[1..];
    assert_eq!(calls.len(), CALLS);
    calls.iter().sum::<f64>() / CALLS as f64
}
