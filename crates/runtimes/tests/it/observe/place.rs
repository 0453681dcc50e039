//! A workspace, and a wrapper to run commands in it.

use mainstay_runtimes::observe::{Access, Mode, ObserveSpec, Observed};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder with a workspace, `work`, a few files in it, and what a run needs beside it.
pub(super) struct Place {
    folder: tempfile::TempDir,
    pub(super) spec: ObserveSpec,
}

impl Place {
    pub(super) fn new(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        let root = top.join("work");
        for name in ["work/src", "work/docs", "stage"] {
            fs::create_dir_all(top.join(name)).unwrap();
        }
        for name in ["src/one", "src/two", "docs/three"] {
            fs::write(root.join(name), format!("{name}\n")).unwrap();
        }
        let spec = ObserveSpec {
            mode,
            report: top.join("report"),
            stage: Some(top.join("stage")),
            root,
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        Self { folder, spec }
    }

    /// Declares inputs and outputs.
    pub(super) fn declare(mut self, inputs: &[&str], outputs: &[&str]) -> Self {
        self.spec.inputs = inputs.iter().map(|name| self.path(name)).collect();
        self.spec.outputs = outputs.iter().map(|name| self.path(name)).collect();
        self
    }

    /// A path in the workspace.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.spec.root.join(name)
    }

    /// A path where the command writes.
    pub(super) fn staged(&self, name: &str) -> PathBuf {
        self.spec.stage.as_ref().unwrap().join(name)
    }

    /// The wrapper, as a runner starts it, for a program that is still to be added.
    pub(super) fn wrapper(&self) -> Command {
        let file = self.folder.path().join("spec");
        self.spec.write(&file).unwrap();
        let mut wrapper = ObserveSpec::wrap(&helper(), &file);
        wrapper.current_dir(&self.spec.root);
        wrapper.stdin(Stdio::null()).process_group(0);
        wrapper.stdout(Stdio::piped()).stderr(Stdio::piped());
        wrapper
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, argv: &[&str]) -> (Output, Observed) {
        let output = self.wrapper().args(argv).output().unwrap();
        (output, self.report())
    }

    /// Runs a script that has to succeed.
    pub(super) fn script(&self, script: &str) -> (String, Observed) {
        let (output, observed) = self.run(&["sh", "-c", &format!("set -e; {script}")]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
        (String::from_utf8(output.stdout).unwrap(), observed)
    }

    /// Runs a script that is not observed. Programs are made so, because a file that this process had
    /// open could not be executed while another test starts something.
    pub(super) fn plain(&self, script: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("set -e; {script}")]);
        let output = shell
            .current_dir(&self.spec.root)
            .stdin(Stdio::null())
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn report(&self) -> Observed {
        Observed::read(&self.spec.report).unwrap()
    }

    /// Each access as its path below the root and the first letters of what was asked: `r`ead,
    /// `w`ritten, `e`xecuted, looked `f`or, `l`isted, and `-` where nothing was there before.
    pub(super) fn accesses(&self, observed: &Observed) -> Vec<String> {
        let told = observed.accesses.iter().map(|access| {
            let path = access.path.strip_prefix(&self.spec.root).unwrap();
            format!("{} {}", path.display(), letters(access))
        });
        told.collect()
    }

    /// Paths below the root, as text.
    pub(super) fn names(&self, paths: &[PathBuf]) -> Vec<String> {
        let inside = paths
            .iter()
            .map(|path| path.strip_prefix(&self.spec.root).unwrap());
        inside.map(|path| path.display().to_string()).collect()
    }
}

fn letters(access: &Access) -> String {
    let all = [
        (access.read, 'r'),
        (access.written, 'w'),
        (access.executed, 'e'),
        (access.looked_for, 'f'),
        (access.listed, 'l'),
        (!access.existed, '-'),
    ];
    let there = all.iter().filter(|(is_there, _)| *is_there);
    there.map(|(_, letter)| letter).collect()
}

/// The program that has the wrapper in it.
pub(super) fn helper() -> PathBuf {
    std::env::var_os("MAINSTAY_TEST_HELPER").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_sandbox_helper")),
        PathBuf::from,
    )
}

/// Whether there is a program with this name.
pub(super) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// Waits for a condition.
pub(super) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::yield_now();
    }
}

/// The processes that have this text in their command line.
pub(super) fn processes(text: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = i32::try_from(std::process::id()).unwrap();
    pids.filter(|pid: &i32| {
        let line = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"));
        *pid != own && String::from_utf8_lossy(&line.unwrap_or_default()).contains(text)
    })
    .collect()
}
