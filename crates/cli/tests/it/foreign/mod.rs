//! Bazel and Turborepo, as they are, with `mainstay cache serve` as their remote cache. `cargo xtask test`
//! installs them; without one its test is skipped, or fails where `MAINSTAY_TEST_INSTALL` is set.

mod bazel;
mod turborepo;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program from the system's path.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program));
    found.into_iter().find(|path| path.is_file())
}

/// A program that `cargo xtask test` puts below the target folder.
pub(crate) fn tool(path: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let path = target.join("tools").join(path);
    path.is_file().then_some(path)
}

/// Says why a test does not run.
pub(crate) fn or_skip(program: Option<PathBuf>, name: &str) -> Option<PathBuf> {
    if program.is_none() {
        let is_wanted = std::env::var_os("MAINSTAY_TEST_INSTALL").is_some();
        assert!(!is_wanted, "{name} is not installed");
        crate::harness::skipped(&format!("{name} is not installed"));
    }
    program
}

/// Everything that a command prints; it must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let ended = command.output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ended.status.success(), "{command:?}: {said}");
    said
}

fn write_all(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
