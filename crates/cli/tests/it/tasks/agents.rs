//! Tasks of agents: the same cache, in a view of their own.

use super::{TaskRun, Tasks};
use crate::harness::{Place, Ran};
use serde_json::{Value, json};

const TASKS: &str = "\
version: 1
name: w
tasks:
  build: {shell: 'mkdir -p out; cat in > out/built; echo building', inputs: [in], outputs: ['out/**']}
  test: {shell: 'grep -q good out/built && echo passed', inputs: [out/built]}
  always: {shell: 'cat in', cache: false}
  up: {command: [sleep, '1'], persistent: true}
  reach: {shell: 'touch ../cache/written', inputs: [in]}
  says: {shell: 'head -c 100000 /dev/zero | tr \\0 x; echo end', inputs: [in]}
  late: {shell: 'sleep 60', timeout: 100ms, inputs: []}
  none: {shell: 'true', inputs: [missing]}
  incremental: {shell: 'mkdir -p out2; test -e out2/made || cp in out2/made', inputs: [in], outputs: ['out2/**']}
  everything: {shell: 'cat in ignored .git/HEAD 2>/dev/null > all; ls -d new* >> all; true', outputs: [all]}
  numbered: {shell: 'mkdir -p numbers; touch numbers/$(cat in); ! grep -q bad in', inputs: [in], outputs: ['numbers/**']}
  tries: {shell: 'mkdir -p tried; test -e tried/once && exit 0; touch tried/once; exit 1', inputs: [in], outputs: ['tried/**'], retries: 2}
  through: {shell: 'cat linked/f', inputs: ['linked/**'], outputs: []}
  lint: {shell: 'lint', inputs: [in], env: [PATH], tools: [lint]}
  slow: {shell: 'mkdir -p o; touch o/half; sleep 1; rm o/half; touch o/whole', inputs: [], outputs: ['o/**']}
";

/// A place whose agent works in `work`, where the tasks are, and makes these calls, one a step.
fn place(calls: &[&str]) -> Tasks {
    let names = [
        "build",
        "test",
        "always",
        "up",
        "reach",
        "says",
        "late",
        "none",
        "slow",
        "incremental",
        "everything",
        "numbered",
        "tries",
        "through",
        "lint",
        "w:test",
        "gone",
    ];
    let tools: Vec<String> = names
        .iter()
        .map(|name| format!("{{task: '{name}'}}"))
        .collect();
    let manifest = format!(
        "version: 1\nmodels: {{m: {{provider: script, file: script.yaml}}}}\nagents: {{a: {{model: m, workspace: work, tools: [shell, files, {}]}}}}\n",
        tools.join(", ")
    );
    let mut script = String::new();
    for call in calls {
        let (name, arguments) = call.split_once(' ').unwrap_or((call, "{}"));
        script += &format!("- tool_calls: [{{name: {name}, arguments: {arguments}}}]\n");
    }
    let tasks = Tasks {
        place: Place::new(&manifest, &(script + "- text: done\n")),
    };
    tasks
        .write("work/mainstay.yaml", TASKS)
        .write("work/in", "good");
    tasks
}

/// Makes the calls. What came of each: its status, and what the model was told.
fn calls(tasks: &Tasks) -> Vec<(Value, String)> {
    tasks.place.run(&["--session", "s"]).ok();
    told(tasks)
}

