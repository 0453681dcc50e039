//! Workspaces of other runners, taken over and run.

use super::Tasks;
use std::fs;

/// A place without a manifest, with these files.
fn place(files: &[(&str, &str)]) -> Tasks {
    let tasks = Tasks::new("  none: {command: ['true']}\n");
    fs::remove_file(tasks.path("mainstay.yaml")).unwrap();
    tasks.write(".gitignore", "/cache\n/data\n/work\n/script.yaml\n");
    for (name, text) in files {
        tasks.write(name, text);
    }
    tasks
}

fn init(tasks: &Tasks, from: &str) -> serde_json::Value {
    let answer = tasks
        .place
        .mainstay(&["--json", "init", "--from", from])
        .ok()
        .json();
    let checked = tasks.place.mainstay(&["--json", "check"]);
    assert_eq!(
        checked.json()["findings"],
        serde_json::json!([]),
        "{checked:?}"
    );
    answer
}

#[test]
fn a_makefile_builds_the_same() {
    let tasks = place(&[
        (
            "Makefile",
            "CC = cc\nall: hello\nhello: main.o say.o\n\tcat $^ > $@\n%.o: %.c\n\tcat $< > $@\n\
            .PHONY: all clean\nclean:\n\trm -f *.o hello\ninclude nowhere.mk\n",
        ),
        ("main.c", "main\n"),
        ("say.c", "say\n"),
    ]);
    let answer = init(&tasks, "make");
    let notes = answer["notes"].to_string();
    assert!(
        notes.contains("nowhere.mk"),
        "what was not carried over is told: {notes}"
    );
    let run = |args: &[&str]| tasks.run(args);
    run(&["all"]).ok();
    assert_eq!(tasks.read("hello"), "main\nsay\n");
    assert_eq!(run(&["hello"]).ok().events.last().unwrap()["ran"], 0);
    tasks.write("say.c", "said\n");
    run(&["all"]).ok();
    assert_eq!(tasks.read("hello"), "main\nsaid\n");
    let ran = tasks.place.mainstay(&["--json", "init", "--from", "make"]);
    ran.failed_with("runtime.invalid_request");
}

#[test]
fn a_turborepo_becomes_a_workspace() {
    let tasks = place(&[
        (
            "package.json",
            r#"{"name": "mono", "private": true, "workspaces": ["packages/*"], "packageManager": "npm@10.8.2"}"#,
        ),
        (
            "turbo.json",
            r#"{"tasks": {"build": {"dependsOn": ["^build"], "outputs": ["dist/**"], "env": ["MODE"]},
            // a comment
            "test": {"dependsOn": ["build"], "cache": false}}, "ui": "tui"}"#,
        ),
        (
            "packages/ui/package.json",
            r#"{"name": "@acme/ui", "scripts": {"build": "mkdir -p dist && cp src.js dist/"}}"#,
        ),
        ("packages/ui/src.js", "ui"),
        (
            "packages/web/package.json",
            r#"{"name": "@acme/web", "dependencies": {"@acme/ui": "*"}, "scripts": {"build": "x", "test": "y"}}"#,
        ),
    ]);
    let answer = init(&tasks, "turbo");
    assert_eq!(answer["written"].as_array().unwrap().len(), 3, "{answer}");
    let graph = tasks
        .place
        .mainstay(&["--json", "task", "graph"])
        .ok()
        .json();
    let edges: Vec<String> = graph["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            format!(
                "{} {}",
                edge["from"].as_str().unwrap(),
                edge["to"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(edges, ["ui:build web:build", "web:build web:test"]);
}

#[test]
fn the_scripts_of_a_package_become_tasks() {
    let tasks = place(&[(
        "package.json",
        r#"{"name": "one", "scripts": {"build": "tsc", "pretest": "lint", "test": "jest"}}"#,
    )]);
    let answer = init(&tasks, "npm");
    assert!(
        answer["notes"]
            .as_array()
            .is_some_and(|notes| !notes.is_empty()),
        "{answer}"
    );
    let listed = tasks.place.mainstay(&["--json", "task", "ls"]).ok().json();
    let names: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["task"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"one:build") && names.contains(&"one:test"),
        "{names:?}"
    );
}

#[test]
fn what_turbo_and_make_let_pass_does_not_fail_here() {
    let turbo = place(&[
        (
            "package.json",
            r#"{"name": "w", "scripts": {"build": "x", "": "y"}, "workspaces": ["../x", "gone"]}"#,
        ),
        (
            "turbo.json",
            r#"{"tasks": {"build": {"inputs": ["gone.json", "a,b", "src/**.ts", "a["], "outputs": ["out.txt", "dist/**"]}}}"#,
        ),
    ]);
    init(&turbo, "turbo");
    assert_eq!(turbo.why("build")["verdict"], "new");
    let make = place(&[
        (
            "Makefile",
            "all: a\\ b.txt [x] log\n.PHONY: all\na\\ b.txt [x]&: in\n\tcp in 'a b.txt'; cp in '[x]'\n\
            log:: in\n\tcat $< > $@\nlog:: a\\ b.txt\n\tcat '$<' >> $@\n",
        ),
        ("in", "1\n"),
    ]);
    init(&make, "make");
    make.run(&["all"]).ok();
    assert_eq!(
        (make.read("[x]"), make.read("log")),
        ("1\n".into(), "1\n1\n".into())
    );
    assert_eq!(
        make.run(&["all"]).ok().events.last().unwrap()["up_to_date"],
        2
    );
}

#[test]
fn targets_that_are_no_files_and_folders_run_as_with_make() {
    let tasks = place(&[
        (
            "Makefile",
            "all: check out/a\ncheck: prog\n\t./prog >> ran\nprog: in | out\n\tcp in prog && chmod +x prog\n\
            out/a: in | out\n\tcp in $@\nout:\n\tmkdir out\nlint: ; echo lint\n",
        ),
        ("in", "#!/bin/sh\necho ran\n"),
    ]);
    let notes = init(&tasks, "make")["notes"].to_string();
    assert!(notes.contains("its recipe does not name it"), "{notes}");
    assert!(notes.contains("remove `outputs`"), "{notes}");
    for _ in 0..2 {
        tasks.run(&["all"]).ok();
    }
    assert_eq!(
        tasks.read("ran"),
        "ran\nran\n",
        "it makes no file, so make always runs it"
    );
    let again = tasks.run(&["out-a"]);
    assert_eq!(again.ok().events.last().unwrap()["up_to_date"], 1);
}
