//! Runs tasks: builds their keys, asks the cache, runs commands, keeps what they make and brings it back.
//!
//! Ordinary threads, no runtime: each job sits in one thread from its key to its end. What to do next is
//! decided by the pure `tasks` crate.

mod affected;
mod declared;
mod disk;
mod environment;
mod files;
mod keys;
mod lines;
mod observe;
mod outputs;
mod process;
mod remote;
mod restore;
mod rounds;
mod run;
mod state;
mod store;
mod threads;
mod view;
mod why;
pub mod workspace;

pub use affected::{Affected, Because, affected};
pub use environment::Environment;
pub use lines::{event_line, summary_line};
pub use observe::{Seen, Undeclared, Watch, WatchOrder, Watcher};
pub use process::{Exit, Jobserver, JobserverError, Stop, Take};
pub use remote::{Remote, RemoteBlob, RemoteResult};
pub use rounds::{Difference, LookBack, Next, Rounds, in_rounds};
pub use run::{
    Cached, Event, ExitWord, Listener, Options, Outcome, Runner, Summary, TaskRecord, totals,
};
pub use store::{Budget, Collected, Store, Usage};
pub use threads::STACK;
pub use view::{Finish, Order, View};
pub use why::{Reason, Verdict, Why};
