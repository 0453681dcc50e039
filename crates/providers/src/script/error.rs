//! Why a script cannot be read, and where.

use mainstay_contract::{Code, Coded, ErrorReport};
use std::fmt;

/// A place in a script, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptPosition {
    /// The script.
    pub script: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for ScriptPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.script, self.line, self.column)
    }
}

/// Why a script cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "`at` is the place in every variant")]
pub enum ScriptError {
    /// It is larger than accepted.
    #[error("{script} has {bytes} bytes; a script may have {bytes_max}")]
    TooLarge {
        /// The script.
        script: String,
        /// Its size.
        bytes: usize,
        /// The most it may have.
        bytes_max: usize,
    },
    /// It is not UTF-8.
    #[error("{at}: not UTF-8")]
    NotUtf8 { at: ScriptPosition },
    /// It is no YAML or JSON, or uses a part of YAML that scripts do without.
    #[error("{at}: {reason}")]
    Syntax {
        at: ScriptPosition,
        /// What is wrong.
        reason: String,
    },
    /// It is nested deeper than accepted.
    #[error("{at}: nested deeper than {depth_max} levels")]
    TooDeep {
        at: ScriptPosition,
        /// The most levels.
        depth_max: usize,
    },
    /// A key stands twice in one map.
    #[error("{at}: the key {key:?} stands here twice")]
    DuplicateKey {
        at: ScriptPosition,
        /// The key.
        key: String,
    },
    /// A key means nothing.
    #[error("{at}: unknown key {key:?}{}", .near.as_ref().map(|near| format!("; did you mean {near:?}?")).unwrap_or_default())]
    UnknownKey {
        at: ScriptPosition,
        /// The key.
        key: String,
        /// A known key that looks like it.
        near: Option<String>,
    },
    /// A value cannot be used.
    #[error("{at}: {field} must be {expected}")]
    Invalid {
        at: ScriptPosition,
        /// The field.
        field: String,
        /// What it must be.
        expected: String,
    },
    /// It has no steps.
    #[error("{script} has no steps")]
    Empty {
        /// The script.
        script: String,
    },
}

impl Coded for ScriptError {
    fn code(&self) -> Code {
        Code::ManifestInvalid
    }

    fn report(&self) -> ErrorReport {
        let (script, at, kind) = match self {
            Self::TooLarge { script, .. } => (script, None, "too_large"),
            Self::Empty { script } => (script, None, "empty"),
            Self::NotUtf8 { at } => (&at.script, Some(at), "not_utf8"),
            Self::Syntax { at, .. } => (&at.script, Some(at), "syntax"),
            Self::TooDeep { at, .. } => (&at.script, Some(at), "too_deep"),
            Self::DuplicateKey { at, .. } => (&at.script, Some(at), "duplicate_key"),
            Self::UnknownKey { at, .. } => (&at.script, Some(at), "unknown_key"),
            Self::Invalid { at, .. } => (&at.script, Some(at), "invalid"),
        };
        ErrorReport::new(self.code(), self.to_string())
            .about("script", script)
            .data(serde_json::json!({
                "kind": kind,
                "line": at.map(|at| at.line),
                "column": at.map(|at| at.column),
            }))
    }
}
