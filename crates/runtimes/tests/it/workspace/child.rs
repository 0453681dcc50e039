//! What runs in a mount namespace of its own, or as another user.

use super::random::change;
use super::snapshot::compare;
use mainstay_runtimes::sandbox::WorkspaceMount;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;

const TOLD: &str = "MAINSTAY_TEST_CHILD";

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Step {
    /// Random changes, the same in every folder.
    Change {
        seed: u64,
        count: usize,
        roots: Vec<PathBuf>,
    },
    /// A shell script in a folder.
    Script { script: String, root: PathBuf },
    /// Two folders must look the same.
    Compare {
        left: PathBuf,
        right: PathBuf,
        is_mounted: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    mount: Option<WorkspaceMount>,
    steps: Vec<Step>,
}

/// Performs steps where a view is mounted, as root of a user namespace. Answers with where it was.
pub(super) fn inside(mount: Option<WorkspaceMount>, steps: Vec<Step>) {
    let told = serde_json::to_string(&Told { mount, steps }).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--"]);
    command.arg(std::env::current_exe().unwrap());
    test(&mut command, "workspace::child::told", Some(&told));
}

/// Runs one of our tests as an ordinary user.
pub(super) fn as_ordinary_user(name: &str) {
    let top = tempfile::tempdir().unwrap();
    let exe = top.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    rustix::fs::chmod(top.path(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    let home = top.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(1000), Some(1000)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=1000", "--regid=1000", "--clear-groups", "--"]);
    command.arg(exe).env("TMPDIR", &home).current_dir(&home);
    test(&mut command, name, None);
}

fn test(command: &mut Command, name: &str, told: Option<&str>) {
    command.args([name, "--exact", "--include-ignored", "--nocapture"]);
    if let Some(told) = told {
        command.env(TOLD, told);
    }
    let done = command.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{out}{err}");
    assert!(out.contains("1 passed"), "{name} did not run: {out}{err}");
}

#[test]
#[ignore = "started by other tests"]
fn told() {
    let Ok(told) = std::env::var(TOLD) else {
        return;
    };
    let told: Told = serde_json::from_str(&told).unwrap();
    if let Some(WorkspaceMount::Overlay {
        lower,
        upper,
        work,
        at,
    }) = &told.mount
    {
        let options = format!(
            "userxattr,lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("overlay", at, "overlay", flags, options.as_c_str()).unwrap();
    }
    for step in &told.steps {
        match step {
            Step::Change { seed, count, roots } => change(*seed, *count, roots),
            Step::Script { script, root } => shell(script, root),
            Step::Compare {
                left,
                right,
                is_mounted,
            } => compare(left, right, *is_mounted),
        }
    }
}

fn shell(script: &str, root: &Path) {
    let mut command = Command::new("sh");
    let status = command.args(["-euc", script]).current_dir(root).status();
    assert!(status.unwrap().success(), "{script}");
}
