//! What this host can do of it, tried once and for real.

use super::error::{At, ObserveError};
use super::report::Observed;
use super::spec::{Mode, ObserveSpec};
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// Which modes there are on this host.
#[derive(Debug)]
pub struct ObserveSupport {
    /// Whether commands can be traced; otherwise why not.
    pub trace: Result<(), ObserveError>,
    /// Whether declarations can be enforced; otherwise why not.
    pub enforce: Result<(), ObserveError>,
}

impl ObserveSupport {
    /// Tries both with a program that calls [`super::observe_main`]. `scratch` is an empty folder, on the
    /// file system of the workspaces, that the caller removes.
    #[must_use]
    pub fn probe(exe: &Path, scratch: &Path) -> Self {
        let attempt = |name: &str, mode| attempt(exe, &scratch.join(name), mode);
        Self {
            trace: attempt("trace", Mode::Trace),
            enforce: attempt("enforce", Mode::Enforce),
        }
    }
}

/// Runs what cannot be executed, a folder: the kernel asks about it all the same.
fn attempt(exe: &Path, scratch: &Path, mode: Mode) -> Result<(), ObserveError> {
    let (root, stage) = (scratch.join("root"), scratch.join("stage"));
    for folder in [&root, &stage] {
        fs::create_dir_all(folder).at(folder)?;
    }
    let root = fs::canonicalize(&root).at(&root)?;
    let spec = ObserveSpec {
        mode,
        report: scratch.join("report"),
        inputs: vec![root.join("input")],
        root,
        stage: Some(stage),
        outputs: Vec::new(),
    };
    let input = spec.root.join("input");
    fs::write(&input, "").at(&input)?;
    let file = scratch.join("spec");
    spec.write(&file)?;
    let mut wrapper = ObserveSpec::wrap(exe, &file);
    wrapper.arg(&spec.root).current_dir(&spec.root);
    let quiet = wrapper.stdin(Stdio::null());
    let quiet = quiet.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().at(exe)?;
    Observed::read(&spec.report).map(drop)
}
