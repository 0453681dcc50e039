//! The suites of the official clients.

use super::{Stage, npm, python, suite};
use crate::foreign::{on_path, output};
use std::path::Path;

/// Runs a suite; every check of it has to pass.
fn run(program: &Path, script: &str, modules: &Path) {
    let stage = Stage::start();
    let mut command = stage.command(program);
    command.arg(suite(script)).arg(stage.told(modules));
    let said = output(&mut command);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.ends_with(" passed, 0 failed"), "{said}");
}

#[test]
fn openais_python_client_finds_what_it_expects() {
    if let Some(python) = python("clients") {
        run(&python, "openai_suite.py", Path::new(""));
    }
}

#[test]
fn anthropics_python_client_finds_what_it_expects() {
    if let Some(python) = python("clients") {
        run(&python, "anthropic_suite.py", Path::new(""));
    }
}

#[test]
fn openais_javascript_client_finds_what_it_expects() {
    let installed = npm("openai", "openai/package.json");
    if let (Some(modules), Some(node)) = (installed, on_path("node")) {
        run(&node, "openai_suite.mjs", &modules);
    }
}
