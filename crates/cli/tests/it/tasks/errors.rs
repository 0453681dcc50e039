//! Every variant of `RunTaskError`, and what else a task can end with.

use super::{TaskRun, Tasks, with_failing};
use crate::harness::{Ran, wait_until};
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

#[test]
fn build_key_failed() {
    let tasks = Tasks::new(
        "  missing: {command: ['true'], inputs: [missing.txt]}\n  \
           pipe: {command: ['true'], inputs: [pipe]}\n  \
           loop: {command: ['true'], inputs: [loop/x]}\n  \
           file: {command: ['true'], inputs: [mainstay.yaml/x]}\n  \
           behind: {command: ['true'], after: [missing]}\n",
    );
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tasks.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    symlink("loop", tasks.path("loop")).unwrap();
    for (task, kind, path) in [
        ("missing", "input_missing", "missing.txt"),
        ("pipe", "input_not_a_regular_file", "pipe"),
        ("loop", "input_pattern_resolution_failed", "loop/x"),
        ("file", "input_pattern_resolution_failed", "mainstay.yaml/x"),
    ] {
        let run = tasks.run(&[task]);
        let data = run.failed_with(task, "task.build_key_failed");
        assert_eq!(data["kind"], "build_key_failed");
        assert_eq!(
            (&data["cause"]["kind"], &data["cause"]["path"]),
            (&json!(kind), &json!(path))
        );
    }
    let run = tasks.run(&["behind"]);
    assert_eq!(run.outcome("behind"), "skipped");
    assert_eq!(run.ended("behind")["because"], "w:missing");
}

#[test]
fn restore_failed_is_told_and_the_task_runs_again() {
    let tasks = Tasks::new("  t: {shell: 'echo made > out.txt', inputs: [], outputs: [out.txt]}\n");
    tasks.run(&["t"]).ok();
    std::fs::remove_file(tasks.path("out.txt")).unwrap();
    tasks.write("out.txt/of/somebody", "else");
    let run = tasks.run(&["t"]);
    assert_eq!(
        run.codes("t"),
        ["task.restore_failed", "task.failed"],
        "{:?}",
        run.ran
    );
    let data = &run.ended("t")["reports"][0]["data"];
    assert_eq!(data["kind"], "restore_failed");
    assert_eq!(
        data["cause"],
        json!({"kind": "in_the_way", "path": "out.txt"})
    );
    assert_eq!(
        tasks.read("out.txt/of/somebody"),
        "else",
        "what is not ours stays"
    );
}

#[test]
fn spawn_failed() {
    let tasks = Tasks::new(
        "  none: {command: [no-such-program, x]}\n  \
           text: {command: [./text]}\n  \
           plain: {command: [./plain]}\n  \
           gone: {command: [./gone]}\n  \
           folder: {command: ['true'], workdir: nowhere}\n",
    );
    tasks.program("text", "\x7fnot a program");
    tasks.write("plain", "#!/bin/sh\n");
    tasks.program("gone", "#!/no/such/interpreter\n");
    for (task, program, errno) in [
        ("none", "no-such-program", libc::ENOENT),
        ("plain", "./plain", libc::EACCES),
        ("folder", "/true", libc::ENOENT),
        ("gone", "./gone", libc::ENOENT),
        ("text", "./text", libc::ENOEXEC),
    ] {
        let run = tasks.run(&[task]);
        let data = run.failed_with(task, "task.spawn_failed");
        assert_eq!(data["kind"], "spawn_failed");
        assert_eq!(data["cause"]["errno"], errno, "{task}: {data}");
        let called = data["program"].as_str().unwrap();
        assert!(
            called.ends_with(program.trim_start_matches('.')),
            "{called}"
        );
    }
    let long = format!("  t: {{command: ['true', '{}']}}\n", "x".repeat(200_000));
    let run = Tasks::new(&long).run(&["t"]);
    assert_eq!(
        run.failed_with("t", "task.spawn_failed")["cause"]["errno"],
        libc::E2BIG
    );
}

#[test]
fn wait_failed() {
    let tasks = Tasks::new("  t: {command: ['true']}\n");
    let run = TaskRun::of(with_failing(
        libc::SYS_waitid,
        Vec::new(),
        tasks.command(&["t"]),
    ));
    let data = run.failed_with("t", "task.wait_failed");
    assert_eq!(
        (&data["kind"], &data["cause"]["errno"]),
        (&json!("wait_failed"), &json!(libc::EIO))
    );
}

