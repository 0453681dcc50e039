//! What an agent changed, for people.

use super::base::{BaseEntry, file};
use super::change::{Planned, planned};
use super::disk;
use super::error::WorkspaceError;
use super::source::BlobSource;
use super::tree::EntryKind;
use super::view::ViewParams;
use mainstay_contract::Digest;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Larger files are not shown line by line.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// After this the rest of a file is shown as replaced, without the shortest way there.
const DIFF_TIME_MAX: Duration = Duration::from_millis(500);

/// How a path changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// Its content changed.
    Modified,
    /// Only its permissions changed.
    ModeChanged,
    /// Something else stands there now.
    TypeChanged,
    /// It is gone.
    Deleted,
}

/// One changed path.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// From the workspace's root, which itself is `.`; bytes that are not UTF-8, and `%`, as `%XX`.
    pub path: String,
    /// How it changed.
    pub kind: ChangeKind,
    /// `file`, `link`, `folder`, `fifo` or `special file`: what stands, or stood, there.
    pub what: &'static str,
    /// Permissions before, in octal.
    pub old_mode: Option<String>,
    /// Permissions after, in octal.
    pub new_mode: Option<String>,
    /// Size before, in bytes; only of files.
    pub old_bytes: Option<u64>,
    /// Size after, in bytes; only of files.
    pub new_bytes: Option<u64>,
    /// The change line by line, in unified form; absent for what is no text.
    pub text: Option<String>,
}

/// Everything an agent changed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Diff {
    /// By path.
    pub changes: Vec<Change>,
}

/// What a committed state changes.
///
/// # Errors
/// [`WorkspaceError`].
pub fn diff(
    params: &ViewParams,
    state: Digest,
    blobs: &dyn BlobSource,
) -> Result<Diff, WorkspaceError> {
    let (_, plan) = planned(&state, blobs)?;
    let mut changes = Vec::new();
    for (path, planned) in &plan {
        if let Some(change) = change(params, path, planned, &plan, blobs)? {
            changes.push(change);
        }
    }
    Ok(Diff { changes })
}

fn change(
    params: &ViewParams,
    path: &str,
    planned: &Planned,
    plan: &BTreeMap<String, Planned>,
    blobs: &dyn BlobSource,
) -> Result<Option<Change>, WorkspaceError> {
    let here = file(&params.folder, path);
    let new = resolved(&planned.new, plan);
    let before = match &planned.old {
        Some(BaseEntry::File { size, mtime_ns, .. }) => text(&here, *size, *mtime_ns),
        Some(BaseEntry::Link { target }) => Some(format!("{target}\n")),
        _ => Some(String::new()),
    };
    let after = match new {
        EntryKind::File { digest, size, .. } if *size <= TEXT_BYTES_MAX => {
            let bytes = blobs
                .blob(digest)?
                .ok_or(WorkspaceError::Missing { digest: *digest })?;
            readable(bytes)
        }
        EntryKind::File { .. } => None,
        EntryKind::Link { target } => Some(format!("{target}\n")),
        _ => Some(String::new()),
    };
    let (old_kind, new_kind) = (planned.old.as_ref().map(old_word), new_word(new));
    let (old_mode, new_mode) = (planned.old.as_ref().and_then(old_mode), new_mode(new));
    let kind = match (old_kind, new_kind) {
        (None, _) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Deleted,
        (Some(old), Some(new)) if old != new => ChangeKind::TypeChanged,
        _ if is_content_equal(&here, planned, new, before.as_deref(), after.as_deref())? => {
            if old_mode == new_mode {
                return Ok(None);
            }
            ChangeKind::ModeChanged
        }
        _ => ChangeKind::Modified,
    };
    let text = match (before, after) {
        (Some(before), Some(after)) if before != after => {
            Some(unified(path, &before, &after, kind))
        }
        _ => None,
    };
    let octal = |mode: Option<u32>| mode.map(|mode| format!("{mode:04o}"));
    Ok(Some(Change {
        path: if path.is_empty() { "." } else { path }.to_owned(),
        kind,
        what: new_kind.or(old_kind).unwrap_or("file"),
        old_bytes: match &planned.old {
            Some(BaseEntry::File { size, .. }) => Some(*size),
            _ => None,
        },
        new_bytes: match new {
            EntryKind::File { size, .. } => Some(*size),
            _ => None,
        },
        old_mode: octal(old_mode),
        new_mode: octal(new_mode),
        text,
    }))
}

