//! What a process and its children use, as the system counts it.

use std::fs;
use std::process::Child;

/// Units of processor time a second, the same on every Linux.
const TICKS: f64 = 100.0;

/// A process that ends with its owner.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        for id in self.tree().into_iter().rev() {
            if let Ok(id) = i32::try_from(id)
                && let Some(id) = rustix::process::Pid::from_raw(id)
            {
                let _gone = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
        let _ended = self.0.wait();
    }
}

impl Process {
    /// The process and all below it, parents first.
    fn tree(&self) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|id| Some((id, stat(id)?.get(1)?.parse().ok()?)))
            .collect();
        let mut tree = vec![self.0.id()];
        let mut at = 0;
        while let Some(&parent) = tree.get(at) {
            let children = parents.iter().filter(|(_, of)| *of == parent);
            tree.extend(children.map(|(id, _)| *id));
            at += 1;
        }
        tree
    }

    /// Processor time so far, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        let of = |id: u32| {
            let fields = stat(id)?;
            let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
            Some((ticks(11)? + ticks(12)?) / TICKS)
        };
        self.tree().into_iter().filter_map(of).sum()
    }

    /// Resident memory, in MB.
    pub(crate) fn megabytes(&self) -> f64 {
        let of = |id: u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))?;
            let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kilobytes * 1024.0 / 1e6)
        };
        self.tree().into_iter().filter_map(of).sum()
    }
}

/// The fields of `/proc/ID/stat` behind the name of the program.
fn stat(id: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(ToOwned::to_owned).collect())
}
