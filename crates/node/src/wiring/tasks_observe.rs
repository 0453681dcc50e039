//! The task runner's watcher: commands run under the observer of the runtimes.

use mainstay_runner::{Seen, Watch, WatchOrder, Watcher};
use mainstay_runtimes::observe::{Access, Mode, ObserveError, ObserveSpec, Observed};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// Watches commands of tasks.
#[derive(Debug)]
pub struct TaskWatcher {
    exe: PathBuf,
}

impl TaskWatcher {
    /// `exe`: this program, which is started again for each command.
    #[must_use]
    pub fn new(exe: PathBuf) -> Self {
        Self { exe }
    }
}

fn spec(order: &WatchOrder) -> PathBuf {
    order.scratch.join("spec")
}

fn report(order: &WatchOrder) -> PathBuf {
    order.scratch.join("report")
}

fn failed(error: ObserveError) -> io::Error {
    io::Error::other(error)
}

impl Watcher for TaskWatcher {
    fn wrap(&self, order: &WatchOrder) -> io::Result<Vec<OsString>> {
        let (mode, stage) = match order.watch {
            Watch::Trace => (Mode::Trace, None),
            Watch::Enforce => (Mode::Enforce, Some(order.stage.clone())),
        };
        let told = ObserveSpec {
            mode,
            report: report(order),
            root: order.root.clone(),
            stage,
            inputs: order.inputs.clone(),
            outputs: order.outputs.clone(),
        };
        let file = spec(order);
        told.write(&file).map_err(failed)?;
        let command = ObserveSpec::wrap(&self.exe, &file);
        let mut words = vec![command.get_program().to_owned()];
        words.extend(command.get_args().map(ToOwned::to_owned));
        Ok(words)
    }

    fn seen(&self, order: &WatchOrder) -> io::Result<Seen> {
        let observed = Observed::read(&report(order)).map_err(failed)?;
        let of = |is: fn(&Access) -> bool| {
            let accesses = observed.accesses.iter().filter(|access| is(access));
            accesses.map(|access| access.path.clone()).collect()
        };
        Ok(Seen {
            spawn_errno: observed.spawn_error.map(|error| error.errno),
            read: of(|access| access.existed && (access.read || access.executed)),
            written: of(|access| access.written),
            hidden: observed.hidden,
            is_truncated: observed.truncated,
        })
    }
}
