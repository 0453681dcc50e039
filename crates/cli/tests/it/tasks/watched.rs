//! Commands that are watched.

use super::Tasks;
use serde_json::json;

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
