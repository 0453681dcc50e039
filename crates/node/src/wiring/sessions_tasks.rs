//! An agent's tasks: the task runner works on the view of the session, and the sandbox runs the commands.
//!
//! What is looked up, brought back and kept is this process's work, so that no command can write to the
//! cache.

use super::sandbox_spec;
use crate::tools::{Context, Ran, ToolResult, sandboxed};
use mainstay_contract::{Code, Coded};
use mainstay_manifest::TaskTool;
use mainstay_runner::workspace::{self, Workspace};
use mainstay_runner::{
    Environment, Event, Exit, Finish, Listener, Options, Order, Runner, Stop, Store, Summary, Take,
    View,
};
use mainstay_runtimes::sandbox::{Captured, ExitKind, Program, SandboxError, WorkspaceMount};
use mainstay_runtimes::workspace::merged;
use mainstay_tasks::{Bytes, Stream};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// No more is kept of what the tasks of one call said; the cache has all of it.
const SAID_MAX: usize = 16 << 20;

/// Where every sandbox finds the host's programs.
const SYSTEM: [&str; 3] = ["/usr", "/bin", "/sbin"];

/// What came of a task and those that it needs.
pub(crate) struct TaskRan {
    pub(crate) summary: Summary,
    /// What their commands said, as it came.
    pub(crate) said: Vec<u8>,
    /// How many bytes more that were.
    pub(crate) missing: u64,
}

/// Runs a task in the view of a session.
pub(crate) async fn run_task(
    context: &Context<'_>,
    tool: &TaskTool,
    aborted: watch::Receiver<bool>,
) -> Result<TaskRan, Ran> {
    let handle = Handle::current();
    tokio::task::block_in_place(|| blocking(context, tool, aborted, handle))
}

fn blocking(
    context: &Context<'_>,
    tool: &TaskTool,
    aborted: watch::Receiver<bool>,
    handle: Handle,
) -> Result<TaskRan, Ran> {
    let internal = |error: io::Error| refused(Code::Internal, error.to_string());
    let mount = context.inner.workspaces.mount(context.session);
    let mount =
        mount.ok_or_else(|| refused(Code::Internal, "the session has no view".to_owned()))?;
    let store = Store::new(&context.inner.workspaces.cache_dir().join("tasks"));
    let workspace = load(context, mount.at(), &store)?;
    let targets = targets(&workspace, &tool.target)?;
    let view = SessionView {
        context,
        tool,
        owner: owner(mount.at()).map_err(internal)?,
        mount,
        aborted,
        handle,
        failure: Mutex::default(),
    };
    let runner = Runner::of_view(&workspace, &store, Environment::here(), &view);
    let runner = runner.map_err(internal)?;
    let options = Options {
        jobs: 1,
        is_forced: false,
        keeps_going: false,
        watch: None,
        is_open_floor: true,
    };
    let said = Said::default();
    let stop = Arc::new(Stop::new().map_err(internal)?);
    let asked = {
        let (stop, mut aborted) = (Arc::clone(&stop), view.aborted.clone());
        view.handle.spawn(async move {
            let _ended = aborted
                .wait_for(|is_aborted| *is_aborted)
                .await
                .map(|_| stop.ask());
        })
    };
    let summary = runner.run(&targets, &options, &stop, &said);
    asked.abort();
    drop(runner);
    if let Some(error) = view.failure().take() {
        return Err(Ran::unsandboxed(&error));
    }
    let (said, missing) = said.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(TaskRan {
        summary: summary.map_err(internal)?,
        said,
        missing,
    })
}

fn refused(code: Code, text: String) -> Ran {
    Ran::Ended(ToolResult::failed(code, text))
}

/// The tasks of the folder itself, which the agent cannot change: what they are given of the node's
/// environment is for its owner to say.
fn load(context: &Context<'_>, folder: &Path, store: &Store) -> Result<Workspace, Ran> {
    let served = context.inner.manifest.path();
    let served = served.filter(|path| path.parent() == Some(folder));
    let path = served.map_or_else(|| folder.join(mainstay_manifest::FILE_NAME), Path::to_owned);
    workspace::load(&path, store).map_err(|error| {
        let report = error.report();
        refused(report.code, report.message)
    })
}

fn targets(workspace: &Workspace, target: &str) -> Result<Vec<u32>, Ran> {
    let here = Bytes::default();
    let targets = workspace::targets(workspace, Some(&here), &[target.to_owned()]);
    let targets = targets.map_err(|error| {
        let report = error.report();
        refused(report.code, report.message)
    })?;
    let closure = workspace.graph.closure(&targets);
    let mut persistent = closure.iter().map(|&task| &workspace.tasks[task as usize]);
    match persistent.find(|task| task.is_persistent) {
        Some(task) => {
            let text = format!("{} stays up, which no task of an agent can", task.id);
            Err(refused(Code::ToolFailed, text))
        }
        None => Ok(targets),
    }
}

