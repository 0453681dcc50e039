//! Whose files are whose: what somebody else put or changed there is never lost, and what a command left
//! that did not come to its end is never taken for a result.

use super::{Tasks, binary};
use crate::harness::wait_until;
use std::fs;
use std::process::Stdio;

#[test]
fn what_was_there_before_stays_whatever_happens() {
    let tasks = Tasks::new(
        "  t: {shell: 'mkdir -p dist; cp in dist/made', inputs: [in], outputs: ['dist/**']}\n",
    );
    tasks.write("dist/notes", "mine").write("in", "one");
    tasks.run(&["t"]).ok();
    tasks.write("in", "two");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
    assert_eq!(tasks.read("dist/notes"), "mine");
    // Back to the first result: what somebody wrote since is not replaced by what was there then.
    tasks.write("dist/notes", "mine, too").write("in", "one");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
    assert_eq!(
        (tasks.read("dist/notes"), tasks.read("dist/made")),
        ("mine, too".into(), "one".into())
    );
    // Whether it belongs to the result is unclear, so nobody else gets it.
    let told = &tasks.run(&["t"]).ok().ended("t")["cached"].clone();
    assert_eq!(
        told,
        &serde_json::json!({"state": "unclear", "path": "dist/notes"})
    );
    // What the task made is replaced, and what it no longer makes goes.
    fs::remove_file(tasks.path("dist/notes")).unwrap();
    tasks.run(&["t"]).ok();
    tasks.write("dist/made", "by hand");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "restored");
    assert_eq!(tasks.read("dist/made"), "one");
}

#[test]
fn a_file_in_the_way_is_left_to_the_command() {
    let tasks = Tasks::new("  t: {shell: 'cat in > out', inputs: [in], outputs: [out]}\n");
    tasks.write("in", "x");
    tasks.run(&["t"]).ok();
    // Another workspace on the same cache, where somebody else made the file.
    let other = tasks.path("other");
    fs::create_dir(&other).unwrap();
    for name in ["mainstay.yaml", "in"] {
        fs::copy(tasks.path(name), other.join(name)).unwrap();
    }
    fs::write(other.join("out"), "by hand").unwrap();
    let mut command = tasks.command(&["t"]);
    let run = super::TaskRun::of(crate::harness::Ran::of(
        &command.current_dir(&other).output().unwrap(),
    ));
    assert_eq!(run.ok().outcome("t"), "ran");
    assert_eq!(run.codes("t"), ["task.restore_failed"]);
    assert_eq!(fs::read_to_string(other.join("out")).unwrap(), "x");
}

#[test]
fn who_changes_its_own_sources_is_not_cached() {
    let tasks = Tasks::new(
        "  fmt: {shell: 'for f in src/*; do tr a-z A-Z < $f > t; cat t > $f; done; rm t', outputs: ['src/**']}\n",
    );
    tasks.write("src/a", "text").write("src/b", "more");
    let run = tasks.run(&["fmt"]);
    assert_eq!(run.ok().ended("fmt")["cached"]["state"], "inputs_changed");
    assert_eq!(tasks.read("src/a"), "TEXT");
    tasks.run(&["fmt"]).ok();
    // Edits and removals are seen, and nothing comes back that somebody removed.
    tasks.write("src/a", "edited");
    fs::remove_file(tasks.path("src/b")).unwrap();
    assert_eq!(tasks.run(&["fmt"]).ok().outcome("fmt"), "ran");
    assert_eq!(tasks.read("src/a"), "EDITED");
    assert!(!tasks.path("src/b").exists());
}

#[test]
fn no_task_makes_a_manifest() {
    for outputs in ["**", "*.yaml", "mainstay.yaml"] {
        let tasks = Tasks::new(&format!("  t: {{shell: 'true', outputs: ['{outputs}']}}\n"));
        let findings = tasks.findings();
        assert_eq!(findings[0]["field"], "tasks.t.outputs");
        assert_eq!(findings[0]["line"], 4);
    }
}

