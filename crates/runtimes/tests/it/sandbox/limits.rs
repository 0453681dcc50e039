//! Nothing that runs inside can take more than it was given, or hold up its end.

use super::place::{Place, is_root, is_running, text, until};
use mainstay_runtimes::sandbox::{ExitKind, Program, Stream};
use std::time::{Duration, Instant};

#[tokio::test]
async fn time_is_limited_whatever_signals_are_ignored() {
    let place = Place::new().await;
    let mut spec = place.script("trap '' TERM INT HUP; echo begun; while :; do sleep 9; done");
    spec.timeout = Duration::from_millis(300);
    let exit = place.run(&spec).await;
    assert_eq!(exit.status, ExitKind::TimedOut);
    assert_eq!(text(&exit.stdout), "begun\n");
}

#[tokio::test]
async fn what_stays_behind_dies_with_its_tool() {
    let place = Place::new().await;
    let marker = format!("98765{}", std::process::id());
    let script = format!("setsid -f sleep {marker}; (sleep {marker} &) ; echo done");
    let started = Instant::now();
    let exit = place.run(&place.script(&script)).await;
    assert_eq!(exit.status, ExitKind::Code(0));
    assert_eq!(text(&exit.stdout), "done\n");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(!is_running(&marker));
}

#[tokio::test]
async fn forks_without_end_come_to_one() {
    let place = Place::new().await;
    let mut spec = place.script("f() { f | f & }; f; sleep 1; echo alive");
    spec.pids = Some(40);
    spec.timeout = Duration::from_secs(10);
    let exit = place.run(&spec).await;
    if let Some(weaker) = exit.weaker.iter().find(|what| what.starts_with("pids")) {
        return println!("skipped: {weaker}");
    }
    let said = text(&exit.stderr);
    assert!(
        said.contains("ork") || exit.status == ExitKind::TimedOut,
        "{said}"
    );
    place.prints("true").await;
}

#[tokio::test]
async fn memory_is_limited() {
    let place = Place::new().await;
    let mut spec = place.script("python3 -c 'x = bytearray(400 << 20); print(len(x))'");
    spec.memory_bytes = Some(100 << 20);
    let exit = place.run(&spec).await;
    assert_ne!(exit.status, ExitKind::Code(0), "{}", text(&exit.stdout));
    if exit.weaker.is_empty() {
        assert_eq!(exit.status, ExitKind::OutOfMemory);
    }
    spec.memory_bytes = Some(800 << 20);
    assert_eq!(place.run(&spec).await.status, ExitKind::Code(0));
}

#[tokio::test]
async fn what_cannot_be_enforced_is_refused_unless_less_will_do() {
    let place = Place::new().await;
    let mut spec = place.script("true");
    spec.memory_bytes = Some(100 << 20);
    spec.is_weaker_allowed = false;
    if place.sandbox.support().cgroup.is_some() {
        assert!(place.run(&spec).await.weaker.is_empty());
        return;
    }
    let refused = place.refused(&spec).await.to_string();
    assert!(refused.contains("memory"), "{refused}");
    spec.is_weaker_allowed = true;
    assert_eq!(place.run(&spec).await.weaker.len(), 1);
}

#[tokio::test]
async fn a_gigabyte_of_output_is_kept_without_holding_it() {
    let place = Place::new().await;
    let mut spec = place.script("head -c 1000000000 /dev/zero | tr '\\0' x; echo the end");
    spec.output_bytes_max = 10_000;
    let before = resident();
    let exit = place.run(&spec).await;
    assert_eq!(exit.status, ExitKind::Code(0));
    let stdout = &exit.stdout;
    assert_eq!(stdout.total_bytes, 1_000_000_008);
    assert!(stdout.is_cut());
    assert!(stdout.head.len() + stdout.tail.len() <= 10_000);
    assert!(stdout.tail.ends_with(b"xthe end\n"));
    assert!(stdout.full.as_ref().is_some_and(|file| file.exists()));
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more are resident");
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

#[tokio::test]
async fn output_comes_as_it_is_made_and_as_it_is() {
    let place = Place::new().await;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
    let spec = place.script("printf '\\377\\376ok'; echo aside >&2; read line; sleep 60");
    let run = place.sandbox.run(&spec, Some(sender));
    let seen = async {
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let (stream, bytes) = receiver.recv().await.unwrap();
            if stream == Stream::Stdout {
                seen.extend(bytes);
            }
        }
        seen
    };
    tokio::select! {
        exit = run => panic!("it ended: {exit:?}"),
        seen = seen => assert_eq!(seen, b"\xff\xfeok"),
    }
}

#[tokio::test]
async fn giving_up_kills_everything() {
    let place = Place::new().await;
    let marker = format!("87654{}", std::process::id());
    let spec = place.script(&format!("setsid -f sleep {marker}; sleep {marker}"));
    let run = place.sandbox.run(&spec, None);
    tokio::select! {
        exit = run => panic!("it ended: {exit:?}"),
        () = until("it runs", || is_running(&marker)) => {}
    }
    until("all is dead", || !is_running(&marker)).await;
    until("its group is gone", || place.groups().is_empty()).await;
}

#[tokio::test]
async fn our_own_code_is_fenced_in_like_any_other() {
    let place = Place::new().await;
    let mut spec = place.script("");
    spec.program = Program::InProcess(serde_json::json!({}));
    spec.timeout = Duration::from_millis(200);
    assert_eq!(place.run(&spec).await.status, ExitKind::TimedOut);
}

#[tokio::test]
async fn how_a_tool_ended_is_told() {
    let place = Place::new().await;
    let exit = place.run(&place.script("exit 7")).await;
    assert_eq!(exit.status, ExitKind::Code(7));
    let exit = place.run(&place.script("kill -9 $$")).await;
    assert_eq!(exit.status, ExitKind::Signal(9));
    let mut spec = place.script("");
    for (program, code) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        spec.program = Program::Command {
            argv: vec![program.to_owned()],
        };
        let exit = place.run(&spec).await;
        assert_eq!(exit.status, ExitKind::Code(code), "{}", text(&exit.stderr));
    }
}

#[tokio::test]
async fn many_run_at_once() {
    let place = Place::new().await;
    let spec = place.script("read x < /proc/uptime; sleep 0.1; echo $$");
    let spec = mainstay_runtimes::sandbox::SandboxSpec {
        workspace: None,
        cwd: "/".into(),
        pids: is_root().then_some(20),
        ..spec
    };
    let runs = (0..24).map(|_| place.sandbox.run(&spec, None));
    for exit in futures_util::future::join_all(runs).await {
        assert_eq!(exit.unwrap().status, ExitKind::Code(0));
    }
    place.sandbox.settled().await;
    assert_eq!(place.groups(), Vec::<std::path::PathBuf>::new());
}
