//! The native sandbox: one run of one tool, in namespaces of its own, with bounds that hold.
//!
//! The node never forks. It starts its own program again as a helper (see [`sandbox_main`]), gives it
//! the job over a socket, and reads the tool's output. Dropping the future, or dying, closes the
//! socket, and with it everything that the run started ends.

pub(crate) mod bpf;
mod capture;
mod cgroup;
mod helper;
mod job;
mod run;
mod spec;
mod support;
pub(crate) mod sys;
mod zygote;

pub use capture::{Chunk, Stream};
pub(crate) use helper::{Failed, Step};
pub use helper::{InProcess, sandbox_main};
pub use run::{Sandbox, SandboxConfig};
pub use spec::{
    Captured, ExitKind, Network, Program, SandboxError, SandboxExit, SandboxSpec, WorkspaceMount,
};
pub use support::HostSupport;
