//! Patterns of inputs and outputs: names with wildcards, relative to a project or, with a leading `/`,
//! to the workspace.
//!
//! `*` stands for anything in one name, `?` for one character, `[a-z]` and `[!a-z]` for one of some,
//! `{a,b}` for either (and `{a}` for a file that may be missing), `**` as a whole name for any number of folders, and `\` takes the meaning from the
//! character behind it. Names that begin with a dot are like others. Where the last name has no wildcard
//! and is a folder, everything below it is meant.

mod segment;
mod set;

pub use set::{Names, PatternSet, State};

use crate::Bytes;
use segment::Segment;
use std::fmt;

/// The most alternatives that braces may make of one pattern.
const ALTERNATIVES_MAX: usize = 1024;

/// A pattern, seen from the workspace's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    is_exclusion: bool,
    /// Whether braces make it one of several, or none.
    has_choice: bool,
    alternatives: Vec<Vec<Segment>>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It climbs out of the workspace.
    #[error("`{text}` leaves the workspace")]
    Outside {
        /// The text.
        text: String,
    },
    /// A bracket or brace is not closed, or holds nothing.
    #[error("`{text}` has a bracket or brace that is not closed or holds nothing")]
    Unclosed {
        /// The text.
        text: String,
    },
    /// `**` is part of a name.
    #[error("`**` has to be a whole name in `{text}`")]
    Stars {
        /// The text.
        text: String,
    },
    /// Braces make too many patterns of it.
    #[error("`{text}` stands for more than {ALTERNATIVES_MAX} patterns")]
    TooMany {
        /// The text.
        text: String,
    },
}

impl Pattern {
    /// Reads a pattern of the project whose folder, from the workspace's root, is `folder`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(folder: &Bytes, text: &str) -> Result<Self, PatternError> {
        let bare = text.strip_prefix('!');
        let is_exclusion = bare.is_some();
        let bare = bare.unwrap_or(text);
        let texts = expanded(bare).ok_or_else(|| PatternError::Unclosed {
            text: text.to_owned(),
        })?;
        if texts.len() > ALTERNATIVES_MAX {
            return Err(PatternError::TooMany {
                text: text.to_owned(),
            });
        }
        let alternative = |one: &String| alternative(folder, one, text);
        let alternatives: Result<Vec<_>, _> = texts.iter().map(alternative).collect();
        let sign = if is_exclusion { "!" } else { "" };
        let root = match bare.starts_with('/') || folder.0.is_empty() {
            true => String::new(),
            false => format!("{folder}/"),
        };
        Ok(Self {
            text: format!("{sign}{root}{}", bare.trim_start_matches('/')),
            is_exclusion,
            has_choice: texts != [bare],
            alternatives: alternatives?,
        })
    }

    /// Whether it takes away instead of adding.
    #[must_use]
    pub fn is_exclusion(&self) -> bool {
        self.is_exclusion
    }

    /// The path that it is, where it has neither wildcard nor braces.
    #[must_use]
    pub fn literal(&self) -> Option<Bytes> {
        if self.has_choice {
            return None;
        }
        let [only] = self.alternatives.as_slice() else {
            return None;
        };
        let names: Option<Vec<&[u8]>> = only.iter().map(Segment::literal).collect();
        names.map(|names| Bytes(names.join(&b'/')))
    }

    /// The folder below which everything lies that it can match: the names before the first wildcard.
    #[must_use]
    pub fn root(&self) -> Bytes {
        let mut roots = self.alternatives.iter().map(|segments| {
            let names = segments.iter().map_while(Segment::literal);
            let take = segments.len().saturating_sub(1);
            names.take(take).collect::<Vec<_>>()
        });
        let mut common = roots.next().unwrap_or_default();
        for root in roots {
            let same = common.iter().zip(&root).take_while(|(a, b)| a == b).count();
            common.truncate(same);
        }
        Bytes(common.join(&b'/'))
    }

    /// Whether a path is meant by it; `path` is a file or a link, from the workspace's root.
    #[must_use]
    pub fn is_match(&self, path: &[u8]) -> bool {
        let set = PatternSet::new([self.clone().included()]);
        set.is_match(path)
    }

    /// Whether some path is meant by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let pairs = self
            .alternatives
            .iter()
            .flat_map(|a| other.alternatives.iter().map(move |b| (a, b)));
        pairs.into_iter().any(|(a, b)| overlap(a, b))
    }

    /// Whether, as far as is easily seen, all that the other means is meant by this one too; whichever
    /// of both takes away.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_covered = |other: &Vec<Segment>| {
            self.alternatives.iter().any(|own| {
                let folder = own.strip_suffix(&[Segment::Any]).unwrap_or(own);
                let is_literal = folder.iter().all(|segment| segment.literal().is_some());
                own == other || (is_literal && other.starts_with(folder))
            })
        };
        match other.literal() {
            Some(path) if self.is_match(&path.0) => true,
            _ => other.alternatives.iter().all(is_covered),
        }
    }

    /// The names before the first wildcard of each alternative.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = Vec<&[u8]>> {
        self.alternatives
            .iter()
            .map(|segments| segments.iter().map_while(Segment::literal).collect())
    }

    fn included(mut self) -> Self {
        self.is_exclusion = false;
        self
    }
}