/// Follows a hard link to the file that it is another name of.
fn resolved<'a>(kind: &'a EntryKind, plan: &'a BTreeMap<String, Planned>) -> &'a EntryKind {
    match kind {
        EntryKind::HardLink { to } => plan.get(to).map_or(kind, |planned| &planned.new),
        kind => kind,
    }
}

fn is_content_equal(
    here: &Path,
    planned: &Planned,
    new: &EntryKind,
    before: Option<&str>,
    after: Option<&str>,
) -> Result<bool, WorkspaceError> {
    if before.is_some() && after.is_some() {
        return Ok(before == after);
    }
    Ok(match (&planned.old, new) {
        (Some(BaseEntry::File { size: old, .. }), EntryKind::File { size, digest, .. }) => {
            old == size && here.is_file() && disk::hash(here)? == *digest
        }
        _ => false,
    })
}

/// A file's text as it was, where it still is as it was and is text.
fn text(path: &Path, size: u64, mtime_ns: i64) -> Option<String> {
    let found = std::fs::symlink_metadata(path).ok()?;
    if size > TEXT_BYTES_MAX || found.len() != size || disk::mtime_ns(&found) != mtime_ns {
        return None;
    }
    let mut bytes = Vec::new();
    disk::open(path).ok()?.read_to_end(&mut bytes).ok()?;
    readable(bytes)
}

fn readable(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

fn unified(path: &str, before: &str, after: &str, kind: ChangeKind) -> String {
    let name = |side: &str, is_absent: bool| {
        if is_absent {
            "/dev/null".to_owned()
        } else {
            format!("{side}/{}", shown(path))
        }
    };
    let (old, new) = (
        name("a", kind == ChangeKind::Added),
        name("b", kind == ChangeKind::Deleted),
    );
    let lines = similar::TextDiff::configure()
        .timeout(DIFF_TIME_MAX)
        .diff_lines(before, after);
    lines
        .unified_diff()
        .context_radius(3)
        .header(&old, &new)
        .to_string()
}

/// A path on one line, whatever is in it.
fn shown(path: &str) -> String {
    let escape = |character: char| {
        if character.is_control() {
            character.escape_default().to_string()
        } else {
            character.to_string()
        }
    };
    path.chars().map(escape).collect()
}

fn old_word(old: &BaseEntry) -> &'static str {
    match old {
        BaseEntry::File { .. } => "file",
        BaseEntry::Link { .. } => "link",
        BaseEntry::Folder { .. } => "folder",
        BaseEntry::Fifo { .. } => "fifo",
        BaseEntry::Special { .. } => "special file",
    }
}

fn new_word(new: &EntryKind) -> Option<&'static str> {
    match new {
        EntryKind::File { .. } | EntryKind::HardLink { .. } => Some("file"),
        EntryKind::Link { .. } => Some("link"),
        EntryKind::Folder { .. } => Some("folder"),
        EntryKind::Fifo { .. } => Some("fifo"),
        EntryKind::Gone => None,
    }
}

fn old_mode(old: &BaseEntry) -> Option<u32> {
    match old {
        BaseEntry::File { mode, .. } | BaseEntry::Folder { mode } | BaseEntry::Fifo { mode } => {
            Some(*mode)
        }
        BaseEntry::Link { .. } | BaseEntry::Special { .. } => None,
    }
}

fn new_mode(new: &EntryKind) -> Option<u32> {
    match new {
        EntryKind::File { mode, .. }
        | EntryKind::Folder { mode, .. }
        | EntryKind::Fifo { mode } => Some(*mode),
        EntryKind::Link { .. } | EntryKind::HardLink { .. } | EntryKind::Gone => None,
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            let word = match change.kind {
                ChangeKind::Added => "added",
                ChangeKind::Modified => "modified",
                ChangeKind::ModeChanged => "mode changed",
                ChangeKind::TypeChanged => "replaced",
                ChangeKind::Deleted => "deleted",
            };
            write!(f, "{word} {} {}", change.what, shown(&change.path))?;
            match (&change.old_mode, &change.new_mode) {
                (Some(old), Some(new)) if old != new => writeln!(f, " ({old} → {new})")?,
                _ => writeln!(f)?,
            }
            match &change.text {
                Some(text) => write!(f, "{text}")?,
                None if change.kind == ChangeKind::Modified => {
                    let size = |bytes: Option<u64>| bytes.unwrap_or_default();
                    let (old, new) = (size(change.old_bytes), size(change.new_bytes));
                    writeln!(f, "(no text: {old} bytes → {new} bytes)")?;
                }
                None => {}
            }
        }
        Ok(())
    }
}
