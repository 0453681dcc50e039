//! Whether a recipe makes the file that its target is named after. Make does not mind where it does not;
//! a task does.

use super::plan::Node;
use crate::import::draft::Run;

/// How sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The recipe names the file.
    Named,
    /// The target is called like a file, or the recipe has its name for whatever reason.
    Likely,
    /// Nothing speaks for it.
    None,
}

impl Evidence {
    /// Looks at a recipe as written, and as what is run.
    pub(super) fn of(node: &Node, run: &Run) -> Self {
        const AUTOMATIC: [&str; 3] = ["$@", "$(@", "${@"];
        let script = match run {
            Run::Nothing => "",
            Run::Command(words) => words.last().map(String::as_str).unwrap_or_default(),
            Run::Shell(script) => script,
        };
        let is_told = |line: &String| AUTOMATIC.iter().any(|name| line.contains(name));
        let is_file = node.target.contains(['.', '/']);
        let is_there = has_word(script, &node.target);
        match (is_file, is_there) {
            _ if node.lines().any(is_told) => Self::Named,
            (true, true) => Self::Named,
            (false, false) => Self::None,
            _ => Self::Likely,
        }
    }

    /// What to tell of a target.
    pub(super) fn note(&self) -> Option<&'static str> {
        match self {
            Self::Named => None,
            Self::Likely => Some(
                "required as an output, but its recipe does not say that it makes it: if it makes no such \
                 file, remove `outputs` and add `cache: false`",
            ),
            Self::None => Some(
                "never cached, and without `outputs`: its recipe does not name it; add them if it makes \
                 this file",
            ),
        }
    }
}

/// Whether a text has this word, and not as part of another.
fn has_word(text: &str, word: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(goes_on) && !after.starts_with(goes_on)
    })
}
