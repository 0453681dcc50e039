//! Start to exit of `/bin/true` with every protection on, against `bwrap --unshare-all`, in turn.
//! The value is the ratio of the medians. The helpers are those of the
//! whole program, `mainstay`, which has to be built beside this one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark"
)]

use mainstay_runtimes::sandbox::{
    Network, Program, Sandbox, SandboxConfig, SandboxSpec, WorkspaceMount,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure());
}

/// The program, built beside this one.
fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().unwrap().parent().unwrap().join("mainstay");
    assert!(program.exists(), "build {} first", program.display());
    program
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig {
        exe: program(),
        node: "bench".to_owned(),
        scratch: folder.path().join("scratch"),
    };
    let sandbox = Sandbox::new(config).await.unwrap();
    eprintln!("{:?}", sandbox.support());
    let spec = spec(folder.path());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..220 {
        let started = Instant::now();
        let exit = sandbox.run(&spec, None).await.unwrap();
        let own = started.elapsed();
        assert_eq!(
            exit.status,
            mainstay_runtimes::sandbox::ExitKind::Code(0),
            "{exit:?}"
        );
        let started = Instant::now();
        let status = tokio::process::Command::new("bwrap")
            .args([
                "--unshare-all",
                "--ro-bind",
                "/",
                "/",
                "--proc",
                "/proc",
                "--dev",
                "/dev",
            ])
            .arg("/bin/true")
            .status()
            .await;
        let other = started.elapsed();
        if round >= 20 {
            ours.push(own);
            theirs.push(
                status
                    .ok()
                    .filter(std::process::ExitStatus::success)
                    .map(|_| other),
            );
        }
    }
    let theirs: Option<Vec<Duration>> = theirs.into_iter().collect();
    let own = median(ours);
    let other = theirs.map(median);
    let other = other.expect("bubblewrap is installed");
    println!("ours {own:.3} ms, bubblewrap {other:.3} ms");
    println!("{}", serde_json::json!({ "value": own / other }));
}

fn spec(folder: &Path) -> SandboxSpec {
    let path = |name: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    SandboxSpec {
        program: Program::Command {
            argv: vec!["/bin/true".to_owned()],
        },
        workspace: Some(WorkspaceMount::Overlay {
            lower: path("work"),
            upper: path("view/upper"),
            work: path("view/work"),
            at: path("work"),
        }),
        read: Vec::new(),
        write: Vec::new(),
        hide: Vec::new(),
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        cwd: path("work"),
        home: "/home/agent".into(),
        network: Network::None,
        memory_bytes: Some(256 << 20),
        pids: Some(64),
        timeout: Duration::from_secs(10),
        output_bytes_max: 64 << 10,
        is_weaker_allowed: true,
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
