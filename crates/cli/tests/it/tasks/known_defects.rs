//! What other runners get wrong, one test for each: the twenty defects that were found in one of them.

use super::{TaskRun, Tasks};
use crate::harness::Ran;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

#[test]
fn d01_two_projects_with_one_command_have_two_results() {
    let tasks = Tasks::of("version: 1\nprojects: [a, b]\n");
    for project in ["a", "b"] {
        tasks.write(
            &format!("{project}/mainstay.yaml"),
            "tasks: {t: {shell: 'basename $PWD > out', inputs: [], outputs: [out]}}\n",
        );
    }
    tasks.run(&[":t"]).ok();
    assert_eq!(
        (tasks.read("a/out"), tasks.read("b/out")),
        ("a\n".into(), "b\n".into())
    );
}

#[test]
fn d02_other_outputs_are_another_result() {
    let tasks =
        Tasks::new("  t: {shell: 'echo 1 > one; echo 2 > two', inputs: [], outputs: [one]}\n");
    tasks.run(&["t"]).ok();
    let manifest = tasks.read("mainstay.yaml");
    tasks.write("mainstay.yaml", &manifest.replace("[one]", "[one, two]"));
    fs::remove_file(tasks.path("two")).unwrap();
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
    assert_eq!(tasks.read("two"), "2\n");
}

#[test]
fn d03_who_waits_for_a_mutex_costs_nothing() {
    let tasks = Tasks::new(
        "  hold: {shell: 'echo > held; sleep 1.5', mutex: m}\n  \
           wait: {command: ['true'], inputs: [large], mutex: m}\n  \
           all: {command: ['true'], after: [hold, wait]}\n",
    );
    tasks.write("large", &"x".repeat(3_000_000));
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", "\"$0\" \"$@\" >&2 || exit; times"])
        .arg(super::binary());
    command.arg("--cache-dir").arg(tasks.path("cache"));
    command.args(["task", "run", "--jobs", "4", "all"]);
    let output = command.current_dir(tasks.place.path()).output().unwrap();
    let times = String::from_utf8(output.stdout).unwrap();
    // The second line is that of what the shell started: `0m0.010000s 0m0.020000s`.
    let used = times
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .map(|time| {
            let (minutes, seconds) = time.trim_end_matches('s').split_once('m').unwrap();
            minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
        });
    let used: f64 = used.sum();
    assert!(used < 0.7, "{used} s of 1.5 s");
}

#[test]
fn d04_what_a_command_says_is_seen_while_it_runs() {
    let tasks = Tasks::new(
        "  t: {shell: 'echo first; while [ ! -e go ]; do sleep 0.01; done; echo second'}\n",
    );
    let mut command = tasks.place.command(&["task", "run", "t"]);
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "first");
    tasks.write("go", "");
    assert_eq!(lines.next().unwrap().unwrap(), "second");
    assert!(child.wait().unwrap().success());
}

#[test]
fn d05_a_flipped_byte_is_never_restored() {
    // Small contents lie beside the result, large ones by themselves.
    for (kind, repeat) in [("results", 1), ("blobs", 9000)] {
        let tasks = Tasks::new("  t: {shell: 'cat in > out', inputs: [in], outputs: [out]}\n");
        tasks.write("in", &"right\n".repeat(repeat));
        tasks.run(&["t"]).ok();
        for file in tasks.cached(kind) {
            fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
            let mut bytes = fs::read(&file).unwrap();
            let last = bytes.len() - 2;
            bytes[last] ^= 1;
            fs::write(&file, bytes).unwrap();
        }
        fs::remove_file(tasks.path("out")).unwrap();
        assert_eq!(tasks.run(&["t"]).ok().codes("t"), ["task.restore_failed"]);
        assert_eq!(tasks.read("out"), "right\n".repeat(repeat));
    }
}

#[test]
fn d06_what_cannot_be_restored_is_made_again() {
    let tasks =
        Tasks::new("  t: {shell: 'rm -rf out; echo made > out', inputs: [], outputs: [out]}\n");
    tasks.run(&["t"]).ok();
    fs::remove_file(tasks.path("out")).unwrap();
    tasks.write("out/in/the/way", "");
    let run = tasks.run(&["t"]);
    assert_eq!(
        (run.ok().outcome("t"), run.codes("t")),
        ("ran", vec!["task.restore_failed"])
    );
    assert_eq!(tasks.read("out"), "made\n");
}

