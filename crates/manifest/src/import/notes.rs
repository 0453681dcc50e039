//! What the reader of an import has to know.

use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// An item that was not carried over, or not in every respect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ImportNote {
    /// The file that it is about, relative to the workspace's root.
    pub file: String,
    /// Its line there, from 1.
    pub line: Option<u32>,
    /// The item, as the file writes it.
    pub what: String,
    /// What became of it, and what to do where something is left to do.
    pub why: String,
}

impl fmt::Display for ImportNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.what, self.why)
    }
}

/// Collects notes: each is told once, however many tasks it concerns.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: BTreeSet<ImportNote>,
}

impl Notes {
    /// Adds a note about a line.
    pub(super) fn add(
        &mut self,
        file: &str,
        line: impl Into<Option<u32>>,
        what: impl Into<String>,
        why: impl Into<String>,
    ) {
        self.notes.insert(ImportNote {
            file: file.to_owned(),
            line: line.into(),
            what: what.into(),
            why: why.into(),
        });
    }

    /// All notes, by place.
    pub(super) fn finish(self) -> Vec<ImportNote> {
        self.notes.into_iter().collect()
    }
}
