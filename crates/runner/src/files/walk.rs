//! A walk to everything that patterns mean, and nowhere else.
//!
//! Names without wildcards are looked up, folders are listed only where a wildcard needs it, and a listing
//! never follows a link: only who writes a link's name and goes on below it goes through it. Git's and Mainstay's own folders
//! are passed over unless they are named.

use super::stat::{Stamp, Stat, look};
use super::{Files, Real};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use mainstay_tasks::{Bytes, Names, PatternSet, State};
use rustix::fs::{FileType, Mode, OFlags, RawDir, openat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Folders that no wildcard means.
const RESERVED: [&[u8]; 2] = [b".git", b".mainstay"];

/// Folders within folders: each takes a descriptor, and some of the stack ([`crate::threads::STACK`]).
const DEPTH_MAX: usize = 512;

/// How much of a folder is listed at once, in bytes.
const LISTING: usize = 16 << 10;

/// Something that patterns mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its path from the workspace's root.
    pub(crate) path: Bytes,
    pub(crate) stat: Stat,
}

/// A folder that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalkError {
    pub(crate) path: Bytes,
    pub(crate) errno: Errno,
}

/// A walk.
pub(crate) struct Walk<'a> {
    set: &'a PatternSet,
    wants_folders: bool,
    /// A folder that is passed over like those with reserved names.
    hidden: Option<Stamp>,
    /// Where to read `.gitignore` from, where it counts.
    ignoring: Option<PathBuf>,
    ignored: Vec<Gitignore>,
    path: Vec<u8>,
    depth: usize,
    found: Vec<Found>,
    /// Whose links are followed by hand, and not out of the workspace.
    within: Option<&'a Files>,
}

impl<'a> Walk<'a> {
    /// Everything that the patterns mean.
    pub(crate) fn new(set: &'a PatternSet) -> Self {
        Self {
            set,
            wants_folders: false,
            hidden: None,
            ignoring: None,
            ignored: Vec::new(),
            path: Vec::new(),
            depth: 0,
            found: Vec::new(),
            within: None,
        }
    }

    /// Passes over a folder, wherever it is.
    pub(crate) fn hiding(mut self, folder: Option<Stamp>) -> Self {
        self.hidden = folder;
        self
    }

    /// Finds the folders that patterns with wildcards mean, and no files.
    pub(crate) fn folders_only(mut self) -> Self {
        self.wants_folders = true;
        self
    }

    /// Passes over what git ignores below `root`.
    pub(crate) fn ignoring(mut self, root: &Path) -> Self {
        self.ignoring = Some(root.to_owned());
        self
    }

    /// Follows links only where they stay in the workspace, and as commands would; one that leads out of it is
    /// an error.
    pub(crate) fn within(mut self, files: &'a Files) -> Self {
        self.within = Some(files);
        self
    }

    /// Walks. Folders come before what is in them; otherwise there is no order.
    pub(crate) fn run(mut self, root: BorrowedFd<'_>) -> Result<Vec<Found>, WalkError> {
        let state = self.set.start();
        if state.has_folder()
            && let Ok(Some(stat)) = look(root, b".")
        {
            let path = Bytes::default();
            self.found.push(Found { path, stat });
        }
        self.folder(root, 0, &state)?;
        Ok(self.found)
    }

    /// What is meant in the folder at the walk's path. `opened` is the last folder that was opened on the
    /// way, and `from` where the path goes on below it.
    fn folder(
        &mut self,
        opened: BorrowedFd<'_>,
        from: usize,
        state: &State,
    ) -> Result<(), WalkError> {
        if self.depth == DEPTH_MAX {
            return Err(self.failed(Errno::NAMETOOLONG));
        }
        self.depth += 1;
        let has_rules = self.read_rules();
        let walked = match self.set.names(state) {
            Names::Only(names) => names
                .into_iter()
                .try_for_each(|name| self.entry(opened, from, state, name, true)),
            Names::All if self.path.len() == from => self.listed(opened, state),
            Names::All => match self.open(opened, from) {
                Ok(inner) => self.listed(inner.as_fd(), state),
                Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(self.failed(errno)),
            },
        };
        if has_rules {
            self.ignored.pop();
        }
        self.depth -= 1;
        walked
    }