/// Whose the files of a view are, where that is not this process's user.
fn owner(folder: &Path) -> io::Result<Option<(u32, u32)>> {
    let found = folder.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    Ok((found.uid() != own).then_some((found.uid(), found.gid())))
}

struct SessionView<'c> {
    context: &'c Context<'c>,
    tool: &'c TaskTool,
    mount: WorkspaceMount,
    owner: Option<(u32, u32)>,
    aborted: watch::Receiver<bool>,
    handle: Handle,
    /// Why the sandbox did not run a command, which is no fault of the task's.
    failure: Mutex<Option<SandboxError>>,
}

impl SessionView<'_> {
    fn failure(&self) -> std::sync::MutexGuard<'_, Option<SandboxError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View for SessionView<'_> {
    fn open(&self, is_writable: bool) -> io::Result<OwnedFd> {
        merged::open(self.context.inner.sandbox.exe(), &self.mount, is_writable)
    }

    fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }

    fn folder(&self) -> PathBuf {
        let upper = match &self.mount {
            WorkspaceMount::Overlay { upper, .. } => upper,
            WorkspaceMount::Bind { source, .. } => source,
        };
        upper.with_file_name("tasks")
    }

    fn run(&self, order: &Order, stop: &Stop, say: &mut Take<'_>) -> io::Result<Finish> {
        let argv = order.arguments.iter().map(text);
        let program = Program::Command {
            argv: argv.collect::<io::Result<_>>()?,
        };
        let mut spec = sandbox_spec(self.context, program, self.tool.network);
        let variables = order.environment.iter();
        let variables = variables.map(|(name, value)| Ok((text(name)?, text(value)?)));
        spec.env = variables.collect::<io::Result<BTreeMap<_, _>>>()?;
        spec.cwd = order.cwd.clone();
        let tools = order.tools.iter();
        let is_seen = |tool: &&PathBuf| {
            let mut seen = SYSTEM
                .iter()
                .map(Path::new)
                .chain([self.mount.at().as_path()]);
            seen.any(|folder| tool.starts_with(folder))
        };
        spec.read
            .extend(tools.filter(|tool| !is_seen(tool)).cloned());
        spec.timeout = order.timeout.unwrap_or(spec.timeout).min(spec.timeout);
        let mut aborted = self.aborted.clone();
        let ran = self.handle.block_on(async {
            tokio::select! {
                ran = sandboxed(self.context, &spec) => Some(ran),
                _ = aborted.wait_for(|is_aborted| *is_aborted) => None,
            }
        });
        let Some(ran) = ran else {
            stop.ask();
            return Ok(Finish::Stopped);
        };
        let exit = match ran {
            Ok(exit) => exit,
            Err(error) => {
                let told = io::Error::other(error.to_string());
                *self.failure() = Some(error);
                return Err(told);
            }
        };
        pass_on(&exit.stdout, Stream::Stdout, say)?;
        pass_on(&exit.stderr, Stream::Stderr, say)?;
        Ok(match exit.status {
            ExitKind::Code(code) => Finish::Exited(Exit::Code(code)),
            ExitKind::Signal(signal) => Finish::Exited(Exit::Signal(signal)),
            ExitKind::OutOfMemory => Finish::OutOfMemory,
            ExitKind::TimedOut => Finish::TimedOut,
            ExitKind::Cancelled => Finish::Stopped,
        })
    }

    fn changes(&self) -> io::Result<Vec<Bytes>> {
        let changes = merged::changes(&self.mount)?;
        Ok(changes.into_iter().map(Bytes).collect())
    }
}

/// The sandbox takes its job as text.
fn text(word: &OsString) -> io::Result<String> {
    word.clone().into_string().map_err(|word| {
        let text = format!("`{}` is no UTF-8, which a sandbox needs", word.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// Passes on all that a command said on one stream.
fn pass_on(captured: &Captured, stream: Stream, say: &mut Take<'_>) -> io::Result<()> {
    if captured.is_full_cut {
        let text = "it said more than a sandbox keeps";
        return Err(io::Error::other(text));
    }
    match &captured.full {
        Some(path) => {
            let mut file = std::fs::File::open(path)?;
            let mut buffer = vec![0; 64 << 10];
            loop {
                match io::Read::read(&mut file, &mut buffer)? {
                    0 => return Ok(()),
                    count => say(stream, &buffer[..count])?,
                }
            }
        }
        None => {
            say(stream, &captured.head)?;
            say(stream, &captured.tail)
        }
    }
}

/// What the commands said, for the model.
#[derive(Default)]
struct Said(Mutex<(Vec<u8>, u64)>);

impl Listener for Said {
    fn on(&self, event: &Event<'_>) {
        let Event::Output { bytes, .. } = event else {
            return;
        };
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SAID_MAX.saturating_sub(said.0.len()).min(bytes.len());
        said.0.extend_from_slice(&bytes[..room]);
        said.1 += (bytes.len() - room) as u64;
    }
}