/// The pattern from the workspace's root, the form in which keys hold it.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One text without braces, as names below the workspace's root.
fn alternative(folder: &Bytes, one: &str, whole: &str) -> Result<Vec<Segment>, PatternError> {
    let text = || whole.to_owned();
    let mut segments = Vec::new();
    if !one.starts_with('/') {
        let names = folder.0.split(|&byte| byte == b'/');
        let names = names.filter(|name| !name.is_empty());
        segments.extend(names.map(|name| Segment::Name(name.to_vec())));
    }
    for name in one.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                segments
                    .pop()
                    .ok_or_else(|| PatternError::Outside { text: text() })?;
            }
            "**" => {
                if segments.last() != Some(&Segment::Any) {
                    segments.push(Segment::Any);
                }
            }
            _ if name.contains("**") && !name.contains('\\') => {
                return Err(PatternError::Stars { text: text() });
            }
            _ => segments
                .push(Segment::parse(name).ok_or_else(|| PatternError::Unclosed { text: text() })?),
        }
    }
    Ok(segments)
}

/// All texts that the braces of one stand for; `None` where one is not closed.
fn expanded(text: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut rest = vec![text.to_owned()];
    while let Some(text) = rest.pop() {
        let Some((start, end, commas)) = braces(&text)? else {
            done.push(text);
            continue;
        };
        let edges = std::iter::once(start).chain(commas.iter().copied());
        let ends = commas.iter().copied().chain([end]);
        for (from, to) in edges.zip(ends) {
            rest.push(format!(
                "{}{}{}",
                &text[..start],
                &text[from + 1..to],
                &text[end + 1..]
            ));
        }
        if done.len() + rest.len() > ALTERNATIVES_MAX {
            done.append(&mut rest);
        }
    }
    done.sort();
    done.dedup();
    Some(done)
}

/// Where the first brace opens, where it closes, and the commas between; nothing where there is none.
fn braces(text: &str) -> Option<Option<(usize, usize, Vec<usize>)>> {
    let mut depth = 0;
    let mut start = 0;
    let mut commas = Vec::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '{' => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            ',' if depth == 1 => commas.push(at),
            '}' if depth == 1 => return Some(Some((start, at, commas))),
            '}' if depth > 1 => depth -= 1,
            _ => {}
        }
    }
    (depth == 0).then_some(None)
}

/// Whether a path is meant by both lists of names.
fn overlap(a: &[Segment], b: &[Segment]) -> bool {
    let is_file =
        |list: &[Segment], at: usize| at + 1 == list.len() && matches!(list[at], Segment::Glob(_));
    any_way(a.len(), b.len(), |i, j, goes_on| {
        match (a.get(i), b.get(j)) {
            (Some(Segment::Any), other) | (other, Some(Segment::Any)) => {
                let is_first = a.get(i) == Some(&Segment::Any);
                let (skip, stay) = match is_first {
                    true => ((i + 1, j), (i, j + 1)),
                    false => ((i, j + 1), (i + 1, j)),
                };
                goes_on(skip) || (other.is_some() && goes_on(stay))
            }
            // A name at the end may be a folder with everything in it.
            (None, _) | (_, None) => true,
            (Some(first), Some(second)) => {
                // What ends with a wildcard is no folder: the other has to end here, too.
                let is_file_first = is_file(a, i) && !ends(b, j + 1);
                let is_file_second = is_file(b, j) && !ends(a, i + 1);
                first.overlaps(second)
                    && !is_file_first
                    && !is_file_second
                    && goes_on((i + 1, j + 1))
            }
        }
    })
}

/// Whether nothing but `**` is left.
fn ends(list: &[Segment], from: usize) -> bool {
    list[from..].iter().all(|segment| *segment == Segment::Any)
}

/// Answers for the start of two lists a question that may lead to later places of both, each place once.
fn any_way(
    rows: usize,
    columns: usize,
    answer: impl Fn(usize, usize, &dyn Fn((usize, usize)) -> bool) -> bool,
) -> bool {
    let width = columns + 1;
    let mut known = vec![false; (rows + 1) * width];
    for i in (0..=rows).rev() {
        for j in (0..=columns).rev() {
            let is_so = answer(i, j, &|(i, j)| {
                i <= rows && j <= columns && known[i * width + j]
            });
            known[i * width + j] = is_so;
        }
    }
    known[0]
}

#[cfg(test)]
mod tests;
