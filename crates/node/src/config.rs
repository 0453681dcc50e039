//! What a node is made of.

use mainstay_contract::{Code, Coded, ErrorReport};
use mainstay_sessions::{RuntimeError, RuntimeErrorCode};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a node keeps what, and with what it works.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The directory that the node owns; made where it is missing.
    pub data_dir: PathBuf,
    /// The session store.
    pub store: StoreUrl,
    /// Where large blobs go; `blobs` in the data directory by default.
    pub blobs: Option<PathBuf>,
    /// The manifest; without one, sessions can be looked at and no turn can be accepted.
    pub manifest: Option<PathBuf>,
    /// The manifest of the workspace whose tasks are run: that one, or the one that has it as a project.
    pub workspace_manifest: Option<PathBuf>,
    /// Where rebuildable data goes: the private views of workspaces, the results of tasks.
    pub cache_dir: PathBuf,
    /// The program that is started again as the sandbox helper.
    pub exe: PathBuf,
    /// Whether it takes up and works on turns. A node that does not lets sessions be looked at and
    /// takes in commands; what follows from them is left to the next node that works.
    pub works_on_turns: bool,
    /// Where to record the model's answers as a script.
    pub record: Option<PathBuf>,
}

impl NodeConfig {
    /// Where large blobs go.
    #[must_use]
    pub fn blobs_dir(&self) -> PathBuf {
        let named = self.blobs.clone();
        named.unwrap_or_else(|| self.data_dir.join("blobs"))
    }
}

/// The session store, as `--store` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite database.
    Sqlite(PathBuf),
}

/// Why a store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// It would forget.
    #[error("`{url}` keeps sessions in memory, and a session must survive a crash")]
    Forgets {
        /// What was asked for.
        url: String,
    },
    /// It is none that this version knows.
    #[error("`{url}` is no session store: use sqlite:PATH")]
    Unknown {
        /// What was asked for.
        url: String,
    },
    /// Blobs cannot be kept there.
    #[error("blobs cannot be kept in `{url}` yet: name a folder")]
    Blobs {
        /// What was asked for.
        url: String,
    },
}

/// The folder for blobs, as `--blobs` names it.
///
/// # Errors
/// [`StoreUrlError::Blobs`] for anything that is no folder of this machine.
pub fn blobs_folder(text: &str) -> Result<PathBuf, StoreUrlError> {
    if text.contains("://") {
        let url = text.to_owned();
        return Err(StoreUrlError::Blobs { url });
    }
    Ok(PathBuf::from(text))
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(url: &str) -> Result<Self, StoreUrlError> {
        let forgets = || StoreUrlError::Forgets {
            url: url.to_owned(),
        };
        match url.strip_prefix("sqlite:") {
            Some(":memory:" | "") => Err(forgets()),
            Some(path) if path.contains("mode=memory") => Err(forgets()),
            Some(path) => Ok(Self::Sqlite(PathBuf::from(
                path.strip_prefix("//").unwrap_or(path),
            ))),
            None if url == "memory" => Err(forgets()),
            None => Err(StoreUrlError::Unknown {
                url: url.to_owned(),
            }),
        }
    }
}

impl Coded for StoreUrlError {
    fn code(&self) -> Code {
        match self {
            Self::Forgets { .. } => Code::DurableStoreRequiredSessionStore,
            Self::Unknown { .. } | Self::Blobs { .. } => Code::InvalidRequest,
        }
    }

    fn report(&self) -> ErrorReport {
        match self {
            Self::Forgets { .. } => {
                let code = RuntimeErrorCode::DurableStoreRequiredSessionStore;
                RuntimeError::new(code, self.to_string())
                    .report()
                    .hint("name a file: --store sqlite:PATH")
            }
            Self::Unknown { .. } | Self::Blobs { .. } => {
                ErrorReport::new(self.code(), self.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stores_that_remember_are_accepted() {
        assert_eq!("sqlite:a.db".parse(), Ok(StoreUrl::Sqlite("a.db".into())));
        assert_eq!(
            "sqlite:///a.db".parse(),
            Ok(StoreUrl::Sqlite("/a.db".into()))
        );
        for url in [
            "sqlite::memory:",
            "sqlite:",
            "memory",
            "sqlite:file:x?mode=memory",
        ] {
            let refused = url.parse::<StoreUrl>().unwrap_err();
            assert_eq!(
                refused.code(),
                Code::DurableStoreRequiredSessionStore,
                "{url}"
            );
        }
        let unknown = "mysql://x".parse::<StoreUrl>().unwrap_err();
        assert_eq!(unknown.code(), Code::InvalidRequest);
    }
}
