//! What the tool may still ask of the kernel, once nothing more has to be set up.

use super::super::job::Job;
use super::super::spec::WorkspaceMount;
use super::super::sys;
use super::Failed;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use std::io;
use std::path::PathBuf;

/// No tool needs more open files, and no host gives less.
const OPEN_FILES_MAX: u64 = 16_384;

/// Limits by the kernel's older means: always some, and where there is no control group all.
pub(super) fn limits(job: &Job) -> io::Result<()> {
    sys::set_limit(libc::RLIMIT_CORE, 0)?;
    sys::set_limit(libc::RLIMIT_NOFILE, OPEN_FILES_MAX)?;
    if let Some(bytes) = job.memory_bytes {
        sys::set_limit(libc::RLIMIT_AS, bytes)?;
    }
    if let Some(pids) = job.pids {
        sys::set_limit(libc::RLIMIT_NPROC, u64::from(pids))?;
    }
    // The tool dies before the node does when memory is short.
    std::fs::write("/proc/self/oom_score_adj", "500").or_else(|error| match error.raw_os_error() {
        Some(libc::EROFS | libc::EACCES) => Ok(()),
        _ => Err(error),
    })
}

/// Landlock (Linux 5.13 and later): a second fence that does not rest on mounts.
pub(super) fn landlock(job: &Job) -> Result<(), Failed> {
    restrict(job).map_err(|error| ("setting up Landlock", io::Error::other(error.to_string())))
}

fn restrict(job: &Job) -> Result<(), landlock::RulesetError> {
    let abi = ABI::V6;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .scope(Scope::AbstractUnixSocket)?
        .scope(Scope::Signal)?
        .create()?;
    if let Ok(all) = PathFd::new("/") {
        rules = rules.add_rule(PathBeneath::new(all, AccessFs::from_read(abi)))?;
    }
    for path in writable(job) {
        if let Ok(path) = PathFd::new(&path) {
            rules = rules.add_rule(PathBeneath::new(path, AccessFs::from_all(abi)))?;
        }
    }
    rules.restrict_self()?;
    Ok(())
}

fn writable(job: &Job) -> impl Iterator<Item = PathBuf> {
    let fixed = ["/tmp", "/var/tmp", "/run", "/dev", "/proc"].map(PathBuf::from);
    let workspace = job.spec.workspace.as_ref().map(WorkspaceMount::at).cloned();
    let asked = job.spec.write.iter().cloned();
    fixed
        .into_iter()
        .chain([job.spec.home.clone()])
        .chain(workspace)
        .chain(asked)
}
