//! What is wrong with a manifest, and where.

use mainstay_contract::{Code, Coded, ErrorReport};
use serde::Serialize;
use std::fmt;

/// More findings than this help nobody; the rest is counted.
const FINDINGS_MAX: usize = 1000;

/// What kind of mistake a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// The file is too large to be read.
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most allowed.
        bytes_max: usize,
    },
    /// Bytes that are no UTF-8.
    NotUtf8 {
        /// Offset of the first of them.
        byte: usize,
    },
    /// A byte order mark or another encoding.
    Encoding {
        /// Which one it seems to be.
        encoding: &'static str,
        /// Offset of what shows it.
        byte: usize,
    },
    /// A character that YAML does not allow, such as NUL.
    ControlCharacter {
        /// Its code point.
        code_point: u32,
        /// Its offset.
        byte: usize,
    },
    /// The file holds nothing.
    Empty,
    /// Not YAML.
    Syntax,
    /// A tab where only spaces may indent.
    Tab,
    /// Nested too deeply.
    TooDeep {
        /// The most levels allowed.
        depth_max: usize,
    },
    /// A second YAML document in the file.
    SeveralDocuments,
    /// A YAML anchor (`&name`).
    Anchor,
    /// A YAML alias (`*name`).
    Alias,
    /// A YAML tag (`!name`).
    Tag,
    /// A key that is a list, a map or nothing.
    KeyNotText,
    /// The same key twice in one map.
    DuplicateKey {
        /// Where it was first.
        first_line: u32,
    },
    /// A key that does not exist.
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A key that must be there is not.
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A value of the wrong type.
    Type {
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A value of the right type that is unusable.
    Value {
        /// What belongs there.
        expected: String,
    },
    /// A reference to something that the manifest does not declare.
    UnknownReference {
        /// The section that should declare it.
        section: &'static str,
    },
    /// Tasks that wait for each other.
    Cycle {
        /// Each waits for the next, and the last for the first.
        tasks: Vec<String>,
    },
    /// Two tasks make the same file, or one would read what it makes itself.
    Overlap {
        /// The other task.
        other: String,
    },
    /// A key that means nothing beside the others, or values that contradict each other.
    Conflict,
    /// What it names cannot be used.
    Unusable,
    /// The same thing given twice.
    Repeated,
    /// Understood, but this version cannot do it.
    NotYetSupported {
        /// The key or word.
        what: String,
    },
    /// There is more; only the first findings are listed.
    TooManyFindings {
        /// How many are not listed.
        hidden: u64,
    },
}

/// One mistake. Every finding is an error: a manifest with any is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, as the caller of [`crate::check`] named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// Path of the field, such as `agents.fixer.tools[2].http.allow[0]`; empty for the whole file.
    pub field: String,
    /// The kind of mistake.
    pub problem: Problem,
    /// One sentence for people, without the near names.
    pub message: String,
    /// Names that were perhaps meant, best first.
    pub near: Vec<String>,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Finding {
    pub(crate) fn near(mut self, near: Vec<String>) -> Self {
        self.near = near;
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if let Some((first, rest)) = self.near.split_first() {
            write!(f, " (did you mean `{first}`")?;
            rest.iter().try_for_each(|name| write!(f, " or `{name}`"))?;
            f.write_str("?)")?;
        }
        Ok(())
    }
}

/// The outcome of [`crate::check`].
#[derive(Debug, Clone)]
pub struct Checked<T> {
    /// What the file says, exactly when there is no finding.
    pub manifest: Option<T>,
    /// Every mistake, in the order of the file.
    pub findings: Vec<Finding>,
}

impl<T> Checked<T> {
    /// The manifest, or all findings as one error.
    ///
    /// # Errors
    /// [`InvalidManifest`] where anything was found.
    pub fn into_result(self) -> Result<T, InvalidManifest> {
        self.manifest.ok_or(InvalidManifest {
            findings: self.findings,
        })
    }
}

/// A manifest that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidManifest {
    /// Every mistake.
    pub findings: Vec<Finding>,
}

impl fmt::Display for InvalidManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.findings.as_slice() {
            [] => f.write_str("the manifest is not valid"),
            [only] => write!(f, "{only}"),
            [first, rest @ ..] => write!(f, "{first} (and {} more)", rest.len()),
        }
    }
}

impl Coded for InvalidManifest {
    fn code(&self) -> Code {
        Code::ManifestInvalid
    }

    fn report(&self) -> ErrorReport {
        let mut report = ErrorReport::new(self.code(), self.to_string())
            .data(serde_json::json!({"kind": "manifest_invalid", "findings": self.findings}));
        if let Some(first) = self.findings.first() {
            report = report.about("manifest", first.file.clone());
        }
        let hints = self.findings.iter().filter_map(|found| found.hint.clone());
        report.hints = hints.take(5).collect();
        report
    }
}

/// A place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

/// A place in the file and the path of the field that stands there.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) at: Position,
    pub(crate) field: String,
}

impl Place {
    pub(crate) const START: Self = Self {
        at: Position::START,
        field: String::new(),
    };

    /// The same field, seen from elsewhere.
    pub(crate) fn at(&self, at: Position) -> Self {
        Self {
            at,
            field: self.field.clone(),
        }
    }

    pub(crate) fn key(&self, key: &str, at: Position) -> Self {
        let mut field = self.field.clone();
        push_key(&mut field, key);
        Self { at, field }
    }

    pub(crate) fn index(&self, index: usize, at: Position) -> Self {
        Self {
            at,
            field: format!("{}[{index}]", self.field),
        }
    }

    pub(crate) fn finding(&self, problem: Problem, message: impl Into<String>) -> Finding {
        Finding {
            file: String::new(),
            line: self.at.line,
            column: self.at.column,
            field: self.field.clone(),
            problem,
            message: message.into(),
            near: Vec::new(),
            hint: None,
        }
    }
}

/// Appends a key to a field path; what is not a plain word is quoted.
pub(crate) fn push_key(field: &mut String, key: &str) {
    if !field.is_empty() {
        field.push('.');
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.len() <= 64 && key.chars().all(is_plain) {
        field.push_str(key);
    } else {
        field.push_str(&format!("{:?}", shorten(key)));
    }
}

/// The beginning of a text, short enough for a message.
pub(crate) fn shorten(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut short: String = text.chars().take(CHARACTERS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Collects findings.
pub(crate) struct Findings {
    file: String,
    list: Vec<Finding>,
    hidden: u64,
    is_cut: bool,
}

impl Findings {
    pub(crate) fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            list: Vec::new(),
            hidden: 0,
            is_cut: false,
        }
    }

    pub(crate) fn add(&mut self, mut finding: Finding) {
        if self.is_full() {
            self.hidden += 1;
            return;
        }
        finding.file.clone_from(&self.file);
        self.list.push(finding);
    }

    /// Counts a finding that would not be shown.
    pub(crate) fn count(&mut self) {
        self.hidden += 1;
    }

    /// Whether details of a further finding would not be shown anyway.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= FINDINGS_MAX
    }

    /// Says that reading stopped early: from now on nothing is called missing.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn finish<T>(mut self, manifest: Option<T>) -> Checked<T> {
        self.list
            .sort_by_key(|finding| (finding.line, finding.column));
        if self.hidden > 0 {
            let message = format!("{} more findings are not listed", self.hidden);
            let hidden = self.hidden;
            let mut last = Place::START.finding(Problem::TooManyFindings { hidden }, message);
            last.file.clone_from(&self.file);
            self.list.push(last);
        }
        Checked {
            manifest: manifest.filter(|_| self.list.is_empty()),
            findings: self.list,
        }
    }
}
