//! Commands that are watched.

use super::Tasks;
use crate::harness::wait_until;
use serde_json::json;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Stdio;

fn reading() -> Tasks {
    let tasks = Tasks::new(
        "  t: {shell: 'echo > extra; cat src/a src/undeclared > out', inputs: [src/a], outputs: [out]}\n  \
           clean: {shell: 'cat src/a > o/out', inputs: [src/a], outputs: ['o/**']}\n  \
           none: {command: [./no-such-program], inputs: []}\n",
    );
    tasks.write("src/a", "a\n").write("src/undeclared", "u\n");
    tasks
}

#[test]
fn what_is_not_declared_is_listed() {
    let tasks = reading();
    tasks.run(&["t"]).ok();
    let run = tasks.run(&["--sandbox", "trace", "t"]);
    assert_eq!(
        run.ok().outcome("t"),
        "ran",
        "who wants to see it wants it to run"
    );
    let expected = json!({
        "reads": ["src/undeclared"], "writes": ["extra"], "hidden": [], "is_truncated": false,
    });
    assert_eq!(run.ended("t")["undeclared"], expected);
    assert_eq!(tasks.read("out"), "a\nu\n");
    std::fs::create_dir(tasks.path("o")).unwrap();
    let run = tasks.run(&["--sandbox", "trace", "clean"]);
    let undeclared = &run.ok().ended("clean")["undeclared"];
    assert_eq!(
        (&undeclared["reads"], &undeclared["writes"]),
        (&json!([]), &json!([]))
    );
    let run = tasks.run(&["--sandbox", "trace", "none"]);
    let data = run.failed_with("none", "task.spawn_failed");
    assert_eq!(data["cause"]["errno"], libc::ENOENT);
    let said = tasks
        .plain(&["--sandbox", "trace", "t"])
        .ok()
        .stderr
        .clone();
    assert!(
        said.contains("reads `src/undeclared`, which it does not declare"),
        "{said}"
    );
}

#[test]
fn what_is_not_declared_is_not_there() {
    let tasks = reading();
    let run = tasks.run(&["--sandbox", "enforce", "t"]);
    run.failed_with("t", "task.failed");
    assert_eq!(
        run.ended("t")["undeclared"]["hidden"],
        json!(["src/undeclared"])
    );
    assert!(
        !tasks.path("extra").exists(),
        "what is no output stays out of the workspace"
    );
    assert_eq!(tasks.read("src/undeclared"), "u\n");
    std::fs::create_dir(tasks.path("o")).unwrap();
    let run = tasks.run(&["--sandbox", "enforce", "clean"]);
    assert_eq!(run.ok().outcome("clean"), "ran", "{:?}", run.ran);
    assert_eq!(tasks.read("o/out"), "a\n");
    assert_eq!(tasks.run(&["clean"]).ok().outcome("clean"), "up_to_date");
    let left = std::fs::read_dir(tasks.path(".mainstay/watch"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "nothing of it is left behind");
}

#[test]
fn what_is_made_is_brought_only_where_it_belongs() {
    let tasks = Tasks::new(
        "  out: {shell: 'mkdir -p dist sub; echo mine > dist/f; echo mine > sub/f', inputs: [], outputs: ['{dist,sub}/**']}\n  \
           log: {shell: 'mkdir -p log; echo more >> log/f; echo mine > log/a', inputs: [], outputs: ['log/**']}\n",
    );
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("f"), "theirs\n").unwrap();
    std::fs::create_dir(tasks.path("inner")).unwrap();
    symlink(outside.path(), tasks.path("dist")).unwrap();
    symlink("inner", tasks.path("sub")).unwrap();
    let refused = |task: &str, path: &str, reason: &str| {
        let run = tasks.run(&["--sandbox", "enforce", task]);
        let data = run.failed_with(task, "task.materialised_output_path_invalid");
        assert_eq!(
            (&data["path"], &data["reason"]),
            (&json!(path), &json!(reason))
        );
    };
    refused("out", "dist", "outside");
    let theirs = std::fs::read_to_string(outside.path().join("f")).unwrap();
    assert_eq!(
        theirs, "theirs\n",
        "nothing is written through a link that leaves"
    );
    assert!(!tasks.path("inner/f").exists(), "all of it or nothing");
    std::fs::remove_file(tasks.path("dist")).unwrap();
    tasks.run(&["--sandbox", "enforce", "out"]).ok();
    assert_eq!(
        (tasks.read("dist/f"), tasks.read("inner/f")),
        ("mine\n".into(), "mine\n".into())
    );
    tasks.write("log/f", "the user's\n");
    refused("log", "log/f", "standing");
    assert_eq!(tasks.read("log/f"), "the user's\n");
    assert!(!tasks.path("log/a").exists(), "all of it or nothing");
    std::fs::remove_file(tasks.path("log/f")).unwrap();
    for _ in 0..2 {
        tasks.run(&["--sandbox", "enforce", "--force", "log"]).ok();
        assert_eq!(
            tasks.read("log/f"),
            "more\n",
            "what the task made is the task's"
        );
    }
}

