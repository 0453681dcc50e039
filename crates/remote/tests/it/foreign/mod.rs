//! A server that is not ours, as it is: BuildGrid, for our client. `cargo xtask test` installs them; without one its test is skipped, or fails
//! where `MAINSTAY_TEST_INSTALL` is set.

mod buildgrid;

use std::path::{Path, PathBuf};

/// A program that `cargo xtask test` puts below the target folder.
fn tool(path: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let path = target.join("tools").join(path);
    path.is_file().then_some(path)
}

/// Says why a test does not run.
fn or_skip(program: Option<PathBuf>, name: &str) -> Option<PathBuf> {
    if program.is_none() {
        let is_wanted = std::env::var_os("MAINSTAY_TEST_INSTALL").is_some();
        assert!(!is_wanted, "{name} is not installed");
        println!("skipped: {name} is not installed");
    }
    program
}