#[test]
fn d07_a_dangling_link_is_no_obstacle_and_walks_go_only_where_they_must() {
    let tasks = Tasks::new("  t: {command: ['true'], inputs: ['src/**/*.txt', '/*.md']}\n");
    tasks.write("src/a.txt", "");
    symlink("nowhere", tasks.path("dangling")).unwrap();
    symlink("nowhere", tasks.path("src/dangling")).unwrap();
    symlink("..", tasks.path("src/loop")).unwrap();
    // Whoever went in here would not come out without an error.
    tasks.write("elsewhere/x", "");
    fs::set_permissions(tasks.path("elsewhere"), Permissions::from_mode(0o000)).unwrap();
    let run = tasks.run(&["t"]);
    fs::set_permissions(tasks.path("elsewhere"), Permissions::from_mode(0o755)).unwrap();
    run.ok();
}

#[test]
fn d08_links_and_empty_folders_stay_and_stale_files_go() {
    let tasks = Tasks::new(
        "  t: {shell: 'mkdir -p o/empty; ln -s x o/link; echo > o/$(cat in)', inputs: [in], outputs: ['o/**']}\n",
    );
    for name in ["a", "b"] {
        tasks.write("in", name);
        tasks.run(&["t"]).ok();
    }
    fs::remove_dir_all(tasks.path("o")).unwrap();
    tasks.run(&["t"]).ok();
    tasks.write("in", "a");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "restored");
    assert_eq!(
        fs::read_link(tasks.path("o/link")).unwrap().as_os_str(),
        "x"
    );
    assert!(tasks.path("o/empty").is_dir() && tasks.path("o/a").is_file());
    assert!(!tasks.path("o/b").exists());
}

#[test]
fn d09_soft_order_is_kept_and_an_output_that_is_read_is_waited_for() {
    let tasks = Tasks::new(
        "  second: {shell: 'cat order; echo second >> order', follows: [first]}\n  \
           first: {shell: 'sleep 0.1; echo first >> order; exit 1'}\n  \
           reads: {shell: 'cat made', inputs: [made]}\n  \
           makes: {shell: 'sleep 0.1; echo made > made', inputs: [], outputs: [made]}\n  \
           all: {command: ['true'], after: [second]}\n",
    );
    let run = tasks.run(&["--jobs", "4", "--keep-going", "all", "first"]);
    assert_eq!(run.outcome("second"), "ran", "{:?}", run.ran);
    assert_eq!(tasks.read("order"), "first\nsecond\n");
    assert_eq!(tasks.run(&["--jobs", "4", "reads"]).ok().said(), "made\n");
    // Alone, it waits for nobody.
    assert_eq!(
        tasks
            .run(&["second"])
            .ok()
            .events
            .iter()
            .filter(|e| e["event"] == "ended")
            .count(),
        1
    );
}

