//! `init --from`: manifests from the set-up of another task runner, and all that they cannot say.

use crate::args::From;
use crate::commands::init::create;
use crate::context::Context;
use crate::error::CliError;
use ignore::WalkBuilder;
use mainstay_contract::{Code, ErrorReport};
use mainstay_manifest::import::{Imported, Runner, Workspace, import};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(context: &Context, dir: &Path, from: From) -> Result<ExitCode, CliError> {
    let runner = match from {
        From::Turbo => Runner::Turbo,
        From::Make => Runner::Make,
        From::Npm => Runner::Npm,
    };
    let workspace = workspace(dir, runner)?;
    let imported = import(runner, &workspace);
    let Imported { files, notes } = imported.map_err(|error| {
        CliError::from(ErrorReport::new(Code::InvalidRequest, error.to_string()))
    })?;
    let mut written = Vec::new();
    for (path, text) in files {
        let path = dir.join(path);
        create(&path, &text)?;
        written.push(path);
    }
    if context.output.is_json {
        context
            .output
            .json(&json!({"written": written, "notes": notes}));
        return Ok(ExitCode::SUCCESS);
    }
    for path in &written {
        context.output.line(&format!("wrote {}", path.display()));
    }
    for note in &notes {
        context.output.line(&format!("not carried over: {note}"));
    }
    context
        .output
        .note("next: mainstay check, then mainstay task ls");
    Ok(ExitCode::SUCCESS)
}

/// The files below a folder that git does not ignore, and the texts that matter.
fn workspace(dir: &Path, runner: Runner) -> Result<Workspace, CliError> {
    let failed = |error| CliError::File {
        path: dir.to_owned(),
        error,
    };
    let root = dir.canonicalize().map_err(failed)?;
    let mut files = BTreeSet::new();
    let mut texts = BTreeMap::new();
    // Outside of a repository the rules of `.gitignore` hold as well.
    let walk = WalkBuilder::new(&root)
        .hidden(false)
        .require_git(false)
        .build();
    for entry in walk {
        let entry = entry.map_err(|error| failed(std::io::Error::other(error)))?;
        let is_own = entry
            .path()
            .components()
            .any(|part| part.as_os_str() == ".git");
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        let relative = entry.path().strip_prefix(&root).ok().and_then(Path::to_str);
        let Some(relative) = relative.filter(|_| is_file && !is_own) else {
            continue;
        };
        if runner.reads(relative) {
            let text = std::fs::read(entry.path()).map_err(failed)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            texts.insert(relative.to_owned(), text);
        }
        files.insert(relative.to_owned());
    }
    let name = root
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Workspace { name, files, texts })
}
