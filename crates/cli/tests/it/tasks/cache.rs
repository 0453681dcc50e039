//! What comes from the cache is exactly what was put there, or it is made again.

use super::Tasks;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

const T: &str = "  t: {shell: 'echo run >> ../runs; mkdir -p o; cat in > o/out', inputs: [in], outputs: ['o/**']}\n";

fn copying() -> Tasks {
    let tasks = Tasks::of("version: 1\nname: w\nprojects: [p]\n");
    tasks.write("p/mainstay.yaml", &format!("name: w\ntasks:\n{T}"));
    tasks.write("p/in", "one");
    tasks
}

fn runs(tasks: &Tasks) -> usize {
    fs::read_to_string(tasks.path("runs")).map_or(0, |text| text.lines().count())
}

#[test]
fn a_hit_whose_outputs_are_right_writes_nothing() {
    let tasks = copying();
    tasks.run(&["t"]).ok();
    let before = fs::metadata(tasks.path("p/o/out")).unwrap();
    let run = tasks.run(&["t"]);
    assert_eq!(run.ok().outcome("t"), "up_to_date");
    let after = fs::metadata(tasks.path("p/o/out")).unwrap();
    assert_eq!(
        (before.ino(), before.ctime_nsec()),
        (after.ino(), after.ctime_nsec())
    );
    assert_eq!(runs(&tasks), 1);
}

#[test]
fn one_cache_serves_all_workspaces_of_a_user() {
    let tasks = Tasks::new("  t: {shell: 'cat in > out', inputs: [in], outputs: [out]}\n");
    tasks.write("in", "shared");
    tasks.run(&["t"]).ok();
    let manifest = tasks.read("mainstay.yaml");
    tasks
        .write("other/mainstay.yaml", &manifest)
        .write("other/in", "shared");
    let output = tasks
        .command(&["t"])
        .current_dir(tasks.path("other"))
        .output();
    let run = super::TaskRun::of(crate::harness::Ran::of(&output.unwrap()));
    assert_eq!(run.ok().outcome("t"), "restored");
    assert_eq!(tasks.read("other/out"), "shared");
}

#[test]
fn damaged_and_lost_blobs_are_told_and_made_again() {
    for damage in ["flip", "remove", "truncate"] {
        let tasks = copying();
        tasks.write("p/in", &"content ".repeat(9000));
        tasks.run(&["t"]).ok();
        let largest = tasks
            .cached("blobs")
            .into_iter()
            .max_by_key(|path| fs::metadata(path).unwrap().len());
        let blob = largest.unwrap();
        fs::set_permissions(&blob, Permissions::from_mode(0o644)).unwrap();
        match damage {
            "flip" => {
                let mut bytes = fs::read(&blob).unwrap();
                bytes[50_000] ^= 1;
                fs::write(&blob, bytes).unwrap();
            }
            "remove" => fs::remove_file(&blob).unwrap(),
            _ => fs::write(&blob, "short").unwrap(),
        }
        fs::remove_dir_all(tasks.path("p/o")).unwrap();
        let run = tasks.run(&["t"]);
        assert_eq!(run.ok().outcome("t"), "ran", "{damage}");
        assert_eq!(run.codes("t"), ["task.restore_failed"], "{damage}");
        assert_eq!(tasks.read("p/o/out"), "content ".repeat(9000));
        fs::remove_dir_all(tasks.path("p/o")).unwrap();
        assert_eq!(
            tasks.run(&["t"]).ok().outcome("t"),
            "restored",
            "it was put there again"
        );
    }
}

#[test]
fn a_damaged_result_is_as_good_as_none() {
    let tasks = copying();
    tasks.run(&["t"]).ok();
    for result in tasks.cached("results") {
        let text = fs::read_to_string(&result).unwrap();
        fs::write(&result, text.replace("o/out", "o/../../evil")).unwrap();
    }
    fs::remove_dir_all(tasks.path("p/o")).unwrap();
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
    assert!(!tasks.path("evil").exists());
}

