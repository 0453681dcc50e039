//! `task affected`: the workspace as it is, against what git has of it.

use super::Opened;
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::{Code, Coded, ErrorReport};
use mainstay_runner::workspace;
use mainstay_runner::{Because, Environment, Runner, Store, affected};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tempfile::TempDir;

pub(super) fn run(context: &Context, since: &str) -> Result<ExitCode, CliError> {
    let opened = Opened::new(context)?;
    let checkout = checkout(&opened.workspace.root, since)?;
    let name = opened.manifest.file_name().unwrap_or_default();
    let old = checkout.workspace.join(name);
    let store = Store::new(&checkout.folder.path().join("cache"));
    let now = opened.runner()?;
    let found = match workspace::load(&old, &store) {
        Ok(before) => {
            let failed = |error| CliError::File {
                path: checkout.workspace.clone(),
                error,
            };
            let before = Runner::new(&before, &store, Environment::here()).map_err(failed)?;
            affected(&now, &before)
        }
        // Nothing can be the same as what was not there, or could not be understood.
        Err(error) => {
            let report = error.report();
            context.output.note(&format!(
                "everything: {since} has no sound manifest: {}",
                report.message
            ));
            let tasks = opened.workspace.tasks.iter();
            tasks
                .map(|task| mainstay_runner::Affected {
                    task: task.id.clone(),
                    because: Because::New,
                })
                .collect()
        }
    };
    for one in &found {
        if context.output.is_json {
            context.output.json(one);
        } else {
            context
                .output
                .line(&format!("{}: {}", one.task, told(&one.because)));
        }
    }
    if found.is_empty() {
        context.output.note("no task is affected");
    }
    Ok(ExitCode::SUCCESS)
}

fn told(because: &Because) -> String {
    match because {
        Because::New => "is new".to_owned(),
        Because::Changed { changes } => {
            let first = changes.iter().take(3).map(super::show::change);
            let more = match changes.len() {
                0..=3 => String::new(),
                count => format!(" and {} more", count - 3),
            };
            format!("{}{more}", first.collect::<Vec<_>>().join(", "))
        }
        Because::Unknown => "its inputs cannot be read in one of both states".to_owned(),
        Because::Upstream { of } => format!("needs {of}"),
    }
}

/// What git has of a workspace, in a folder of its own.
struct Checkout {
    folder: TempDir,
    workspace: PathBuf,
}

/// Writes out a revision, without touching git's own state.
fn checkout(root: &Path, revision: &str) -> Result<Checkout, CliError> {
    let top = git(root, &["rev-parse", "--show-toplevel"], None)?;
    let top = Path::new(top.trim_end()).to_owned();
    let commit = format!("{revision}^{{commit}}");
    git(
        root,
        &[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ],
        None,
    )
    .map_err(|_| {
        let message = format!("git knows no revision `{revision}`");
        let report = ErrorReport::new(Code::NotFound, message).about("revision", revision);
        CliError::from(
            report.hint("in a shallow clone, fetch it first: git fetch --deepen or --unshallow"),
        )
    })?;
    let failed = |error| CliError::File {
        path: std::env::temp_dir(),
        error,
    };
    let folder = TempDir::new().map_err(failed)?;
    // Called as it is here: a project without `name` is called like its folder.
    let tree = folder.path().join("tree");
    let tree = tree.join(top.file_name().unwrap_or_default());
    std::fs::create_dir_all(&tree).map_err(failed)?;
    let index = folder.path().join("index");
    git(&top, &["read-tree", &commit], Some(&index))?;
    let prefix = format!("--prefix={}/", tree.display());
    git(
        &top,
        &["checkout-index", "--all", "--force", &prefix],
        Some(&index),
    )?;
    let inner = root.strip_prefix(&top).unwrap_or(Path::new(""));
    let workspace = tree.join(inner);
    Ok(Checkout { folder, workspace })
}

fn git(folder: &Path, args: &[&str], index: Option<&Path>) -> Result<String, CliError> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(args);
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    let failed = |why: String| {
        let message = format!("git {} failed: {why}", args.first().unwrap_or(&""));
        CliError::from(
            ErrorReport::new(Code::InvalidRequest, message).hint("is this a git repository?"),
        )
    };
    let output = command
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
