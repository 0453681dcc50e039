//! Processes that left their group to outlive their task. This process adopts them, so that they can be
//! found and ended.
//!
//! They are known by a variable in their environment; who removed it is not found.

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid,
};
use std::fs;
use std::io;
use std::path::Path;

/// Rounds of looking for what others had started meanwhile.
const ROUNDS_MAX: usize = 100;

/// Makes this process the parent of whatever its children leave behind.
pub(crate) fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Ends every process whose marker begins like this, and says how many there were. `after`: only such as began
/// after this one, which spares looking at all others.
pub(crate) fn end_all(marker: &str, after: Option<Pid>) -> u32 {
    let mut ended = 0;
    for _ in 0..ROUNDS_MAX {
        let found = marked(marker, after);
        if found.is_empty() {
            break;
        }
        for &pid in &found {
            if kill_process(pid, Signal::KILL).is_ok() {
                ended += 1;
            }
        }
        found.into_iter().for_each(reap);
    }
    ended
}

/// Waits for an adopted process that was killed; others have their own parents, which are ended too.
fn reap(pid: Pid) {
    let _not_ours = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
}

/// The living processes whose marker begins like this.
fn marked(marker: &str, after: Option<Pid>) -> Vec<Pid> {
    let wanted = format!("{}={marker}", crate::environment::MARKER);
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let numbers = names.filter_map(|name| name.to_str()?.parse::<i32>().ok());
    // Numbers are given in order, until they wrap around: then the end of the run finds what is left.
    let first = after.map_or(0, |pid| pid.as_raw_nonzero().get());
    let pids = numbers
        .filter(|&number| number > first)
        .filter_map(Pid::from_raw);
    pids.filter(|&pid| is_marked(pid, wanted.as_bytes()))
        .collect()
}

fn is_marked(pid: Pid, wanted: &[u8]) -> bool {
    let folder = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    let environment = fs::read(folder.join("environ")).unwrap_or_default();
    environment
        .split(|&byte| byte == 0)
        .any(|entry| entry.starts_with(wanted))
}
