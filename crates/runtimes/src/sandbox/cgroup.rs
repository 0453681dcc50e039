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
        let v1 = find_v1(&membership, &mounts);
        v1.and_then(|(memory, pids)| Self::prepare_v1(&memory, &pids, node))
            .or_else(|| Self::prepare_v2(&find_v2(&membership, &mounts)?, node))
    }

    fn prepare_v1(memory: &Path, pids: &Path, node: &str) -> Option<Self> {
        let (memory, pids) = (memory.join(node), pids.join(node));
        for folder in [&memory, &pids] {
            fs::create_dir_all(folder).ok()?;
        }
        Some(Self::V1 { memory, pids })
    }

    /// A group that holds processes, as the node's own does, cannot have groups with limits below it;
    /// those go beside it then, as close as they may.
    fn prepare_v2(own: &OwnGroup, node: &str) -> Option<Self> {
        let above = own.group.ancestors();
        above
            .take_while(|folder| folder.starts_with(&own.mount))
            .find_map(|folder| {
                let group = folder.join(node);
                share_controllers(folder).ok()?;
                fs::create_dir_all(&group).ok()?;
                let shared = share_controllers(&group);
                let _empty = shared.as_ref().map_err(|_| fs::remove_dir(&group));
                shared.ok().map(|()| Self::V2 { group })
            })
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

fn find_v1(membership: &str, mounts: &str) -> Option<(PathBuf, PathBuf)> {
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
    Some((folder("memory")?, folder("pids")?))
}

/// The node's own group of version 2, and where its hierarchy is mounted.
#[derive(Debug, PartialEq, Eq)]
struct OwnGroup {
    mount: PathBuf,
    group: PathBuf,
}

fn find_v2(membership: &str, mounts: &str) -> Option<OwnGroup> {
    let path = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?;
    let (root, mount) = mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        back.starts_with("cgroup2 ")
            .then_some((front.next()?, front.next()?))
    })?;
    Some(OwnGroup {
        group: existing(mount, root, path)?,
        mount: PathBuf::from(mount),
    })
}

/// Lets the groups below a group have limits.
fn share_controllers(group: &Path) -> io::Result<()> {
    let controllers = fs::read_to_string(group.join("cgroup.controllers"))?;
    let has = |name| controllers.split_whitespace().any(|found| found == name);
    if !(has("memory") && has("pids")) {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    fs::write(group.join("cgroup.subtree_control"), "+memory +pids")
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
        let own = folder.path().to_owned();
        assert_eq!(found, Some((own.clone(), own.clone())));
        fs::create_dir(own.join("slice")).unwrap();
        let mounts = format!("31 24 0:27 / {mount} rw - cgroup2 cgroup2 rw\n");
        let found = find_v2("0::/slice\n", &mounts);
        let group = own.join("slice");
        assert_eq!(found, Some(OwnGroup { mount: own, group }));
    }

    /// A group of version 2 as the kernel shows it; one that holds processes refuses to share.
    fn show(group: &Path, controllers: &str, has_processes: bool) {
        fs::create_dir_all(group).unwrap();
        fs::write(group.join("cgroup.controllers"), controllers).unwrap();
        if has_processes {
            fs::create_dir(group.join("cgroup.subtree_control")).unwrap();
        }
    }

    #[test]
    fn groups_go_beside_one_that_holds_processes() {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().to_owned();
        let (slice, scope) = (mount.join("slice"), mount.join("slice/scope"));
        show(&mount, "cpu memory pids", false);
        show(&slice, "cpu memory pids", false);
        show(&scope, "cpu memory pids", true);
        show(&slice.join("node"), "memory pids", false);
        let own = OwnGroup {
            mount: mount.clone(),
            group: scope,
        };
        let group = slice.join("node");
        let found = Hierarchy::prepare_v2(&own, "node");
        assert_eq!(found, Some(Hierarchy::V2 { group }));
        let shared = fs::read_to_string(slice.join("cgroup.subtree_control")).unwrap();
        assert_eq!(shared, "+memory +pids");

        show(&slice, "cpu", false);
        show(&mount, "cpu", false);
        assert_eq!(Hierarchy::prepare_v2(&own, "node"), None);
    }
}
