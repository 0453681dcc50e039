//! A sandbox with a folder to work in.

use mainstay_runtimes::sandbox::{
    Captured, ExitKind, Network, Program, Sandbox, SandboxConfig, SandboxError, SandboxExit,
    SandboxSpec, WorkspaceMount,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Place {
    pub(super) folder: TempDir,
    pub(super) sandbox: Sandbox,
    name: String,
}

impl Place {
    pub(super) async fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mainstay-sandbox-")
            .tempdir()
            .unwrap();
        for name in ["work", "view/upper", "view/work"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("work/kept"), "as it was\n").unwrap();
        fs::write(folder.path().join("outside"), "a secret of the host\n").unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let sandbox = Sandbox::new(SandboxConfig {
            exe: exe(),
            node: name.clone(),
            scratch: folder.path().join("scratch"),
        });
        let sandbox = sandbox.await.unwrap();
        Self {
            sandbox,
            folder,
            name,
        }
    }

    /// The sandbox of the next node on the same data.
    pub(super) async fn again(self) -> Self {
        let config = SandboxConfig {
            exe: exe(),
            node: self.name.clone(),
            scratch: self.path("scratch"),
        };
        let Self {
            folder,
            sandbox,
            name,
        } = self;
        std::mem::forget(sandbox);
        let sandbox = Sandbox::new(config).await.unwrap();
        Self {
            folder,
            sandbox,
            name,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A shell script in the view, with every fence up.
    pub(super) fn script(&self, script: &str) -> SandboxSpec {
        SandboxSpec {
            program: Program::Command {
                argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            },
            workspace: Some(WorkspaceMount::Overlay {
                lower: self.path("work"),
                upper: self.path("view/upper"),
                work: self.path("view/work"),
                at: self.path("work"),
            }),
            read: Vec::new(),
            write: Vec::new(),
            hide: Vec::new(),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin:/usr/sbin".to_owned())]),
            cwd: self.path("work"),
            home: PathBuf::from("/home/agent"),
            network: Network::None,
            memory_bytes: None,
            pids: None,
            timeout: LIMIT,
            output_bytes_max: 64 << 10,
            is_weaker_allowed: true,
        }
    }

    pub(super) async fn run(&self, spec: &SandboxSpec) -> SandboxExit {
        self.sandbox.run(spec, None).await.unwrap()
    }

    /// What a script prints; it must end well.
    pub(super) async fn prints(&self, script: &str) -> String {
        let exit = self.run(&self.script(script)).await;
        let said = (text(&exit.stdout), text(&exit.stderr));
        assert_eq!(exit.status, ExitKind::Code(0), "{script}: {said:?}");
        said.0
    }

    /// Asserts that a script fails.
    pub(super) async fn fails(&self, script: &str) {
        let exit = self.run(&self.script(script)).await;
        let said = (text(&exit.stdout), text(&exit.stderr));
        assert!(
            !matches!(exit.status, ExitKind::Code(0)),
            "{script}: {said:?}"
        );
    }

    pub(super) async fn refused(&self, spec: &SandboxSpec) -> SandboxError {
        self.sandbox.run(spec, None).await.unwrap_err()
    }

    /// Control groups of this sandbox's runs.
    pub(super) fn groups(&self) -> Vec<PathBuf> {
        let own = format!("mainstay-{}", self.name);
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if folder.ends_with(&own) {
                    found.push(entry.path());
                }
                folders.push(entry.path());
            }
        }
        found
    }
}

/// The program that is started again.
fn exe() -> PathBuf {
    match std::env::var_os("MAINSTAY_TEST_HELPER") {
        Some(exe) => exe.into(),
        None => env!("CARGO_BIN_EXE_sandbox_helper").into(),
    }
}

/// All of a stream that is at hand.
pub(super) fn text(stream: &Captured) -> String {
    let bytes = [stream.head.as_slice(), &stream.tail].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a process has this text in its command line.
pub(super) fn is_running(marker: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(marker))
}

/// Waits for a condition.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(super) fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}
