//! The example: a small shell program of our own with a bug in its rounding, and its tests.

use crate::error::CliError;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::process::Command;

macro_rules! embedded {
    ($($path:literal $mode:literal,)*) => {
        &[$(($path, $mode, include_str!(concat!("../../demo/", $path)))),*]
    };
}

const FILES: &[(&str, u32, &str)] = embedded! {
    "mainstay.yaml" 0o644,
    "script.yaml" 0o644,
    "repository/README.md" 0o644,
    "repository/ledger" 0o755,
    "repository/lib/money.sh" 0o644,
    "repository/tests/run" 0o755,
    "repository/tests/cases/books.invoice" 0o644,
    "repository/tests/cases/books.expected" 0o644,
    "repository/tests/cases/cables.invoice" 0o644,
    "repository/tests/cases/cables.expected" 0o644,
    "repository/tests/cases/coffee.invoice" 0o644,
    "repository/tests/cases/coffee.expected" 0o644,
    "repository/tests/cases/empty.invoice" 0o644,
    "repository/tests/cases/empty.expected" 0o644,
    "repository/tests/cases/furniture.invoice" 0o644,
    "repository/tests/cases/furniture.expected" 0o644,
};

/// One unpacked example with its own manifest, data directory and cache.
pub(super) struct Repository {
    pub(super) root: PathBuf,
}

/// What the test-suite said.
pub(super) struct Tests {
    pub(super) summary: String,
    pub(super) is_passing: bool,
}

impl Repository {
    pub(super) fn unpack(root: &Path, tracker_port: u16) -> Result<Self, CliError> {
        for (path, mode, text) in FILES {
            let path = root.join(path);
            let text = text.replace("TRACKER_PORT", &tracker_port.to_string());
            write(&path, *mode, &text).map_err(|error| CliError::File { path, error })?;
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.root.join("repository")
    }

    /// This program, set on this example's manifest, data and cache.
    pub(super) fn command(&self) -> Result<Command, CliError> {
        let exe = std::env::current_exe().map_err(|error| CliError::File {
            path: PathBuf::from("/proc/self/exe"),
            error,
        })?;
        let mut command = Command::new(exe);
        command
            .arg("-f")
            .arg(self.root.join("mainstay.yaml"))
            .arg("--data-dir")
            .arg(self.root.join(".mainstay"))
            .arg("--cache-dir")
            .arg(self.root.join(".cache"));
        Ok(command)
    }

    /// Runs the example's own tests in a folder.
    pub(super) async fn tests(&self, folder: &Path) -> Result<Tests, CliError> {
        let ran = Command::new(folder.join("tests/run")).output().await;
        let ran = ran.map_err(|error| CliError::File {
            path: folder.join("tests/run"),
            error,
        })?;
        let text = String::from_utf8_lossy(&ran.stdout);
        let summary = text.lines().last().unwrap_or_default().to_owned();
        Ok(Tests {
            summary,
            is_passing: ran.status.success(),
        })
    }

    /// What the agent changed, as `session diff` shows it.
    pub(super) async fn diff(&self, session: &str) -> Result<String, CliError> {
        self.session_verb("diff", session).await
    }

    /// Brings the changes home.
    pub(super) async fn apply(&self, session: &str) -> Result<String, CliError> {
        self.session_verb("apply", session).await
    }

    async fn session_verb(&self, verb: &str, session: &str) -> Result<String, CliError> {
        let ran = self
            .command()?
            .args(["session", verb, session])
            .output()
            .await;
        let ran = ran.map_err(|error| CliError::Runtime(error.to_string()))?;
        if !ran.status.success() {
            let why = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
            return Err(CliError::Runtime(format!("session {verb} failed: {why}")));
        }
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    pub(super) fn remove(self) -> Result<(), CliError> {
        fs::remove_dir_all(&self.root).map_err(|error| CliError::File {
            path: self.root,
            error,
        })
    }
}

fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