#[test]
fn everything_comes_back_exactly() {
    let script = "mkdir -p o/empty o/deep/er o/tight; echo a > o/deep/er/f; chmod 640 o/deep/er/f; \
        ln -s deep/er/f o/link; ln -s nowhere o/dangling; ln -s /etc/hostname o/absolute; \
        truncate -s 5000000 o/sparse; echo x >> o/sparse; \
        printf x > \"o/$(printf 'new\\nline \\001 \\377')\"; echo '#!/bin/sh' > o/run; chmod 755 o/run; \
        : > o/nothing; chmod 700 o/tight";
    let tasks = Tasks::new(&format!(
        "  t: {{command: [sh, -c, {script:?}], inputs: [], outputs: [o]}}\n"
    ));
    let listing = || {
        let script = "cd o && find . -printf '%P|%y|%m|%l|%s\\0' | LC_ALL=C sort -z; find . -type f -exec cat {} + | cksum";
        let output = std::process::Command::new("sh")
            .args(["-c", script])
            .current_dir(tasks.place.path())
            .output();
        let mut lines: Vec<Vec<u8>> = output
            .unwrap()
            .stdout
            .split(|byte| *byte == 0)
            .map(<[u8]>::to_vec)
            .collect();
        // The sizes of folders are the file system's own business.
        for line in &mut lines {
            if line.windows(3).any(|window| window == b"|d|") {
                let end = line.iter().rposition(|byte| *byte == b'|').unwrap();
                line.truncate(end);
            }
        }
        lines
    };
    tasks.run(&["t"]).ok();
    let first = listing();
    assert!(first.len() > 12, "{first:?}");
    fs::remove_dir_all(tasks.path("o")).unwrap();
    let run = tasks.run(&["t"]);
    assert_eq!(run.ok().outcome("t"), "restored", "{:?}", run.ran);
    let second = listing();
    let shown = |lines: &[Vec<u8>]| {
        lines
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&second), shown(&first));
    let blocks = fs::metadata(tasks.path("o/sparse")).unwrap().blocks();
    assert!(
        blocks * 512 < 1_000_000,
        "holes stay holes: {blocks} blocks"
    );
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "up_to_date");
}

#[test]
fn nothing_is_written_through_a_link_that_leaves_the_workspace() {
    let elsewhere = tempfile::tempdir().unwrap();
    let tasks = Tasks::new("  t: {shell: 'mkdir -p o; echo > o/x', inputs: [], outputs: [o/x]}\n");
    tasks.run(&["t"]).ok();
    fs::remove_dir_all(tasks.path("o")).unwrap();
    symlink(elsewhere.path(), tasks.path("o")).unwrap();
    let run = tasks.run(&["t"]);
    assert_eq!(run.codes("t")[0], "task.restore_failed");
    assert_eq!(
        run.ended("t")["reports"][0]["data"]["cause"]["kind"],
        "outside"
    );
    assert_eq!(run.codes("t")[1], "task.materialised_output_path_invalid");
}

