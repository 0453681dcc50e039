//! The result of a task, as the cache keeps it.

use crate::{Bytes, Ingredients};
use mainstay_contract::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a task that succeeded left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// What its key was made of.
    pub ingredients: Ingredients,
    /// What it made, by path from the workspace's root.
    pub outputs: BTreeMap<Bytes, Output>,
    /// What it wrote to standard output.
    pub stdout: Content,
    /// What it wrote to standard error.
    pub stderr: Content,
    /// How long it ran, in milliseconds.
    pub ran_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub made_ms: u64,
}

/// Bytes that lie in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Their digest.
    pub digest: Digest,
    /// How many.
    pub bytes: u64,
}

/// What stands at a path of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// A file.
    File {
        /// What it holds.
        content: Content,
        /// Its permissions, the last nine bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Where it points, as written.
        target: Bytes,
    },
    /// A folder, where it was meant itself.
    Folder {
        /// Its permissions, the last nine bits.
        mode: u32,
    },
}

impl Content {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            digest: Digest(*blake3::hash(b"").as_bytes()),
            bytes: 0,
        }
    }
}

impl TaskResult {
    /// Everything in the cache that it needs.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        let files = self.outputs.values().filter_map(|output| match output {
            Output::File { content, .. } => Some(content),
            Output::Link { .. } | Output::Folder { .. } => None,
        });
        files.chain([&self.stdout, &self.stderr])
    }
}
