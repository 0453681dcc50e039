//! What this host can enforce, tried once and for real.

use super::cgroup::Hierarchy;
use serde::Serialize;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a node found out about its host.
#[derive(Debug, Clone, Serialize)]
pub struct HostSupport {
    /// Whether the node runs as root.
    pub is_root: bool,
    /// Whether a sandbox with every namespace could be started; otherwise why not.
    pub namespaces: Result<(), String>,
    /// Whether an overlay could be mounted inside one; otherwise why not.
    pub overlay: Result<(), String>,
    /// `v1`, `v2`, or none that the node may use.
    pub cgroup: Option<&'static str>,
    /// Whether Landlock is there.
    pub landlock: bool,
    /// Whether seccomp filters are there.
    pub seccomp: bool,
}

pub(super) fn has_landlock() -> bool {
    let names = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    names.split(',').any(|name| name.trim() == "landlock") || landlock_version() > 0
}

fn landlock_version() -> i64 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call takes no struct and only answers with a number.
    unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            VERSION,
        )
    }
}

pub(super) fn has_seccomp() -> bool {
    Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}

pub(super) fn cgroup_version(hierarchy: Option<&Hierarchy>) -> Option<&'static str> {
    hierarchy.map(|hierarchy| match hierarchy {
        Hierarchy::V1 { .. } => "v1",
        Hierarchy::V2 { .. } => "v2",
    })
}

/// What below the system folders only root can read: found once, covered in every run as root.
pub(super) fn masks() -> Vec<PathBuf> {
    let mut masks = Vec::new();
    let mut folders = vec![PathBuf::from("/etc")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else {
                continue;
            };
            let others = if found.is_dir() { 0o5 } else { 0o4 };
            if found.is_symlink() {
                continue;
            }
            if found.mode() & others != others {
                masks.push(entry.path());
            } else if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    masks
}