#[test]
fn an_input_that_was_another_meanwhile_is_noticed() {
    let tasks = Tasks::new(
        "  t: {shell: 'cp -p in keep; echo B > in; cat in > out; cp -p keep in; rm keep', inputs: [in], outputs: [out]}\n",
    );
    tasks.write("in", "A");
    let run = tasks.run(&["t"]);
    let cached = &run.ok().ended("t")["cached"];
    assert_eq!(cached["state"], "inputs_changed");
    assert_eq!(cached["changes"][0]["change"], "touched", "{cached}");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
}

#[test]
fn a_try_begins_as_the_one_before_did() {
    let tasks = Tasks::new(
        "  t: {shell: 'mkdir -p o; test -e flag && touch o/right && exit; touch flag o/wrong; exit 1', inputs: [], outputs: ['o/**'], retries: 1}\n",
    );
    tasks.run(&["t"]).ok();
    assert!(tasks.path("o/right").exists() && !tasks.path("o/wrong").exists());
}

#[test]
fn what_a_killed_run_left_is_no_part_of_the_next_result() {
    let tasks = Tasks::new(
        "  t: {shell: 'mkdir -p o; test -e again || { touch o/half begun; sleep 60; }; touch o/whole', inputs: [], outputs: ['o/**']}\n  idle: {shell: 'cat in > idle', inputs: [in], outputs: [idle]}\n",
    );
    tasks.write("in", "");
    tasks.run(&["idle"]).ok();
    tasks.write("o/mine", "");
    let mut run = tasks.command(&["t"]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the command begins", || tasks.path("begun").exists());
    run.kill().unwrap();
    run.wait().unwrap();
    // Whoever runs next ends what is left of it, also where there is nothing to do.
    assert_eq!(tasks.run(&["idle"]).ok().outcome("idle"), "up_to_date");
    let left = std::process::Command::new("pgrep")
        .args(["-f", "sleep 60"])
        .output()
        .unwrap();
    let mine = |pid: &&str| {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
        cwd.is_ok_and(|cwd| cwd.starts_with(tasks.place.path()))
    };
    let left = String::from_utf8(left.stdout).unwrap();
    assert_eq!(left.lines().filter(mine).count(), 0);
    tasks.write("again", "");
    tasks.run(&["t"]).ok();
    assert!(tasks.path("o/whole").exists() && tasks.path("o/mine").exists());
    assert!(!tasks.path("o/half").exists());
}

#[test]
fn a_run_within_a_task_ends_with_it() {
    let inner = format!("{} --cache-dir cache task run inner", binary());
    let tasks = Tasks::new(&format!(
        "  outer: {{shell: 'exec {inner}', timeout: 500ms, grace: 100ms, cache: false}}\n  inner: {{shell: \"trap '' TERM; touch begun; while true; do sleep 0.1; touch alive; done\", cache: false, grace: 60s}}\n"
    ));
    tasks.run(&["outer"]).failed_with("outer", "task.timed_out");
    assert!(tasks.path("begun").exists());
    // Nobody is left that could make it again.
    fs::remove_file(tasks.path("alive")).unwrap_or_default();
    assert_eq!(
        tasks.run(&["outer"]).outcome("outer"),
        "timed_out",
        "the lock is free"
    );
}

#[test]
fn what_may_not_belong_to_a_result_is_given_to_nobody() {
    let tasks = Tasks::new(
        "  t: {shell: 'mkdir -p dist; cat in > dist/$(cat in)', inputs: [in], outputs: ['dist/**']}\n  \
           again: {shell: 'echo line >> log/f; test -e tried || { touch tried; exit 1; }', inputs: [], outputs: ['log/**'], retries: 1}\n",
    );
    let state = |task: &str| tasks.run(&[task]).ok().ended(task)["cached"]["state"].clone();
    tasks.write("in", "one");
    assert_eq!(state("t"), "stored");
    // What somebody edited stays, and is no part of what others get.
    tasks.write("dist/one", "one by hand").write("in", "two");
    assert_eq!(state("t"), "unclear");
    assert_eq!(tasks.read("dist/one"), "one by hand");
    // A cache that is lost takes with it what was known of the folder.
    fs::remove_file(tasks.path("dist/one")).unwrap();
    fs::remove_dir_all(tasks.path("cache")).unwrap();
    tasks.write("in", "three");
    assert_eq!(state("t"), "unclear", "dist/two is of another result");
    // The second try found what the first had written.
    tasks.write("log/f", "mine\n");
    assert_eq!(state("again"), "unclear");
}

#[test]
fn what_a_killed_run_left_is_set_aside_and_not_removed() {
    let tasks = Tasks::new(
        "  t: {shell: 'mkdir -p dist; touch dist/half begun; sleep 60', inputs: [in], outputs: ['dist/**']}\n",
    );
    tasks.write("in", "").write("docs/book", "mine");
    let mut run = tasks.command(&["t"]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the command begins", || tasks.path("begun").exists());
    run.kill().unwrap();
    run.wait().unwrap();
    tasks.write("dist/notes", "mine, too");
    tasks.write(
        "mainstay.yaml",
        "version: 1\nname: w\ntasks:\n  t: {shell: 'mkdir -p docs; cp in docs/made', inputs: [in], outputs: ['docs/**', '!docs/book']}\n",
    );
    assert_eq!(
        tasks.run(&["t"]).ok().ended("t")["cached"]["state"],
        "stored"
    );
    assert_eq!(tasks.read("docs/book"), "mine");
    assert!(!tasks.path("dist/half").exists());
    assert_eq!(tasks.read(".mainstay/left/dist/notes"), "mine, too");
}

#[test]
fn nothing_of_ours_is_looked_for_behind_a_link() {
    let tasks = Tasks::new("  t: {shell: 'cp in out', inputs: [in], outputs: [out]}\n");
    tasks
        .write("in", "x")
        .write("elsewhere/restore/1-dump", "precious");
    std::os::unix::fs::symlink("elsewhere", tasks.path(".mainstay")).unwrap();
    tasks.run(&["t"]).ok();
    tasks.write("in", "y");
    tasks.run(&["t"]);
    assert_eq!(tasks.read("elsewhere/restore/1-dump"), "precious");
    assert_eq!(
        fs::read_dir(tasks.path("elsewhere/restore"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn who_reads_a_large_file_hears_a_signal() {
    let tasks = Tasks::new(
        "  t: {shell: 'true', inputs: [in], outputs: [out]}\n  u: {shell: 'touch begun', cache: false}\n",
    );
    fs::File::create(tasks.path("in"))
        .unwrap()
        .set_len(1 << 42)
        .unwrap();
    let mut run = tasks
        .command(&["-j", "2", "t", "u"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the run is at work", || tasks.path("begun").exists());
    let pid = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(143));
}

#[test]
fn what_a_killed_run_within_a_task_left_is_no_part_of_the_next_result() {
    let inner = format!("{} --cache-dir cache task run t", binary());
    let tasks = Tasks::new(&format!(
        "  outer: {{shell: '{inner} & until test -e begun; do sleep 0.01; done; kill -9 $!; touch again; {inner}', cache: false}}\n  \
           t: {{shell: 'mkdir -p o; test -e again || {{ touch o/half begun; sleep 60; touch o/late; }}; touch o/whole', inputs: [], outputs: ['o/**']}}\n"
    ));
    tasks.run(&["outer"]).ok();
    assert!(tasks.path("o/whole").exists());
    assert!(!tasks.path("o/half").exists() && !tasks.path("o/late").exists());
}

#[test]
fn what_a_dead_process_left_goes_also_where_another_has_its_number() {
    let tasks = Tasks::new("  t: {command: ['true']}\n");
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let began = rest.split_whitespace().nth(19).unwrap();
    let own = std::process::id();
    let living = format!("{own}-{began}-7");
    let dead = format!("{own}-{began}0-7");
    for name in [&living, &dead, "notes", "7-notes"] {
        tasks.write(&format!(".mainstay/restore/{name}"), "");
    }
    tasks.run(&["t"]).ok();
    let left = fs::read_dir(tasks.path(".mainstay/restore")).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let mut expected = [living.as_str(), "notes", "7-notes"];
    expected.sort_unstable();
    assert_eq!(left, expected);
}