#[test]
fn what_a_result_no_longer_has_is_taken_away() {
    let tasks = Tasks::new(
        "  t: {shell: 'mkdir -p o; for n in $(cat in); do echo $n > o/$n; done', inputs: [in], outputs: ['o/**']}\n",
    );
    let names = || {
        let mut names: Vec<_> = fs::read_dir(tasks.path("o"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
            .iter()
            .map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (input, expected) in [
        ("a b c", "a b c"),
        ("a", "a"),
        ("a b c", "a b c"),
        ("b", "b"),
    ] {
        tasks.write("in", input);
        tasks.run(&["t"]).ok();
        assert_eq!(names(), expected);
    }
    tasks
        .write("o/mine", "not the task's")
        .write("o/b", "edited")
        .write("in", "c");
    tasks.run(&["t"]).ok();
    assert_eq!(names(), "b c mine", "what somebody changed or made stays");
}

#[test]
fn the_collection_keeps_to_its_budget_and_remembers_what_it_removed() {
    let tasks = Tasks::new(
        "  t: {shell: 'head -c 100000 /dev/urandom > o; cat in', inputs: [in], outputs: [o]}\n",
    );
    for round in 0..5 {
        tasks.write("in", &format!("round {round}"));
        tasks.run(&["t"]).ok();
    }
    let collected = tasks
        .place
        .mainstay(&["--json", "cache", "gc", "--max-size", "250KiB"])
        .ok()
        .json();
    assert_eq!(collected["results"], 3, "{collected}");
    assert!(
        collected["bytes_left"].as_u64().unwrap() <= 256_000,
        "{collected}"
    );
    tasks.write("in", "round 0");
    let why = tasks.why("t");
    assert_eq!(why["verdict"], "evicted", "{why}");
    tasks.write("in", "round 4");
    assert_eq!(tasks.why("t")["verdict"], "up_to_date");
    tasks.place.mainstay(&["cache", "purge"]).ok();
    let info = tasks
        .place
        .mainstay(&["--json", "cache", "info"])
        .ok()
        .json();
    assert_eq!(info["usage"]["results"], 0, "{info}");
    assert_eq!(
        tasks.run(&["t"]).ok().outcome("t"),
        "ran",
        "what it said is gone, so it runs again"
    );
}

#[test]
fn why_names_exactly_what_changed() {
    let tasks = Tasks::new(
        "  gen: {shell: 'echo $(cat seed) > gen.txt', inputs: [seed], outputs: [gen.txt]}\n  \
           t: {command: [sh, -c, 'cat src/* gen.txt > out'], inputs: ['src/*', gen.txt], outputs: [out], env: [MODE, PATH], tools: [tool]}\n",
    );
    tasks
        .write("src/a", "a")
        .write("src/b", "b")
        .write("seed", "1");
    symlink("a", tasks.path("src/link")).unwrap();
    tasks.program("bin/tool", "#!/bin/sh\n");
    let path = format!("{}:/usr/bin:/bin", tasks.path("bin").display());
    let with = |mode: Option<&str>, args: &[&str]| {
        let mut command = tasks.place.command(args);
        command.env("PATH", &path);
        mode.map(|mode| command.env("MODE", mode));
        crate::harness::Ran::of(&command.output().unwrap())
    };
    let run = || with(Some("x"), &["--json", "task", "run", "t"]).ok().json();
    let why = |mode| {
        let answer = with(mode, &["--json", "task", "why", "t"]).ok().json();
        let changes = answer["changes"].as_array().unwrap().clone();
        changes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    run();
    assert_eq!(why(Some("x")), "");
    assert_eq!(
        why(Some("y")),
        r#"{"kind":"variable","name":"MODE","change":"value"}"#
    );
    assert_eq!(
        why(None),
        r#"{"kind":"variable","name":"MODE","change":"unset"}"#
    );
    tasks.write("src/a", "changed");
    let content = r#"{"kind":"input","path":"src/a","change":"content"}"#;
    assert_eq!(
        why(Some("x")),
        format!(r#"{content} {{"kind":"input","path":"src/link","change":"content"}}"#)
    );
    tasks.write("src/a", "a");
    fs::set_permissions(tasks.path("src/b"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        why(Some("x")),
        r#"{"kind":"input","path":"src/b","change":"mode"}"#
    );
    fs::remove_file(tasks.path("src/b")).unwrap();
    assert_eq!(
        why(Some("x")),
        r#"{"kind":"input","path":"src/b","change":"removed"}"#
    );
    tasks.write("src/b", "b");
    tasks.program("bin/tool", "#!/bin/sh\n# another\n");
    assert_eq!(why(Some("x")), r#"{"kind":"tool","name":"tool"}"#);
    tasks.program("bin/tool", "#!/bin/sh\n");
    tasks.write("gen.txt", "by hand");
    let made = r#"{"kind":"input","path":"gen.txt","change":"content","made_by":"w:gen"}"#;
    assert_eq!(why(Some("x")), made);
    run();
    let manifest = tasks.read("mainstay.yaml");
    tasks.write(
        "mainstay.yaml",
        &manifest.replace("outputs: [out]", "outputs: [out, '{more}']"),
    );
    assert_eq!(
        why(Some("x")),
        r#"{"kind":"output_pattern","pattern":"{more}"}"#
    );
    tasks.write("mainstay.yaml", &manifest.replace("> out", ">> out"));
    assert_eq!(why(Some("x")), r#"{"kind":"command"}"#);
}

#[test]
fn affected_is_what_changed_and_all_that_needs_it() {
    let tasks = Tasks::new(
        "  a: {shell: 'cat a.in > a.out', inputs: [a.in], outputs: [a.out]}\n  \
           b: {shell: 'cat a.out b.in > b.out', inputs: [a.out, b.in], outputs: [b.out]}\n  \
           c: {shell: 'cat c.in', inputs: [c.in]}\n  \
           d: {command: ['true'], after: [b]}\n",
    );
    tasks
        .write("a.in", "1")
        .write("b.in", "1")
        .write("c.in", "1");
    tasks.write(".gitignore", "*.out\n/cache\n/data\n");
    tasks.git(&["init", "-q"]);
    tasks.git(&["add", "-A"]);
    tasks.git(&["commit", "-qm", "one"]);
    let affected = |since: &str| {
        let ran = tasks
            .place
            .mainstay(&["--json", "task", "affected", "--since", since]);
        let told: Vec<String> = ran
            .ok()
            .lines()
            .iter()
            .map(|line| {
                format!(
                    "{} {}",
                    line["task"].as_str().unwrap(),
                    line["because"].as_str().unwrap()
                )
            })
            .collect();
        told.join(", ")
    };
    assert_eq!(affected("HEAD"), "");
    tasks.run(&["d"]).ok();
    assert_eq!(
        affected("HEAD"),
        "",
        "what was built meanwhile is no change"
    );
    tasks.write("a.in", "2");
    assert_eq!(affected("HEAD"), "w:a changed, w:b upstream, w:d changed");
    tasks.git(&["commit", "-qam", "two"]);
    fs::remove_file(tasks.path("c.in")).unwrap();
    assert_eq!(affected("HEAD"), "w:c unknown, w:d changed");
    assert_eq!(
        affected("HEAD~1"),
        "w:a changed, w:c unknown, w:b upstream, w:d changed"
    );
    let ran = tasks
        .place
        .mainstay(&["--json", "task", "affected", "--since", "nowhere"]);
    ran.failed_with("runtime.not_found");
}

#[test]
fn affected_calls_a_nameless_workspace_the_same_at_any_revision() {
    let tasks =
        Tasks::of("version: 1\nprojects: [., p]\ntasks: {t: {command: ['true'], inputs: [in]}}\n");
    tasks.write("in", "1").write(
        "p/mainstay.yaml",
        "tasks: {u: {command: ['true'], inputs: [in]}}\n",
    );
    tasks.write("p/in", "1");
    tasks.git(&["init", "-q"]);
    tasks.git(&["add", "-A"]);
    tasks.git(&["commit", "-qm", "one"]);
    let affected = || {
        let args = ["--json", "task", "affected", "--since", "HEAD"];
        tasks.place.mainstay(&args).ok().lines()
    };
    assert_eq!(affected(), Vec::<serde_json::Value>::new());
    tasks.write("in", "2");
    let found = affected();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["because"], "changed");
}

#[test]
fn what_was_made_before_is_still_there_after_a_failure() {
    let tasks = Tasks::new(
        "  t: {shell: 'test ! -e o/x || exit 9; mkdir -p o/deep; cp in o/x; cp in o/deep/y; test $(cat in) != bad', inputs: [in], outputs: ['o/**']}\n",
    );
    tasks.write("in", "good");
    tasks.run(&["t"]).ok();
    tasks.write("in", "bad");
    let run = tasks.run(&["t"]);
    assert_eq!(
        run.ended("t")["exit"]["code"],
        1,
        "it found its folder empty: {:?}",
        run.ran
    );
    assert_eq!(
        tasks.read("o/x"),
        "bad",
        "what the command made stays where it is"
    );
    tasks.write("in", "good");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "restored");
    let fails =
        Tasks::new("  t: {shell: 'test -e in && echo > out', inputs: ['{in}'], outputs: [out]}\n");
    fails.write("in", "");
    fails.run(&["t"]).ok();
    fs::remove_file(fails.path("in")).unwrap();
    fails.run(&["t"]).failed_with("t", "task.failed");
    assert_eq!(fails.read("out"), "\n", "what was there before is back");
}

#[test]
fn what_is_behind_a_link_to_a_folder_counts() {
    let tasks = Tasks::new(
        "  by_wildcard: {shell: 'cat src/shared/x > a', inputs: ['src/**'], outputs: [a]}\n  \
           by_name: {shell: 'cat src/shared/x > b', inputs: [src/shared], outputs: [b]}\n  \
           through: {shell: 'cat src/shared/x > c', inputs: ['src/shared/**'], outputs: [c]}\n  \
           makes: {shell: 'mkdir -p real; cp in real/made', inputs: [in], outputs: ['linked/**']}\n",
    );
    tasks
        .write("lib/x", "one")
        .write("src/own", "")
        .write("in", "1");
    symlink("../lib", tasks.path("src/shared")).unwrap();
    symlink("..", tasks.path("src/up")).unwrap();
    symlink("real", tasks.path("linked")).unwrap();
    let all = ["by_wildcard", "by_name", "through", "makes"];
    tasks.run(&all).ok();
    let again = tasks.run(&all);
    all.iter()
        .for_each(|task| assert_eq!(again.ok().outcome(task), "up_to_date", "{task}"));
    tasks.write("lib/x", "two");
    fs::remove_file(tasks.path("real/made")).unwrap();
    let run = tasks.run(&all);
    all[..3]
        .iter()
        .for_each(|task| assert_eq!(run.outcome(task), "ran", "{task}"));
    assert_eq!(
        tasks.read("a") + &tasks.read("b") + &tasks.read("c"),
        "twotwotwo"
    );
    assert_eq!(
        (run.outcome("makes"), tasks.read("real/made")),
        ("restored", "1".to_owned())
    );
    let why = tasks.why("by_wildcard");
    assert_eq!(why["verdict"], "up_to_date", "{why}");
}

#[test]
fn a_pipe_among_the_outputs_is_told() {
    let tasks = Tasks::new(
        "  t: {shell: 'mkdir -p o; rm -f o/pipe; mkfifo o/pipe; echo > o/x', inputs: [], outputs: ['o/**']}\n",
    );
    let run = tasks.run(&["t"]);
    assert_eq!(
        run.ok().ended("t")["passed_over"],
        serde_json::json!(["o/pipe"])
    );
}
