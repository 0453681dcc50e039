//! How the wrapper ends, and what it leaves behind.

use super::place::{Place, processes, wait_until};
use mainstay_runtimes::observe::{EXIT_UNOBSERVED, Mode, ObserveError, Observed, SpawnError};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

const BOTH: [Mode; 2] = [Mode::Trace, Mode::Enforce];

#[test]
fn it_ends_as_the_command_does() {
    for mode in BOTH {
        for code in [0, 1, 42, 125, 255] {
            let (output, _) = Place::new(mode).run(&["sh", "-c", &format!("exit {code}")]);
            assert_eq!(output.status.code(), Some(code));
        }
        for (name, signal) in [("KILL", 9), ("TERM", 15), ("SEGV", 11), ("PIPE", 13)] {
            let place = Place::new(mode);
            let (output, observed) = place.run(&["sh", "-c", &format!("kill -{name} $$")]);
            assert_eq!(output.status.signal(), Some(signal));
            assert_eq!(observed.spawn_error, None);
        }
    }
}

#[test]
fn what_cannot_be_executed_is_told() {
    let place = Place::new(Mode::Trace);
    place.plain("printf '\\001\\002' > src/two; chmod 755 src/two");
    let cases = [
        ("./absent", libc_errno::ENOENT),
        ("no-such-program-anywhere", libc_errno::ENOENT),
        ("./src/one", libc_errno::EACCES),
        ("./src/two", libc_errno::ENOEXEC),
        ("./src/one/below", libc_errno::ENOTDIR),
    ];
    for (program, errno) in cases {
        let (output, observed) = place.run(&[program]);
        assert_eq!(
            observed.spawn_error,
            Some(SpawnError { errno }),
            "{program}"
        );
        assert!(!output.status.success());
    }
    let (_, observed) = place.run(&["./absent"]);
    assert_eq!(place.accesses(&observed), ["absent f-"]);
}

/// Of Linux, on all architectures.
mod libc_errno {
    pub(super) const ENOENT: i32 = 2;
    pub(super) const ENOEXEC: i32 = 8;
    pub(super) const EACCES: i32 = 13;
    pub(super) const ENOTDIR: i32 = 20;
}

#[test]
fn what_cannot_be_observed_is_not_run() {
    let mut place = Place::new(Mode::Enforce);
    place.spec.stage = Some(place.path("no-such-stage"));
    let output = place.wrapper().args(["touch", "made"]).output().unwrap();
    assert_eq!(output.status.code(), Some(EXIT_UNOBSERVED));
    let refused = Observed::read(&place.spec.report).unwrap_err();
    assert!(matches!(&refused, ObserveError::Setup { step, .. } if step == "mounting the stage"));
    assert!(!place.path("made").exists());

    place.spec.stage = None;
    let output = place.wrapper().arg("true").output().unwrap();
    assert_eq!(output.status.code(), Some(EXIT_UNOBSERVED));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no stage"));
}

#[test]
fn a_signal_to_the_group_reaches_the_command() {
    for mode in BOTH {
        let place = Place::new(mode).declare(&["src/one"], &[]);
        let script = "trap 'cat src/one; exit 7' TERM; echo ready; while :; do :; done";
        let mut wrapper = place.wrapper().args(["sh", "-c", script]).spawn().unwrap();
        let mut said = BufReader::new(wrapper.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        kill("TERM", &format!("-{}", wrapper.id()));
        said.read_to_string(&mut line).unwrap();
        assert_eq!(line, "ready\nsrc/one\n");
        assert_eq!(wrapper.wait().unwrap().code(), Some(7));
        let accesses = place.accesses(&place.report());
        assert!(accesses.contains(&"src/one r".to_owned()), "{accesses:?}");
    }
}

#[test]
fn a_killed_wrapper_leaves_nothing() {
    for (mode, whole_group) in [
        (Mode::Trace, false),
        (Mode::Trace, true),
        (Mode::Enforce, false),
        (Mode::Enforce, true),
    ] {
        let place = Place::new(mode);
        let mark = place.spec.root.display().to_string();
        let wait = format!("exec tail -f /dev/null {mark}");
        let script = format!("setsid sh -c 'echo ready; {wait}' & {wait}");
        let mut wrapper = place.wrapper().args(["sh", "-c", &script]).spawn().unwrap();
        let mut said = BufReader::new(wrapper.stdout.take().unwrap());
        said.read_line(&mut String::new()).unwrap();
        let group = if whole_group { "-" } else { "" };
        kill("KILL", &format!("{group}{}", wrapper.id()));
        assert_eq!(wrapper.wait().unwrap().signal(), Some(9));
        wait_until("the end of all", || processes(&mark).is_empty());
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&mark), "{mounts}");
    }
}

#[test]
fn a_killed_observer_takes_the_command_with_it() {
    let place = Place::new(Mode::Trace);
    let mark = place.spec.root.display().to_string();
    let script = format!("echo ready; exec tail -f /dev/null {mark}");
    let mut wrapper = place.wrapper().args(["sh", "-c", &script]).spawn().unwrap();
    let mut said = BufReader::new(wrapper.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    let own = i32::try_from(wrapper.id()).unwrap();
    let others = processes("__observe");
    let observer = others.into_iter().find(|pid| parent(*pid) == Some(own));
    kill("KILL", &observer.unwrap().to_string());
    let output = wrapper.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(EXIT_UNOBSERVED));
    assert!(String::from_utf8_lossy(&output.stderr).contains("killed"));
    wait_until("the end of the command", || processes(&mark).is_empty());
    assert!(!place.spec.report.exists());
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line?.trim().parse().ok()
}

#[test]
fn nobody_is_observed_twice() {
    let outer = Place::new(Mode::Trace);
    let inner = Place::new(Mode::Trace);
    let mut nested = inner.wrapper();
    nested.arg("true");
    let argv = std::iter::once(nested.get_program()).chain(nested.get_args());
    let output = outer.wrapper().args(argv).output().unwrap();
    assert_eq!(output.status.code(), Some(EXIT_UNOBSERVED));
    let refused = Observed::read(&inner.spec.report).unwrap_err();
    assert!(refused.to_string().contains("busy"), "{refused}");
    assert_eq!(outer.report().spawn_error, None);
}

#[test]
fn what_is_left_behind_goes_on() {
    let place = Place::new(Mode::Trace);
    let script = "(exec > /dev/null 2>&1; while ! test -e docs/go; do :; done; \
                   cat src/one > docs/done.partial; mv docs/done.partial docs/done) & exit 4";
    let (output, _) = place.run(&["sh", "-c", script]);
    assert_eq!(output.status.code(), Some(4));
    fs::write(place.path("docs/go"), "").unwrap();
    wait_until("its work", || place.path("docs/done").exists());
    let done = fs::read_to_string(place.path("docs/done")).unwrap();
    assert_eq!(done, "src/one\n");
}

#[test]
fn the_command_inherits_streams_and_nothing_more() {
    for mode in BOTH {
        let place = Place::new(mode);
        for script in [
            "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done",
            "pwd; umask; ulimit -a; env | grep -v ^_=",
            "grep -e SigBlk -e SigIgn -e SigCgt /proc/self/status",
        ] {
            assert_eq!(place.script(script).0, place.plain(script));
        }
    }
}

fn kill(signal: &str, target: &str) {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), "--", target])
        .status();
    assert!(status.unwrap().success());
}
