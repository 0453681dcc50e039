//! Control groups, version 1 and 2, behind one small face: make, join, ask whether the kernel killed
//! for memory, remove. Found through the process's own membership, so that a node inside a container
//! stays inside it.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often and how patiently a group is removed: its processes are dead, but the kernel may not
/// have noticed.
const REMOVE_TRIES: u32 = 200;
const REMOVE_PAUSE: Duration = Duration::from_millis(1);

/// Where groups can be made on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Hierarchy {
    /// One folder per controller.
    V1 { memory: PathBuf, pids: PathBuf },
    /// One folder for both.
    V2 { group: PathBuf },
}

/// A group to be made for one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CgroupPlace {
    pub(super) hierarchy: Hierarchy,
    pub(super) name: String,
    pub(super) memory_bytes: Option<u64>,
    pub(super) pids: Option<u32>,
}

/// A group of one run.
#[derive(Debug)]
pub(super) struct Cgroup {
    folders: Vec<PathBuf>,
    memory: PathBuf,
    is_v1: bool,
}

/// The way into a group. Moving any other process than oneself makes the kernel wait until every
/// processor has taken note, which takes longer than all the rest of a start.
#[derive(Debug)]
pub(super) enum Door {
    /// The process itself writes to these.
    Files(Vec<File>),
    /// Version 2: it is cloned into this folder.
    Group(File),
}

impl Door {
    /// Lets the calling process in, which has one thread, where it was not cloned into the group.
    pub(super) fn enter(&self) -> io::Result<()> {
        match self {
            Self::Files(files) => files.iter().try_for_each(|mut file| file.write_all(b"0")),
            Self::Group(_) => Ok(()),
        }
    }

    pub(super) fn group(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Files(_) => None,
            Self::Group(folder) => Some(folder.as_fd()),
        }
    }
}

impl Hierarchy {
    /// The groups of a node, made where this process may make groups.
    pub(super) fn find(node: &str) -> Option<Self> {
        let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let found = find_v1(&membership, &mounts).or_else(|| find_v2(&membership, &mounts))?;
        found.prepare(node)
    }

    fn prepare(self, node: &str) -> Option<Self> {
        let made = |folder: PathBuf| {
            let folder = folder.join(node);
            fs::create_dir_all(&folder).ok().map(|()| folder)
        };
        match self {
            Self::V1 { memory, pids } => {
                let (memory, pids) = (made(memory)?, made(pids)?);
                Some(Self::V1 { memory, pids })
            }
            Self::V2 { group } => {
                fs::write(group.join("cgroup.subtree_control"), "+memory +pids").ok()?;
                let group = made(group)?;
                fs::write(group.join("cgroup.subtree_control"), "+memory +pids").ok()?;
                Some(Self::V2 { group })
            }
        }
    }

    fn folders(&self) -> Vec<&Path> {
        match self {
            Self::V1 { memory, pids } => vec![memory, pids],
            Self::V2 { group } => vec![group],
        }
    }

    /// Kills and removes what dead helpers left in a node's groups.
    pub(super) fn sweep(&self) {
        for folder in self.folders() {
            let Ok(entries) = fs::read_dir(folder) else {
                continue;
            };
            for group in entries.flatten().filter(|entry| entry.path().is_dir()) {
                kill_all(&group.path());
                remove(&group.path());
            }
        }
    }

    /// Removes the node's own, empty groups.
    pub(super) fn remove(&self) {
        for folder in self.folders() {
            let _in_use_or_gone = fs::remove_dir(folder);
        }
    }
}

impl Cgroup {
    pub(super) fn create(place: &CgroupPlace) -> io::Result<Self> {
        let (folders, memory, is_v1) = match &place.hierarchy {
            Hierarchy::V1 { memory, pids } => {
                let mut folders = Vec::new();
                let memory = memory.join(&place.name);
                if place.memory_bytes.is_some() {
                    folders.push(memory.clone());
                }
                if place.pids.is_some() {
                    folders.push(pids.join(&place.name));
                }
                (folders, memory, true)
            }
            Hierarchy::V2 { group } => {
                let group = group.join(&place.name);
                (vec![group.clone()], group, false)
            }
        };
        for folder in &folders {
            fs::create_dir(folder)?;
        }
        let made = Self {
            folders,
            memory,
            is_v1,
        };
        made.limit(place).inspect_err(|_| made.remove_folders())?;
        Ok(made)
    }

    fn limit(&self, place: &CgroupPlace) -> io::Result<()> {
        if let Some(bytes) = place.memory_bytes {
            let bytes = bytes.to_string();
            if self.is_v1 {
                fs::write(self.memory.join("memory.limit_in_bytes"), &bytes)?;
                // Without swap accounting there is no such file, and then no swap to count.
                ignore_missing(fs::write(
                    self.memory.join("memory.memsw.limit_in_bytes"),
                    &bytes,
                ))?;
            } else {
                fs::write(self.memory.join("memory.max"), &bytes)?;
                ignore_missing(fs::write(self.memory.join("memory.swap.max"), "0"))?;
            }
        }
        if let Some(pids) = place.pids {
            // Init is one of them, and not the tool's.
            let most = (u64::from(pids) + 1).to_string();
            let folder = self.folders.last().unwrap_or(&self.memory);
            fs::write(folder.join("pids.max"), most)?;
        }
        Ok(())
    }

