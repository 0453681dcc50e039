//! What a command does to the files of a workspace: which it reads, writes and looks for; and, where
//! asked, that it sees the declared ones only.
//!
//! A runner starts this program again as a wrapper in place of the command (see [`observe_main`] and
//! [`ObserveSpec::wrap`]). Three processes take part:
//!
//! - the *wrapper* stands where the command would: in the runner's process group, with its standard
//!   streams. It only waits, and ends as the command does;
//! - the *observer*, in a process group of its own so that no signal to the command ends it, answers
//!   the kernel's notifications, reaps, and writes the report. When the wrapper is killed it kills
//!   whatever the command has started, in new sessions too;
//! - the *command*, in the runner's process group, with a filter that makes the kernel ask the observer
//!   before each system call that takes a path (`seccomp_unotify(2)`).
//!
//! The observer always lets the call go on, so what is recorded is what the command asked for, judged
//! by what was there at that moment. That is about declarations and keys of a cache, not security: a
//! command that wants to deceive can. What is not seen: paths that the kernel itself opens (the ELF
//! interpreter), sockets, extended attributes, watches, and what a command does after `chroot` or in
//! mount namespaces of its own, whose paths are read as if they were the host's. For an ordinary user
//! the filter takes `no_new_privs`, so programs with the set-user-id bit gain nothing.
//!
//! Processes that the command leaves behind go on and are no longer recorded once it has ended.

mod calls;
mod command;
mod descendants;
mod error;
mod filter;
mod intent;
mod listener;
mod observer;
mod paths;
mod record;
mod report;
mod resolve;
mod spec;
mod stage;
mod support;
mod sys;
mod target;
mod tracer;
mod wrapper;

pub use error::ObserveError;
pub use report::{Access, Observed, SpawnError};
pub use spec::{Mode, ObserveSpec};
pub use support::ObserveSupport;
pub use wrapper::{EXIT_UNOBSERVED, observe_main};
