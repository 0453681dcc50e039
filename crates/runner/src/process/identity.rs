//! Which process did something, also after it is gone and others have its number.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::str::FromStr;
use std::sync::OnceLock;

/// One process, told apart from all that have its number before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: u32,
    /// In ticks since the system did; 0 where it does not say.
    began: u64,
}

/// A text that names no process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoProcess;

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        static THIS: OnceLock<Process> = OnceLock::new();
        *THIS.get_or_init(|| {
            let pid = std::process::id();
            let began = began(pid);
            Self { pid, began }
        })
    }

    /// Whether it is still there.
    pub(crate) fn lives(self) -> bool {
        began(self.pid) == self.began
    }
}

impl Display for Process {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid, self.began)
    }
}

impl FromStr for Process {
    type Err = NoProcess;

    fn from_str(text: &str) -> Result<Self, NoProcess> {
        let (pid, began) = text.split_once('-').ok_or(NoProcess)?;
        Ok(Self {
            pid: pid.parse().map_err(|_| NoProcess)?,
            began: began.parse().map_err(|_| NoProcess)?,
        })
    }
}

/// When a process began; 0 where there is none.
fn began(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold anything; the time is the twentieth word behind it.
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let word = rest.split_whitespace().nth(19);
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