#[test]
fn d10_who_keeps_stdout_open_delays_nothing_and_time_is_bounded() {
    let tasks = Tasks::new(
        "  t: {shell: 'setsid sleep 60 & echo done'}\n  u: {command: [sleep, '60'], timeout: 100ms}\n",
    );
    let began = Instant::now();
    tasks.run(&["t"]).ok();
    tasks.run(&["u"]).failed_with("u", "task.timed_out");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn d11_whether_an_input_may_be_executed_counts() {
    let tasks = Tasks::new("  t: {shell: 'test -x in && echo yes || echo no', inputs: [in]}\n");
    tasks.write("in", "");
    assert_eq!(tasks.run(&["t"]).ok().said(), "no\n");
    fs::set_permissions(tasks.path("in"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(tasks.run(&["t"]).ok().said(), "yes\n");
}

#[test]
fn d12_inputs_that_change_meanwhile_are_not_cached() {
    let tasks = Tasks::new(
        "  t: {shell: 'cat in > out; echo changed > in', inputs: [in], outputs: [out]}\n",
    );
    tasks.write("in", "first");
    let run = tasks.run(&["t"]);
    assert_eq!(run.ok().ended("t")["cached"]["state"], "inputs_changed");
    assert_eq!(run.ended("t")["cached"]["changes"][0]["path"], "in");
    tasks.write("in", "first");
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "ran");
}

#[test]
fn d13_every_error_says_its_reason() {
    let tasks = Tasks::new("  t: {command: [no-such-program]}\n");
    let ran = tasks.plain(&["t"]);
    assert_eq!(ran.exit, 1);
    for part in [
        "w:t",
        "no-such-program",
        "No such file",
        "task.spawn_failed",
        "PATH",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}

#[test]
fn d14_an_environment_of_any_bytes() {
    let tasks = Tasks::new("  t: {command: [printenv, ODD], env: [ODD], inputs: []}\n");
    let odd = |bytes: &[u8]| {
        let mut command = tasks.command(&["t"]);
        command.env("ODD", std::ffi::OsStr::from_bytes(bytes));
        command.env(std::ffi::OsStr::from_bytes(b"\xff\xfe"), "x");
        TaskRun::of(Ran::of(&command.output().unwrap()))
    };
    assert_eq!(odd(b"\xff").ok().outcome("t"), "ran");
    assert_eq!(
        odd(b"\xfe").ok().outcome("t"),
        "ran",
        "another value, another result"
    );
    assert_eq!(odd(b"\xff").ok().outcome("t"), "up_to_date");
}

#[test]
fn d16_what_an_absent_declaration_means_is_safe() {
    let tasks = Tasks::new("  t: {shell: 'cat src.txt > out', outputs: [out]}\n");
    tasks.write("src.txt", "1");
    tasks.run(&["t"]).ok();
    assert_eq!(tasks.run(&["t"]).ok().outcome("t"), "up_to_date");
    tasks.write("src.txt", "2");
    assert_eq!(
        tasks.run(&["t"]).ok().outcome("t"),
        "ran",
        "undeclared, so everything counts"
    );
    assert_eq!(tasks.read("out"), "2");
    tasks.write(".gitignore", "*.log\n");
    tasks.run(&["t"]).ok();
    tasks.write("noise.log", "x");
    assert_eq!(
        tasks.run(&["t"]).ok().outcome("t"),
        "up_to_date",
        "but what git ignores"
    );
}

#[test]
fn d17_memory_does_not_grow_with_what_a_task_makes() {
    let tasks = Tasks::new(
        "  t: {shell: 'head -c 300000000 /dev/zero; head -c 500000000 /dev/zero > big', inputs: [], outputs: [big]}\n",
    );
    let mut command = std::process::Command::new("/bin/sh");
    // The peak of a process is that of its whole life, which the shell's `time` does not tell.
    let script = "\"$0\" \"$@\" > /dev/null & pid=$!; peak=0; while kill -0 $pid 2>/dev/null; do \
        now=$(sed -n 's/VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$pid/status 2>/dev/null); \
        [ -n \"$now\" ] && peak=$now; sleep 0.02; done; wait $pid; echo $peak";
    command.arg("-c").arg(script).arg(super::binary());
    let cache = tasks.path("cache");
    command
        .arg("--cache-dir")
        .arg(cache)
        .args(["task", "run", "t"]);
    let output = command.current_dir(tasks.place.path()).output().unwrap();
    let peak: u64 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap();
    assert!(peak > 1000 && peak < 100_000, "{peak} KiB");
}

#[test]
fn d19_why_answers_whatever_is_missing() {
    let tasks = Tasks::new(
        "  a: {shell: 'cat in > mid', inputs: [in], outputs: [mid]}\n  \
           b: {shell: 'cat mid > out', inputs: [mid], outputs: [out]}\n",
    );
    tasks.write("in", "1");
    let why = tasks.why("b");
    assert_eq!(
        (&why["verdict"], &why["pending"][0]),
        (&"unbuildable".into(), &"w:a".into())
    );
    tasks.run(&["b"]).ok();
    tasks.write("in", "2");
    assert_eq!(tasks.why("a")["changes"][0]["path"], "in");
}

#[test]
fn d20_names_that_are_no_text_are_inputs_and_outputs_and_two_runs_share_a_workspace() {
    let tasks = Tasks::new(
        "  t: {shell: 'for f in src/*; do cp \"$f\" o/; done; sleep 0.05', inputs: ['src/*'], outputs: ['o/*']}\n",
    );
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff\n");
    fs::create_dir_all(tasks.path("src")).unwrap();
    fs::create_dir_all(tasks.path("o")).unwrap();
    fs::write(tasks.path("src").join(odd), "1").unwrap();
    tasks.run(&["t"]).ok();
    fs::write(tasks.path("src").join(odd), "2").unwrap();
    let spawn = || tasks.command(&["t"]).spawn().unwrap();
    let runs = [spawn(), spawn(), spawn()];
    for run in runs {
        TaskRun::of(Ran::of(&run.wait_with_output().unwrap())).ok();
    }
    assert_eq!(fs::read(tasks.path("o").join(odd)).unwrap(), b"2");
}
