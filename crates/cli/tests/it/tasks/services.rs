//! Tasks that stay up, and commands that run jobs of their own.

use super::Tasks;
use crate::harness::wait_until;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn those_behind_it_begin_once_it_is_ready_and_it_ends_with_the_run() {
    let tasks = Tasks::new(
        "  server: {shell: 'echo starting; sleep 0.2; echo > flag; echo now up; exec sleep 300', persistent: true, ready: {line: up}}\n  \
           test: {command: [test, -e, flag], after: [server]}\n",
    );
    let began = Instant::now();
    let run = tasks.run(&["--jobs", "1", "test"]);
    assert_eq!(run.ok().outcome("test"), "ran", "{:?}", run.ran);
    assert_eq!(
        run.outcome("server"),
        "ran",
        "nobody asked for it, so it was ended"
    );
    assert!(began.elapsed() < Duration::from_secs(30));
    let events: Vec<String> = run
        .events
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                event["event"].as_str().unwrap(),
                event["task"].as_str().unwrap_or_default()
            )
        })
        .collect();
    let at = |wanted: &str| events.iter().position(|event| event == wanted).unwrap();
    assert!(at("ready w:server") < at("started w:test"), "{events:?}");
}

#[test]
fn who_asks_for_it_keeps_it() {
    let tasks = Tasks::new(
        "  server: {shell: 'echo up; exec sleep 300', persistent: true}\n  other: {command: ['true']}\n",
    );
    let log = tasks.path("log");
    let mut command = tasks.command(&["server"]);
    command.stdout(Stdio::from(std::fs::File::create(&log).unwrap()));
    let mut child = command.spawn().unwrap();
    wait_until("it is ready", || {
        std::fs::read_to_string(&log).unwrap().contains("\"ready\"")
    });
    // Another run of the workspace is not kept waiting by it.
    tasks.run(&["other"]).ok();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn who_is_never_ready_fails() {
    let tasks = Tasks::new(
        "  late: {command: [sleep, '300'], persistent: true, ready: {line: up, timeout: 100ms}}\n  \
           dies: {command: [sh, -c, 'exit 4'], persistent: true, ready: {line: up}}\n  \
           gone: {command: [no-such-program], persistent: true}\n  \
           test: {command: ['true'], after: [late]}\n",
    );
    let run = tasks.run(&["test"]);
    assert_eq!(
        (run.outcome("late"), run.outcome("test")),
        ("not_ready", "skipped"),
        "{:?}",
        run.ran
    );
    run.failed_with("late", "task.timed_out");
    tasks.run(&["dies"]).failed_with("dies", "task.failed");
    tasks
        .run(&["gone"])
        .failed_with("gone", "task.spawn_failed");
}

#[test]
fn a_signal_is_heard_while_nobody_is_ready() {
    let tasks = Tasks::new(
        "  server: {shell: 'echo begun; exec sleep 300', persistent: true, ready: {line: never}}\n  \
           test: {command: ['true'], after: [server]}\n",
    );
    let log = tasks.path("log");
    let mut command = tasks.command(&["test"]);
    command.stdout(Stdio::from(std::fs::File::create(&log).unwrap()));
    let mut child = command.spawn().unwrap();
    wait_until("it begins", || {
        std::fs::read_to_string(&log).unwrap().contains("begun")
    });
    let asked = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(asked.elapsed() < Duration::from_secs(30));
    let events = tasks.read("log");
    for task in ["w:server", "w:test"] {
        let cancelled = format!("\"task\":\"{task}\",\"outcome\":\"cancelled\"");
        assert!(events.contains(&cancelled), "{task}: {events}");
    }
}

#[test]
fn a_port_shows_that_it_is_ready() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let binary = super::binary();
    let tasks = Tasks::new(&format!(
        "  server: {{command: [{binary}, --cache-dir, served, cache, serve, --listen, '{free}'], persistent: true, ready: {{port: {}}}}}\n  \
           test: {{command: ['true'], after: [server]}}\n",
        free.port()
    ));
    assert_eq!(tasks.run(&["test"]).ok().outcome("test"), "ran");
}

#[test]
fn who_listens_on_its_port_already_is_not_taken_for_it() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let tasks = Tasks::new(&format!(
        "  server: {{shell: 'touch begun; exec sleep 300', persistent: true, ready: {{port: {port}}}}}\n  \
           test: {{command: ['true'], after: [server]}}\n"
    ));
    let run = tasks.run(&["test"]);
    let data = run.failed_with("server", "task.spawn_failed");
    assert_eq!(data["kind"], "port_taken");
    assert_eq!(run.outcome("test"), "skipped");
    assert!(!tasks.path("begun").exists());
}

#[test]
fn who_listens_on_the_port_of_a_command_that_is_gone_is_not_taken_for_it() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    // Somebody who cannot be found holds its output open, so that its end is not told at once.
    let tasks = Tasks::new(&format!(
        "  server: {{shell: 'env -i setsid sh -c \"touch left; exec sleep 3\" & until test -e left; do sleep 0.01; done; echo $$ > pid; exit 3', persistent: true, ready: {{port: {}}}}}\n  \
           test: {{command: ['true'], after: [server]}}\n",
        free.port()
    ));
    let run = tasks.command(&["test"]).stdout(Stdio::piped()).spawn();
    let run = run.unwrap();
    wait_until("its command is gone", || {
        let pid = std::fs::read_to_string(tasks.path("pid")).unwrap_or_default();
        pid.ends_with('\n') && !std::path::Path::new("/proc").join(pid.trim()).exists()
    });
    let _other = std::net::TcpListener::bind(free).unwrap();
    let run = crate::harness::Ran::of(&run.wait_with_output().unwrap());
    let run = super::TaskRun::of(run);
    run.failed_with("server", "task.failed");
    assert_eq!(run.outcome("test"), "skipped");
}

#[test]
fn a_command_gets_its_share_of_the_jobs() {
    let tasks =
        Tasks::new("  t: {shell: 'make all', inputs: [Makefile], weight: 2, jobserver: true}\n");
    // Each waits for the other: one job alone would wait for ever.
    let wait = |own: &str, other: &str| {
        format!(
            "{own}:\n\techo > {own}.on; i=0; while [ ! -e {other}.on ] && [ $$i -lt 500 ]; do sleep 0.01; i=$$((i+1)); done; test -e {other}.on\n"
        )
    };
    tasks.write(
        "Makefile",
        &format!("all: a b\n{}{}", wait("a", "b"), wait("b", "a")),
    );
    if std::process::Command::new("make")
        .arg("--version")
        .output()
        .is_err()
    {
        return crate::harness::skipped("there is no make");
    }
    tasks.run(&["--jobs", "2", "t"]).ok();
}