#[test]
fn captured_stream_read_failed() {
    // Streams are read in pieces of this size, and nothing else is.
    let piece = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 64 << 10);
    let rule = SeccompRule::new(vec![piece.unwrap()]).unwrap();
    for (redirect, stream) in [("", "stdout"), (" >&2", "stderr")] {
        let tasks = Tasks::new(&format!("  t: {{shell: 'echo hi{redirect}; sleep 100'}}\n"));
        let rules = vec![rule.clone()];
        let run = TaskRun::of(with_failing(libc::SYS_read, rules, tasks.command(&["t"])));
        let data = run.failed_with("t", "task.captured_stream_read_failed");
        let expected = json!({"kind": "captured_stream_read_failed", "stream": stream});
        assert_eq!(
            (&data["kind"], &data["stream"]),
            (&expected["kind"], &expected["stream"])
        );
    }
}

#[test]
fn output_pattern_resolution_failed() {
    let tasks = Tasks::new(
        "  file: {shell: 'echo > a', outputs: [a/b]}\n  \
           loop: {shell: 'ln -s loop loop', outputs: [loop/x]}\n  \
           self: {shell: 'ln -s self self', outputs: [self]}\n",
    );
    for (task, root, errno) in [
        ("file", "a/b", libc::ENOTDIR),
        ("loop", "loop/x", libc::ELOOP),
        ("self", "self", libc::ELOOP),
    ] {
        let run = tasks.run(&[task]);
        let data = run.failed_with(task, "task.output_pattern_resolution_failed");
        assert_eq!(data["kind"], "output_pattern_resolution_failed");
        assert_eq!(
            (&data["root"], &data["cause"]["errno"]),
            (&json!(root), &json!(errno))
        );
    }
}

#[test]
fn output_mode_read_failed() {
    let tasks = Tasks::new("  t: {shell: 'echo > o', outputs: [o]}\n");
    let run = TaskRun::of(with_failing(
        libc::SYS_fstat,
        Vec::new(),
        tasks.command(&["t"]),
    ));
    let data = run.failed_with("t", "task.output_mode_read_failed");
    assert_eq!(
        (&data["kind"], &data["path"]),
        (&json!("output_mode_read_failed"), &json!("o"))
    );
}

#[test]
fn output_not_a_regular_file() {
    let tasks = Tasks::new(
        "  pipe: {shell: 'mkfifo o', outputs: [o]}\n  \
           device: {shell: 'ln -s /dev/null d', outputs: [d]}\n  \
           among: {shell: 'mkdir -p many; mkfifo many/p; echo > many/f', outputs: ['many/**']}\n",
    );
    for (task, path) in [("pipe", "o"), ("device", "d")] {
        let run = tasks.run(&[task]);
        let data = run.failed_with(task, "task.output_not_a_regular_file");
        assert_eq!(
            data,
            &json!({"kind": "output_not_a_regular_file", "path": path})
        );
    }
    assert_eq!(tasks.run(&["among"]).ok().outcome("among"), "ran");
}

#[test]
fn output_declared_but_not_produced() {
    let tasks = Tasks::new(
        "  t: {command: ['true'], outputs: [o.txt]}\n  \
           dangling: {shell: 'ln -s gone o', outputs: [o]}\n  \
           maybe: {command: ['true'], outputs: ['{m.txt}', 'n/*']}\n",
    );
    for (task, path) in [("t", "o.txt"), ("dangling", "o")] {
        let run = tasks.run(&[task]);
        let data = run.failed_with(task, "task.output_declared_but_not_produced");
        let expected = json!({"kind": "output_declared_but_not_produced", "path": path});
        assert_eq!(data, &expected);
    }
    tasks.run(&["maybe"]).ok();
}

#[test]
fn store_failed_keeps_the_result_and_says_so() {
    let tasks = Tasks::new("  t: {shell: 'echo made | tee o', inputs: [], outputs: [o]}\n");
    tasks.write("cache", "a file where the cache should be");
    let run = tasks.run(&["t"]);
    run.ok();
    assert_eq!(
        (run.outcome("t"), run.codes("t")),
        ("ran", vec!["task.store_failed"])
    );
    let data = &run.ended("t")["reports"][0]["data"];
    assert_eq!(data["kind"], "store_failed");
    assert_eq!(data["cause"]["source"]["errno"], libc::ENOTDIR, "{data}");
    assert_eq!(
        (tasks.read("o"), run.said()),
        ("made\n".to_owned(), "made\n".to_owned())
    );
    // Nothing was kept, so nothing is known the next time.
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
}