#[test]
fn folders_keep_their_modes() {
    let made = "mkdir -p d/x d/y; chmod 700 d/x; echo > d/y/f; chmod 500 d/y";
    let tasks = Tasks::new(&format!(
        "  made: {{shell: '{made}', inputs: [], outputs: ['d/**']}}\n  \
           again: {{shell: 'mkdir -p e; echo > e/f', inputs: [], outputs: ['e/**'], cache: false}}\n",
    ));
    let mode = |path: &str| {
        let found = std::fs::metadata(tasks.path(path)).unwrap();
        found.permissions().mode() & 0o777
    };
    let enforced = |task: &str| {
        tasks
            .run(&["--sandbox", "enforce", task])
            .ok()
            .outcome(task)
            .to_owned()
    };
    enforced("made");
    assert_eq!((mode("d/x"), mode("d/y")), (0o700, 0o500));
    std::fs::create_dir(tasks.path("e")).unwrap();
    std::fs::set_permissions(tasks.path("e"), Permissions::from_mode(0o750)).unwrap();
    enforced("again");
    enforced("again");
    assert_eq!(
        mode("e"),
        0o750,
        "the mode of a folder that stood there before"
    );
}

#[test]
fn what_is_behind_a_link_is_declared() {
    let tasks = Tasks::new(
        "  t: {shell: 'cat src/file src/folder/f src/folder/sub/g src/folder/h', inputs: ['src/**']}\n",
    );
    tasks
        .write("hidden", "1\n")
        .write("other/f", "2\n")
        .write("other/sub/g", "3\n");
    for folder in ["src", "stop"] {
        std::fs::create_dir(tasks.path(folder)).unwrap();
    }
    for (target, link) in [
        ("../way/hop", "src/file"),
        ("stop", "way"),
        ("../hidden", "stop/hop"),
        ("../other", "src/folder"),
        ("../hidden", "other/h"),
    ] {
        symlink(target, tasks.path(link)).unwrap();
    }
    let nothing = json!({"reads": [], "writes": [], "hidden": [], "is_truncated": false});
    for how in ["trace", "enforce"] {
        let run = tasks.run(&["--sandbox", how, "--force", "t"]);
        assert_eq!(run.ok().ended("t")["undeclared"], nothing, "{how}");
    }
}

#[test]
fn what_a_killed_run_leaves_is_removed_by_the_next() {
    let tasks = Tasks::new(
        "  t: {shell: 'echo > started; exec sleep 60', inputs: [], outputs: [started]}\n  \
           idle: {shell: 'cat in > idle', inputs: [in], outputs: [idle]}\n",
    );
    let watched = || {
        let found = std::fs::read_dir(tasks.path(".mainstay/watch")).unwrap();
        found.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    tasks.write("in", "");
    tasks.run(&["idle"]).ok();
    let mut command = tasks.command(&["--sandbox", "trace", "t"]);
    let mut run = command.stdout(Stdio::null()).spawn().unwrap();
    wait_until("the command runs", || tasks.path("started").exists());
    tasks.run(&["idle"]).ok();
    assert_eq!(watched().len(), 1, "what the living have stays");
    run.kill().unwrap();
    run.wait().unwrap();
    tasks.run(&["idle"]).ok();
    assert_eq!(watched(), [] as [PathBuf; 0]);
}
