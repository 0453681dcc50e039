//! `task`: cached commands. Works in this process, beside whatever else works on the same cache; a run can
//! also be asked of a node.

mod affected;
mod console;
mod elsewhere;
mod profile;
mod run;
mod show;
mod watch;

use crate::args::TaskCommand;
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::{Code, Coded, ErrorReport};
use mainstay_runner::workspace::{self, Workspace};
use mainstay_runner::{Environment, Runner, Store};
use mainstay_tasks::Bytes;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) async fn run(context: &Context, command: TaskCommand) -> Result<ExitCode, CliError> {
    if context.is_remote() && !matches!(command, TaskCommand::Run(_)) {
        let message =
            "this looks at the workspace here; a node elsewhere can only be asked to run tasks";
        let report = ErrorReport::new(Code::InvalidRequest, message);
        return Err(report.hint("leave --url out").into());
    }
    match command {
        TaskCommand::Run(args) => run::run(context, args).await,
        TaskCommand::Why { target } => show::why(context, &target),
        TaskCommand::Affected { since } => affected::run(context, &since),
        TaskCommand::Ls => show::list(context),
        TaskCommand::Graph(args) => show::graph(context, &args),
    }
}

/// A workspace and the cache, opened.
struct Opened {
    /// Its manifest.
    manifest: PathBuf,
    workspace: Workspace,
    store: Store,
}

impl Opened {
    fn new(context: &Context) -> Result<Self, CliError> {
        let manifest = context.workspace_manifest()?;
        let store = store(context)?;
        let workspace = workspace::load(&manifest, &store).map_err(|error| error.report())?;
        Ok(Self {
            manifest,
            workspace,
            store,
        })
    }

    fn runner(&self) -> Result<Runner<'_>, CliError> {
        let root = &self.workspace.root;
        let runner = Runner::new(&self.workspace, &self.store, Environment::here());
        runner.map_err(|error| CliError::File {
            path: root.clone(),
            error,
        })
    }

    /// The tasks that words mean, seen from the current folder.
    fn targets(&self, words: &[String]) -> Result<Vec<u32>, CliError> {
        let here = std::env::current_dir().and_then(|here| here.canonicalize());
        let here = here.ok().and_then(|here| {
            let inner = here.strip_prefix(&self.workspace.root).ok()?;
            Some(Bytes::from(inner.as_os_str().as_bytes()))
        });
        let found = workspace::targets(&self.workspace, here.as_ref(), words);
        found.map_err(|error| error.report().into())
    }
}

/// The cache of results.
pub(crate) fn store(context: &Context) -> Result<Store, CliError> {
    Ok(Store::new(&context.cache_dir()?.join("tasks")))
}
