//! What goes over the socket between the node and its helper: a length, then JSON.

use super::cgroup::CgroupPlace;
use super::spec::{Network, SandboxSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// No message is longer.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;

/// Everything the helper needs, worked out by the node beforehand.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) spec: SandboxSpec,
    /// Whether the node is root.
    pub(super) is_root: bool,
    /// Whom the tool runs as.
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Files and folders that root could read below the system folders and nobody else can.
    pub(super) masks: Vec<PathBuf>,
    pub(super) cgroup: Option<CgroupPlace>,
    /// Limits by the kernel's older means, where there is no control group.
    pub(super) memory_bytes: Option<u64>,
    pub(super) pids: Option<u32>,
}

/// How a run ended, as the helper saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
    TimedOut,
    OutOfMemory,
    Cancelled,
    Failed { step: String, error: String },
}

/// What init says through its pipe before it ends.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum InitReport {
    Ended(Ended),
}

impl InitReport {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Job {
    pub(super) fn namespaces(&self) -> libc::c_int {
        let own = libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP;
        match self.spec.network {
            Network::None => own | libc::CLONE_NEWNET,
            Network::Host => own,
        }
    }

    pub(super) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
        let body = serde_json::to_vec(message).map_err(io::Error::other)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        Ok([length.to_le_bytes().as_slice(), &body].concat())
    }

    pub(super) fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
        to.write_all(&Self::encode(message)?)
    }

    pub(super) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MESSAGE_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let mut body = vec![0; length as usize];
        from.read_exact(&mut body)?;
        serde_json::from_slice(&body).map_err(io::Error::other)
    }
}