    fn listed(&mut self, folder: BorrowedFd<'_>, state: &State) -> Result<(), WalkError> {
        // A descriptor of its own where one is shared: listing moves its position.
        let own;
        let folder = match self.path.is_empty() {
            false => folder,
            true => {
                own = open_folder(folder, b".").map_err(|errno| self.failed(errno))?;
                own.as_fd()
            }
        };
        let mut buffer = Vec::with_capacity(LISTING);
        let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| self.failed(errno))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || RESERVED.contains(&name) {
                continue;
            }
            let is_folder = entry.file_type() == FileType::Directory;
            if self.is_ignored(name, is_folder) {
                continue;
            }
            let from = self.path.len();
            self.entry(folder, from, state, name, false)?;
        }
        Ok(())
    }

    /// `is_named`: the pattern has this very name, so that a link here is gone through.
    fn entry(
        &mut self,
        opened: BorrowedFd<'_>,
        from: usize,
        state: &State,
        name: &[u8],
        is_named: bool,
    ) -> Result<(), WalkError> {
        let next = self.set.step(state, name);
        let is_meant = next.has_file() || next.has_folder();
        if next.is_over() && !is_meant {
            return Ok(());
        }
        let length = self.path.len();
        if length > 0 {
            self.path.push(b'/');
        }
        self.path.extend(name);
        // What is only on the way is not looked at: the end of the way shows whether it leads there.
        let walked = match is_named && !is_meant && !self.wants_folders {
            true => self.folder(opened, from, &next),
            false => self.meant(opened, from, &next, is_named),
        };
        self.path.truncate(length);
        walked
    }

    fn meant(
        &mut self,
        opened: BorrowedFd<'_>,
        from: usize,
        state: &State,
        is_named: bool,
    ) -> Result<(), WalkError> {
        let stat = match self.look(opened, from) {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(()),
            Err(errno) => return Err(self.failed(errno)),
        };
        match stat.kind {
            FileType::Directory if !is_named && self.is_hidden(&stat) => {}
            FileType::Directory => {
                if state.has_folder() || (self.wants_folders && state.has_file()) {
                    self.found(stat);
                }
                if !state.is_over() {
                    self.enter(opened, from, state)?;
                }
            }
            // Who goes on below a link's name means what is behind it.
            FileType::Symlink if is_named && !state.is_over() && !state.is_whole() => {
                match self.open(opened, from) {
                    Ok(inner) => self.folder(inner.as_fd(), self.path.len(), state)?,
                    Err(Errno::NOENT | Errno::NOTDIR) => self.file(stat, state),
                    Err(errno) => return Err(self.failed(errno)),
                }
            }
            _ => self.file(stat, state),
        }
        Ok(())
    }

    fn file(&mut self, stat: Stat, state: &State) {
        if state.has_file() && !self.wants_folders {
            self.found(stat);
        }
    }

    /// Goes into a folder that is none by way of a link.
    fn enter(
        &mut self,
        opened: BorrowedFd<'_>,
        from: usize,
        state: &State,
    ) -> Result<(), WalkError> {
        let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        match openat(opened, self.below(from), flags, Mode::empty()) {
            Ok(inner) => self.folder(inner.as_fd(), self.path.len(), state),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed(errno)),
        }
    }

    /// What stands at the walk's path.
    fn look(&self, opened: BorrowedFd<'_>, from: usize) -> Result<Option<Stat>, Errno> {
        let below = self.below(from);
        let Some(files) = self.within else {
            return look(opened, below);
        };
        match self.path.iter().rposition(|&byte| byte == b'/') {
            Some(end) if below.contains(&b'/') => {
                let name = &self.path[end + 1..];
                match files.real(&self.path[..end])? {
                    Real::At(folder) => look(files.root(), &[&folder, &b"/"[..], name].concat()),
                    Real::Missing => Ok(None),
                    Real::Outside => Err(Errno::XDEV),
                }
            }
            _ => look(opened, below),
        }
    }

    /// The folder at the walk's path, links followed.
    fn open(&self, opened: BorrowedFd<'_>, from: usize) -> Result<OwnedFd, Errno> {
        let Some(files) = self.within else {
            return open_folder(opened, self.below(from));
        };
        match files.real(&self.path)? {
            Real::At(path) if path.is_empty() => open_folder(files.root().as_fd(), b"."),
            Real::At(path) => open_folder(files.root().as_fd(), &path),
            Real::Missing => Err(Errno::NOENT),
            Real::Outside => Err(Errno::XDEV),
        }
    }

    /// The walk's path below the folder that was opened when it had so many bytes.
    fn below(&self, from: usize) -> &[u8] {
        let rest = &self.path[from..];
        rest.strip_prefix(b"/").unwrap_or(rest)
    }

    fn is_hidden(&self, stat: &Stat) -> bool {
        let is_it =
            |hidden: &Stamp| (hidden.inode, hidden.device) == (stat.stamp.inode, stat.stamp.device);
        self.hidden.as_ref().is_some_and(is_it)
    }

    fn found(&mut self, stat: Stat) {
        let path = Bytes(self.path.clone());
        self.found.push(Found { path, stat });
    }

    fn failed(&self, errno: Errno) -> WalkError {
        let path = Bytes(self.path.clone());
        WalkError { path, errno }
    }

    /// Reads the rules of the folder that the walk is in; `false` where it has none.
    fn read_rules(&mut self) -> bool {
        let Some(root) = &self.ignoring else {
            return false;
        };
        let folder = root.join(OsStr::from_bytes(&self.path));
        let file = folder.join(".gitignore");
        if !file.is_file() {
            return false;
        }
        let mut rules = GitignoreBuilder::new(folder);
        let _damaged_lines_are_passed_over = rules.add(file);
        match rules.build() {
            Ok(rules) => self.ignored.push(rules),
            Err(_) => return false,
        }
        true
    }

    fn is_ignored(&self, name: &[u8], is_folder: bool) -> bool {
        let Some(root) = self.ignoring.as_ref().filter(|_| !self.ignored.is_empty()) else {
            return false;
        };
        let path = root
            .join(OsStr::from_bytes(&self.path))
            .join(OsStr::from_bytes(name));
        let verdicts = self.ignored.iter().rev();
        let mut verdicts = verdicts.map(|rules| rules.matched(&path, is_folder));
        verdicts
            .find(|verdict| !verdict.is_none())
            .is_some_and(|verdict| verdict.is_ignore())
    }
}