fn told(tasks: &Tasks) -> Vec<(Value, String)> {
    let events = tasks.place.events("s");
    let ended = events
        .iter()
        .filter(|event| event["kind"] == "tool_completed");
    let exported = tasks.place.mainstay(&["--json", "session", "export", "s"]);
    let messages = exported.ok().lines();
    let told = |result: &Value| {
        let mut of = messages.iter().filter(|line| line["digest"] == *result);
        of.next().unwrap()["message"]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let ended = ended.map(|event| &event["data"]);
    ended
        .map(|data| (data["status"].clone(), told(&data["result"])))
        .collect()
}

/// A run on the command line, in the folder itself.
fn run(tasks: &Tasks, target: &str) -> TaskRun {
    let mut command = tasks.command(&[target]);
    TaskRun::of(Ran::of(
        &command.current_dir(tasks.path("work")).output().unwrap(),
    ))
}

#[test]
fn what_an_agent_made_the_command_line_finds_and_the_other_way_round() {
    let tasks = place(&["task_test", "task_test"]);
    let told = calls(&tasks);
    assert_eq!(told[0].0, "succeeded");
    assert!(
        told[0].1.contains("w:build: ran") && told[0].1.contains("passed"),
        "{told:?}"
    );
    assert!(
        told[1].1.contains("w:test: up to date") && told[1].1.contains("passed"),
        "{told:?}"
    );
    assert!(!tasks.path("work/out").exists(), "it worked in its view");
    let found = run(&tasks, "test");
    assert_eq!(
        (found.ok().outcome("build"), found.outcome("test")),
        ("restored", "up_to_date")
    );
    let other = place(&[
        "task_w_test",
        "shell {command: 'cat out/built; ls -a; echo > out/built'}",
    ]);
    run(&other, "test").ok();
    std::fs::remove_dir_all(other.path("work/out")).unwrap();
    let told = calls(&other);
    assert!(
        told[0]
            .1
            .contains("w:build: brought back from the cache, 2 written"),
        "{told:?}"
    );
    assert!(
        told[1].1.contains("good") && told[1].1.contains("exit code 0"),
        "it can be read and written: {told:?}"
    );
    assert!(!told[1].1.contains(".mainstay"), "{told:?}");
}

#[test]
fn what_an_agent_changes_stays_its_own() {
    let tasks = place(&[
        "shell {command: 'echo good, too > in'}",
        "task_test",
        "shell {command: 'echo note > undeclared; echo good again > in'}",
        "task_build",
        "task_build",
    ]);
    let told = calls(&tasks);
    assert!(told[1].1.contains("w:build: ran"), "{told:?}");
    // A file that the task does not declare may have had its part: nobody else may get that result.
    assert!(told[4].1.contains("w:build: ran"), "{told:?}");
    tasks.write("work/in", "good again\n");
    assert_eq!(run(&tasks, "build").ok().outcome("build"), "ran");
    tasks.write("work/in", "good, too\n");
    assert_eq!(run(&tasks, "build").ok().outcome("build"), "restored");
}

#[test]
fn what_goes_wrong_is_told() {
    let tasks = place(&[
        "task_gone",
        "task_up",
        "task_reach",
        "task_late",
        "task_none",
        "task_build {extra: 1}",
        "shell {command: 'echo bad > in'}",
        "task_test",
        "task_says",
    ]);
    let told = calls(&tasks);
    let failed = |call: usize, code: &str| assert_eq!(told[call].0["failed"], code, "{told:?}");
    failed(0, "runtime.not_found");
    failed(1, "tool.failed");
    assert_eq!(told[2].0, "succeeded");
    assert!(
        told[2].1.contains("exit code") && !tasks.path("cache/written").exists(),
        "{told:?}"
    );
    failed(3, "tool.timed_out");
    failed(4, "task.build_key_failed");
    failed(5, "tool.invalid_arguments");
    assert!(
        told[7]
            .1
            .contains("w:test: its command ended with exit code 1"),
        "{told:?}"
    );
    assert!(
        told[8].1.contains("bytes …") && told[8].1.contains("is stored as"),
        "{}",
        told[8].1
    );
}

#[test]
fn a_task_needs_a_workspace_and_a_name_that_is_known() {
    let manifest = |agent: &str| {
        let tasks = Tasks::of(&format!(
            "version: 1\nmodels: {{m: {{provider: script, file: script.yaml}}}}\nagents: {{a: {{model: m, {agent}}}}}\ntasks: {{test: {{command: ['true']}}}}\n"
        ));
        tasks.write("script.yaml", "[{text: hi}]");
        tasks.findings()
    };
    assert_eq!(
        manifest("workspace: ., tools: [{task: test}, {task: 'p:other'}]"),
        Vec::<Value>::new()
    );
    let findings = manifest("workspace: ., tools: [{task: tset}]");
    assert_eq!(findings[0]["near"][0], "test", "{findings:?}");
    let findings = manifest("tools: [{task: test}]");
    assert_eq!(findings[0]["problem"]["kind"], "conflict", "{findings:?}");
    let findings = manifest("workspace: ., tools: [{task: test}, {task: test}]");
    assert_eq!(findings[0]["problem"]["kind"], "repeated", "{findings:?}");
}

#[tokio::test]
async fn a_task_whose_node_was_killed_begins_anew() {
    let tasks = place(&["task_slow", "task_slow", "shell {command: 'ls o'}"]);
    let server = tasks.place.serve();
    let body = json!({"agent": "a", "input": "go", "turn_id": "t"});
    assert_eq!(server.post("/api/sessions/s/turns", &body).await.0, 202);
    let is_half_done = || {
        let mut files = Vec::new();
        super::walk(&tasks.path("cache/views"), &mut files);
        files.iter().any(|path| path.ends_with("upper/o/half"))
    };
    crate::harness::wait_until("the command is at work", is_half_done);
    server.kill();
    let server = tasks.place.serve();
    let view = server.settled("t").await;
    assert_eq!(view["state"], "completed", "{view}");
    server.stop();
    let told = told(&tasks);
    assert!(
        told[0].1.contains("w:slow: ran") && told[1].1.contains("w:slow: up to date"),
        "{told:?}"
    );
    assert!(
        told[2].1.contains("whole") && !told[2].1.contains("half"),
        "{told:?}"
    );
}

/// The same calls, after which the folder is asked for the task on the command line: how it ended, and what
/// each call came to.
fn poisoned(task: &str, shell: &str) -> (TaskRun, Vec<(Value, String)>) {
    let call = format!("shell {{command: {}}}", json!(shell));
    let tasks = place(&[&call, &format!("task_{task}")]);
    tasks
        .write("work/.gitignore", "ignored\n")
        .write("work/ignored", "ours");
    let told = calls(&tasks);
    (run(&tasks, task), told)
}

#[test]
fn no_agent_makes_a_result_that_others_would_not_make() {
    for (task, shell) in [
        ("build", "mkdir out; echo evil > out/rider"),
        ("build", "mkdir -p out/empty"),
        ("incremental", "mkdir out2; echo evil > out2/made"),
        ("everything", "echo evil > ignored"),
        ("everything", "mkdir -p .git; echo evil > .git/HEAD"),
        ("everything", "mkdir -p new"),
    ] {
        let (found, told) = poisoned(task, shell);
        assert_eq!(told[1].0, "succeeded", "{told:?}");
        assert_eq!(
            found.ok().outcome(task),
            "ran",
            "{task} after {shell}: {told:?}"
        );
    }
    // What it may: change what the task reads, and go back.
    let (found, _) = poisoned("build", "echo bad > in; printf good > in");
    assert_eq!(found.ok().outcome("build"), "restored");
}

#[test]
fn a_view_is_as_clean_as_a_folder() {
    let tasks = place(&[
        "task_numbered",
        "shell {command: 'echo two > in'}",
        "task_numbered",
        "shell {command: 'ls -A . numbers'}",
        "shell {command: 'echo bad > in'}",
        "task_numbered",
        "shell {command: 'ls -A . numbers'}",
        "task_tries",
    ]);
    let told = calls(&tasks);
    let listed = &told[3].1;
    assert!(
        listed.contains("two") && !listed.contains("good") && !listed.contains(".mainstay"),
        "{listed}"
    );
    let listed = &told[6].1;
    assert!(
        listed.contains("two"),
        "what was made before is back after a failure: {listed}"
    );
    assert!(
        told[7].1.contains("exit code 1"),
        "each try begins as the first did: {told:?}"
    );
    assert_eq!(run(&tasks, "numbered").ok().outcome("numbered"), "restored");
}

#[test]
fn no_link_of_an_agent_leads_the_node_anywhere() {
    let tasks = place(&[]);
    let work = tasks.path("work");
    let absolute = work.join("real").display().to_string();
    let secret = tasks.path("secret");
    std::fs::create_dir(&secret).unwrap();
    tasks
        .write("secret/payroll", "")
        .write("secret/restore/1-x", "");
    let link = |target: &str, name: &str| {
        format!(
            "shell {{command: {}}}",
            json!(format!("rm -rf {name}; ln -s {target} {name}"))
        )
    };
    let all = [
        link(&absolute, "linked"),
        "shell {command: 'mkdir real; echo one > real/f'}".to_owned(),
        "task_through".to_owned(),
        "shell {command: 'echo two > real/f'}".to_owned(),
        "task_through".to_owned(),
        link(secret.to_str().unwrap(), "out"),
        link(secret.to_str().unwrap(), ".mainstay"),
        "task_build".to_owned(),
    ];
    let mut script: String = all
        .iter()
        .map(|call| {
            let (name, arguments) = call.split_once(' ').unwrap_or((call, "{}"));
            format!("- tool_calls: [{{name: {name}, arguments: {arguments}}}]\n")
        })
        .collect();
    script += "- text: done\n";
    tasks.write("script.yaml", &script);
    let told = calls(&tasks);
    assert!(
        told[4].1.contains("two") && told[4].1.contains("w:through: ran"),
        "{told:?}"
    );
    assert!(!told[7].1.contains("payroll"), "{told:?}");
    assert!(secret.join("restore/1-x").exists());
    assert_eq!(
        std::fs::read_dir(secret.join("restore")).unwrap().count(),
        1
    );
}

#[test]
fn a_declared_program_is_there() {
    let tasks = place(&["task_lint"]);
    tasks.program("programs/lint", "#!/bin/sh\necho linted\n");
    let path = format!("{}:/usr/bin:/bin", tasks.path("programs").display());
    let mut command = tasks
        .place
        .command(&["--json", "run", "a", "go", "--session", "s"]);
    Ran::of(&command.env("PATH", &path).output().unwrap()).ok();
    let told = told(&tasks);
    assert!(told[0].1.contains("linted"), "{told:?}");
}
