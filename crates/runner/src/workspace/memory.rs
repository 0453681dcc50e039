//! What manifests said when they were last read: a file whose content did not change is not parsed again.
//!
//! Kept by the digest of the content, for this very program: another build may understand a manifest
//! otherwise. A damaged memory is as good as none.

use mainstay_manifest::{Checked, Manifest, Project, check, check_project};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const DIGEST: usize = 32;

type Key = [u8; DIGEST];

/// What is remembered of the manifests of a workspace.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    /// This program, by what the system says of its file.
    program: Key,
    known: HashMap<Key, Vec<u8>>,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    entries: HashMap<Key, Vec<u8>>,
    has_new: bool,
}

#[derive(Serialize, Deserialize)]
struct File {
    program: Key,
    entries: Vec<(Key, Vec<u8>)>,
}

impl Memory {
    pub(super) fn open(path: PathBuf) -> Self {
        let program = program();
        let read = std::fs::read(&path).ok().and_then(|bytes| {
            let (body, sum) = bytes.split_last_chunk::<DIGEST>()?;
            let is_whole = blake3::hash(body).as_bytes() == sum;
            let file: File = postcard::from_bytes(body).ok().filter(|_| is_whole)?;
            (file.program == program).then_some(file.entries)
        });
        Self {
            path,
            program,
            known: read.unwrap_or_default().into_iter().collect(),
            used: Mutex::default(),
        }
    }

    /// The manifest of a project.
    pub(super) fn project(&self, name: &str, bytes: &[u8]) -> Checked<Project> {
        self.remembered(
            b"project",
            bytes,
            |kept| postcard::from_bytes(kept).ok(),
            |project| postcard::to_stdvec(project).ok(),
            || check_project(name, bytes),
        )
    }

    /// The manifest of the workspace. Its tasks are kept apart from the rest, which has forms that only
    /// describe themselves.
    pub(super) fn manifest(&self, name: &str, bytes: &[u8]) -> Checked<Manifest> {
        self.remembered(
            b"manifest",
            bytes,
            |kept| {
                let (rest, project): (&[u8], Project) = postcard::from_bytes(kept).ok()?;
                let mut manifest: Manifest = serde_json::from_slice(rest).ok()?;
                manifest.project = project;
                Some(manifest)
            },
            |manifest| {
                let mut rest = manifest.clone();
                let project = std::mem::take(&mut rest.project);
                let rest = serde_json::to_vec(&rest).ok()?;
                postcard::to_stdvec(&(rest.as_slice(), project)).ok()
            },
            || check(name, bytes),
        )
    }

    fn remembered<T>(
        &self,
        kind: &[u8],
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> Option<T>,
        encode: impl Fn(&T) -> Option<Vec<u8>>,
        read: impl Fn() -> Checked<T>,
    ) -> Checked<T> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(kind).update(bytes);
        let key = *hasher.finalize().as_bytes();
        if let Some((kept, manifest)) = self.known.get(&key).and_then(|kept| {
            let manifest = decode(kept)?;
            Some((kept, manifest))
        }) {
            self.use_again(key, kept.clone(), false);
            return Checked {
                manifest: Some(manifest),
                findings: Vec::new(),
            };
        }
        let checked = read();
        if let Some(kept) = checked.manifest.as_ref().and_then(encode) {
            self.use_again(key, kept, true);
        }
        checked
    }

    fn use_again(&self, key: Key, kept: Vec<u8>, is_new: bool) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.entries.insert(key, kept);
        used.has_new |= is_new;
    }

    /// Writes what was used this time, where anything of it is new.
    pub(super) fn save(self) {
        let used = self
            .used
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if !used.has_new {
            return;
        }
        let file = File {
            program: self.program,
            entries: used.entries.into_iter().collect(),
        };
        let Ok(mut bytes) = postcard::to_stdvec(&file) else {
            return;
        };
        bytes.extend(*blake3::hash(&bytes).as_bytes());
        if let Err(error) = crate::disk::replace(&self.path, &bytes) {
            tracing::debug!(%error, "what the manifests said was not kept");
        }
    }
}

/// This program.
fn program() -> Key {
    let found = std::fs::metadata(Path::new("/proc/self/exe"));
    let told = found.map(|found| {
        let times = (found.mtime(), found.mtime_nsec(), found.ctime_nsec());
        format!("{}/{}/{}/{times:?}", found.dev(), found.ino(), found.len())
    });
    *blake3::hash(told.unwrap_or_default().as_bytes()).as_bytes()
}