    /// Opens the way in for a process to be made.
    pub(super) fn door(&self) -> io::Result<Door> {
        let open = |path: PathBuf| File::options().write(true).open(path);
        if self.is_v1 {
            let tasks = self.folders.iter().map(|folder| open(folder.join("tasks")));
            return Ok(Door::Files(tasks.collect::<io::Result<_>>()?));
        }
        File::open(&self.memory).map(Door::Group)
    }

    /// The way in where processes cannot be cloned into a group.
    pub(super) fn slow_door(&self) -> io::Result<Door> {
        let file = self.memory.join("cgroup.procs");
        let file = File::options().write(true).open(file)?;
        Ok(Door::Files(vec![file]))
    }

    /// Whether the kernel killed a process of the group for want of memory.
    pub(super) fn has_killed(&self) -> bool {
        let file = if self.is_v1 {
            "memory.oom_control"
        } else {
            "memory.events"
        };
        let Ok(text) = fs::read_to_string(self.memory.join(file)) else {
            return false;
        };
        text.lines().any(|line| {
            line.strip_prefix("oom_kill ")
                .is_some_and(|count| count != "0")
        })
    }

    pub(super) fn remove(self) {
        self.remove_folders();
    }

    fn remove_folders(&self) {
        self.folders.iter().for_each(|folder| remove(folder));
    }
}

fn remove(folder: &Path) {
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir(folder) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => thread::sleep(REMOVE_PAUSE),
            _ => return,
        }
    }
}

fn kill_all(group: &Path) {
    if fs::write(group.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let Ok(processes) = fs::read_to_string(group.join("cgroup.procs")) else {
        return;
    };
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        let _gone = super::sys::kill(pid, libc::SIGKILL);
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // In a tmpfs stand-in and in kernels without the file, creation is what fails.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

fn find_v1(membership: &str, mounts: &str) -> Option<Hierarchy> {
    let folder = |controller: &str| {
        let path = membership.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            let path = parts.next()?;
            controllers
                .split(',')
                .any(|name| name == controller)
                .then_some(path)
        })?;
        let (root, mount) = mounts.lines().find_map(|line| {
            let (front, back) = line.split_once(" - ")?;
            let mut back = back.split(' ');
            let is_v1 = back.next()? == "cgroup";
            let options = back.nth(1)?;
            let mut front = front.split(' ').skip(3);
            let (root, mount) = (front.next()?, front.next()?);
            let has_controller = options.split(',').any(|name| name == controller);
            (is_v1 && has_controller).then_some((root, mount))
        })?;
        existing(mount, root, path)
    };
    Some(Hierarchy::V1 {
        memory: folder("memory")?,
        pids: folder("pids")?,
    })
}

fn find_v2(membership: &str, mounts: &str) -> Option<Hierarchy> {
    let path = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?;
    let (root, mount) = mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        back.starts_with("cgroup2 ")
            .then_some((front.next()?, front.next()?))
    })?;
    let group = existing(mount, root, path)?;
    let controllers = fs::read_to_string(group.join("cgroup.controllers")).ok()?;
    let has = |name| controllers.split_whitespace().any(|found| found == name);
    (has("memory") && has("pids")).then_some(Hierarchy::V2 { group })
}

/// The folder of a membership path below a mount that shows `root`.
fn existing(mount: &str, root: &str, path: &str) -> Option<PathBuf> {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let folder = Path::new(mount).join(relative.trim_start_matches('/'));
    folder.is_dir().then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) -> CgroupPlace {
        CgroupPlace {
            hierarchy: Hierarchy::V2 {
                group: folder.to_owned(),
            },
            name: "run".to_owned(),
            memory_bytes: Some(1 << 20),
            pids: Some(7),
        }
    }

    #[test]
    fn version_2_is_written_as_the_kernel_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let group = Cgroup::create(&place(folder.path())).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join("run").join(name)).unwrap();
        assert_eq!(read("memory.max"), "1048576");
        assert_eq!(read("memory.swap.max"), "0");
        assert_eq!(read("pids.max"), "8");
        assert!(group.door().unwrap().group().is_some());
        assert!(!group.has_killed());
        fs::write(
            folder.path().join("run/memory.events"),
            "oom 1\noom_kill 1\n",
        )
        .unwrap();
        assert!(group.has_killed());
    }

    #[test]
    fn membership_is_found_in_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().display();
        let mounts = format!("31 24 0:27 / {mount} rw - cgroup cgroup rw,memory,pids\n");
        let found = find_v1("4:memory,pids:/\n0::/\n", &mounts);
        assert!(matches!(found, Some(Hierarchy::V1 { .. })), "{found:?}");
        fs::write(
            folder.path().join("cgroup.controllers"),
            "cpu memory pids\n",
        )
        .unwrap();
        let mounts = format!("31 24 0:27 / {mount} rw - cgroup2 cgroup2 rw\n");
        let found = find_v2("0::/\n", &mounts);
        assert_eq!(
            found,
            Some(Hierarchy::V2 {
                group: folder.path().to_owned()
            })
        );
    }
}