fn open_folder(folder: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    openat(folder, path, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_tasks::Pattern;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn tree() -> impl Strategy<Value = BTreeSet<String>> {
        let name = "[ab]{1,2}";
        let path = vec(name, 1..4).prop_map(|names| names.join("/"));
        vec(path, 1..12).prop_map(|paths| {
            // What is a folder for one path is no file of another.
            let all: BTreeSet<String> = paths.into_iter().collect();
            let is_folder = |path: &String| {
                let below = format!("{path}/");
                all.iter().any(|other| other.starts_with(&below))
            };
            all.iter()
                .filter(|path| !is_folder(path))
                .cloned()
                .collect()
        })
    }

    fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
        let name = prop_oneof![
            Just("**".to_owned()),
            "[ab*]{1,2}".prop_map(|n| n.replace("**", "*"))
        ];
        let text = (any::<bool>(), vec(name, 1..4)).prop_map(|(is_exclusion, names)| {
            let sign = if is_exclusion { "!" } else { "" };
            format!("{sign}{}", names.join("/"))
        });
        vec(text, 1..4).prop_map(|texts| {
            let parse = |text: &String| Pattern::parse(&Bytes::default(), text).unwrap();
            texts.iter().map(parse).collect()
        })
    }

    proptest! {
        #[test]
        fn finds_exactly_the_files_that_are_meant(files in tree(), patterns in patterns()) {
            let folder = tempfile::tempdir().unwrap();
            for file in &files {
                let path = folder.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            let set = PatternSet::new(patterns);
            let root = crate::files::open_root(folder.path()).unwrap();
            let walked = Walk::new(&set).run(root.as_fd());
            // Only a name that goes on below a file is an error.
            if let Err(error) = &walked {
                prop_assert_eq!(error.errno, Errno::NOTDIR);
                return Ok(());
            }
            let found: BTreeSet<String> = walked
                .unwrap()
                .into_iter()
                .filter(|found| found.stat.kind == FileType::RegularFile)
                .map(|found| found.path.to_string())
                .collect();
            let meant = files.into_iter().filter(|file| set.is_match(file.as_bytes()));
            prop_assert_eq!(found, meant.collect::<BTreeSet<_>>());
        }
    }

    #[test]
    fn what_git_ignores_is_passed_over_folder_by_folder() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(".gitignore", "*.log\n/target\n");
        write("a/.gitignore", "!keep.log\nlocal\n");
        for name in [
            "a/keep.log",
            "a/x.log",
            "a/local/y",
            "local",
            "target/z",
            "b/target/z",
        ] {
            write(name, "");
        }
        let set = PatternSet::new([Pattern::parse(&Bytes::default(), "**").unwrap()]);
        let root = crate::files::open_root(folder.path()).unwrap();
        let found = Walk::new(&set)
            .ignoring(folder.path())
            .run(root.as_fd())
            .unwrap();
        let files = found
            .iter()
            .filter(|found| found.stat.kind == FileType::RegularFile);
        let mut names: Vec<String> = files.map(|found| found.path.to_string()).collect();
        names.sort();
        assert_eq!(
            names,
            [
                ".gitignore",
                "a/.gitignore",
                "a/keep.log",
                "b/target/z",
                "local"
            ]
        );
    }
}
