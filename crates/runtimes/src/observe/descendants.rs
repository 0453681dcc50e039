//! Ends whatever the command has started. The observer is the one to whom all of it falls when parents
//! die (`PR_SET_CHILD_SUBREAPER`), so killing its children until it has none leaves nobody.

use crate::sandbox::sys;
use std::fs;

/// Kills and reaps all children, and those that become children by it.
pub(super) fn kill() {
    loop {
        for child in children() {
            let _it_ended = sys::kill(child, libc::SIGKILL);
        }
        if sys::wait(-1).is_err() {
            return;
        }
    }
}

/// The processes whose parent this is.
fn children() -> Vec<libc::pid_t> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = std::process::id().to_string();
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid).as_ref() == Some(&own))
        .collect()
}

/// The second field after the name, which may hold anything but ends with the last parenthesis.
fn parent(pid: libc::pid_t) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1).map(str::to_owned)
}