#[test]
fn materialised_output_path_invalid() {
    let elsewhere = tempfile::tempdir().unwrap();
    let outside = elsewhere.path().display();
    let deep = "i=0; while [ $i -lt 40 ]; do mkdir $n; cd $n; i=$((i+1)); done; echo > f";
    let tasks = Tasks::new(&format!(
        "  out: {{shell: 'ln -s {outside} o; echo > o/x', outputs: [o/x]}}\n  \
           git: {{shell: 'mkdir .git; echo > .git/x', outputs: [.git/x]}}\n  \
           deep: {{shell: 'n={}; mkdir d; cd d; {deep}', outputs: ['d/**']}}\n",
        "n".repeat(120)
    ));
    for (task, path, reason) in [
        ("out", "o/x", "outside"),
        ("git", ".git/x", "reserved"),
        ("deep", "d/nnn", "too_long"),
    ] {
        let run = tasks.run(&[task]);
        let data = run.failed_with(task, "task.materialised_output_path_invalid");
        assert_eq!(data["kind"], "materialised_output_path_invalid");
        assert_eq!(data["reason"], reason);
        assert!(data["path"].as_str().unwrap().starts_with(path));
    }
}

#[test]
fn a_command_that_fails_is_an_outcome_and_the_rest_is_told() {
    let tasks = Tasks::new(
        "  code: {command: [sh, -c, 'exit 7']}\n  \
           signal: {command: [sh, -c, 'kill -9 $$']}\n  \
           slow: {command: [sleep, '100'], timeout: 50ms}\n  \
           behind: {command: ['true'], after: [code]}\n  \
           far: {command: ['true'], after: [behind]}\n  \
           beside: {command: ['true']}\n",
    );
    let run = tasks.run(&["code"]);
    let data = run.failed_with("code", "task.failed");
    assert_eq!(data, &json!({"kind": "failed", "exit": {"code": 7}}));
    let run = tasks.run(&["signal"]);
    let data = run.failed_with("signal", "task.failed");
    assert_eq!(data["exit"], json!({"signal": 9}));
    tasks.run(&["slow"]).failed_with("slow", "task.timed_out");
    let run = tasks.run(&["--keep-going", "--jobs", "1", "far", "beside"]);
    for task in ["behind", "far"] {
        assert_eq!(run.codes(task), ["task.skipped"]);
        assert_eq!(
            run.ended(task)["because"],
            "w:code",
            "the root cause is named"
        );
    }
    assert_eq!((run.outcome("beside"), run.ran.exit), ("ran", 1));
    let run = tasks.run(&["--jobs", "1", "far", "beside"]);
    assert_eq!(run.outcome("beside"), "not_started", "{:?}", run.ran);
}

#[test]
fn a_run_that_is_stopped() {
    let tasks = Tasks::new(
        "  t: {shell: 'trap \"echo bye; exit 3\" TERM; echo up; while :; do sleep 0.01; done'}\n",
    );
    let mut command = tasks.command(&["t"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut seen = String::new();
    while !seen.contains("up\\n") {
        seen.push_str(&lines.next().unwrap().unwrap());
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let rest = rest.join("\n");
    assert!(
        rest.contains("bye"),
        "it was asked, and could say so: {rest}"
    );
    assert!(rest.contains("task.cancelled"), "{rest}");
}

#[test]
fn a_manifest_that_is_no_file_is_refused_at_once() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let pipe = |path: &std::path::Path| {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    let tasks = Tasks::of("version: 1\nname: w\nprojects: [p]\n");
    let refused = |what: &str| {
        for words in [["check", ""], ["task", "ls"]] {
            let mut args = vec!["--json"];
            args.extend(words.iter().filter(|word| !word.is_empty()));
            let mut child = tasks.place.command(&args).spawn().unwrap();
            let is_over = || child.try_wait().unwrap().is_some();
            wait_until("it is refused", is_over);
            let ran = Ran::of(&child.wait_with_output().unwrap());
            let told = ran.failed_with("manifest.invalid")["message"].to_string();
            assert!(told.contains(what), "{told}");
        }
    };
    let (own, project) = (tasks.path("mainstay.yaml"), tasks.path("p/mainstay.yaml"));
    fs::create_dir(tasks.path("p")).unwrap();
    pipe(&project);
    refused("p/mainstay.yaml cannot be read: it is a pipe");
    fs::remove_file(&own).unwrap();
    fs::create_dir(&own).unwrap();
    refused("it is a folder");
    fs::remove_dir(&own).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&own).unwrap();
    refused("it is a socket");
    fs::remove_file(&own).unwrap();
    symlink("/dev/zero", &own).unwrap();
    refused("it is a device");
    fs::remove_file(&own).unwrap();
    pipe(&own);
    refused("it is a pipe");
    tasks
        .place
        .mainstay(&["--json", "run", "a", "hello"])
        .failed_with("manifest.invalid");
}
