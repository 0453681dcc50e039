//! One name of a pattern.

use super::any_way;

/// What a name may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Exactly this.
    Name(Vec<u8>),
    /// Something like this.
    Glob(Vec<Token>),
    /// Any number of names.
    Any,
}

/// A piece of a name with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// This byte.
    Byte(u8),
    /// Anything.
    Star,
    /// One character.
    One,
    /// One character of these, or of all others.
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Segment {
    /// Reads a name; `None` where a bracket is not closed or holds nothing.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = name;
        while let Some(first) = rest.chars().next() {
            rest = &rest[first.len_utf8()..];
            match first {
                '*' if tokens.last() == Some(&Token::Star) => {}
                '*' => tokens.push(Token::Star),
                '?' => tokens.push(Token::One),
                '[' => {
                    let (class, after) = class(rest)?;
                    tokens.push(class);
                    rest = after;
                }
                '\\' => {
                    let next = rest.chars().next()?;
                    rest = &rest[next.len_utf8()..];
                    push(&mut tokens, next);
                }
                other => push(&mut tokens, other),
            }
        }
        let bytes: Option<Vec<u8>> = tokens
            .iter()
            .map(|token| match token {
                Token::Byte(byte) => Some(*byte),
                _ => None,
            })
            .collect();
        Some(bytes.map_or(Self::Glob(tokens), Self::Name))
    }

    /// The name, where it has no wildcard.
    pub(super) fn literal(&self) -> Option<&[u8]> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }

    /// Whether a name is meant.
    pub(super) fn is_match(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Glob(tokens) => is_match(tokens, name),
            Self::Any => true,
        }
    }

    /// Whether some name is meant by both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Name(name), segment) | (segment, Self::Name(name)) => segment.is_match(name),
            (Self::Glob(a), Self::Glob(b)) => overlaps(a, b),
        }
    }
}

fn push(tokens: &mut Vec<Token>, character: char) {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).bytes();
    tokens.extend(bytes.map(Token::Byte));
}

/// What stands behind an opening bracket, and what comes after the closing one.
fn class(text: &str) -> Option<(Token, &str)> {
    let inner = text.strip_prefix(['!', '^']);
    let is_negated = inner.is_some();
    let inner = inner.unwrap_or(text);
    let first = inner.chars().next()?;
    // A closing bracket at the start stands for itself (POSIX.2, 2.13.1).
    let end = first.len_utf8() + inner[first.len_utf8()..].find(']')?;
    let mut ranges = Vec::new();
    let characters: Vec<char> = inner[..end].chars().collect();
    let mut at = 0;
    while let Some(&from) = characters.get(at) {
        match (characters.get(at + 1), characters.get(at + 2)) {
            (Some('-'), Some(&to)) => {
                ranges.push((from, to));
                at += 3;
            }
            _ => {
                ranges.push((from, from));
                at += 1;
            }
        }
    }
    let class = Token::Class { is_negated, ranges };
    Some((class, &inner[end + 1..]))
}

/// The first character of a name and its length; a byte that is no UTF-8 counts as one.
fn first(name: &[u8]) -> Option<(Option<char>, usize)> {
    let length = name.len().min(4);
    let chunk = name[..length].utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(character) => Some((Some(character), character.len_utf8())),
        None => Some((None, 1)),
    }
}

impl Token {
    /// How many bytes at the start of a name it takes; `None` where it does not match. Not for stars.
    fn takes(&self, name: &[u8]) -> Option<usize> {
        match self {
            Self::Byte(byte) => (name.first() == Some(byte)).then_some(1),
            Self::One => first(name).map(|(_, length)| length),
            Self::Class { is_negated, ranges } => {
                let (character, length) = first(name)?;
                let is_in = |c: char| ranges.iter().any(|&(from, to)| (from..=to).contains(&c));
                (character.is_some_and(is_in) != *is_negated).then_some(length)
            }
            Self::Star => None,
        }
    }
}

/// Matches by going back to the last star only: linear in the name for each star.
fn is_match(tokens: &[Token], name: &[u8]) -> bool {
    let (mut at, mut rest) = (0, name);
    let mut last_star = None;
    loop {
        match tokens.get(at) {
            Some(Token::Star) => {
                last_star = Some((at, rest));
                at += 1;
                continue;
            }
            Some(token) => {
                if let Some(taken) = token.takes(rest) {
                    at += 1;
                    rest = &rest[taken..];
                    continue;
                }
            }
            None if rest.is_empty() => return true,
            None => {}
        }
        let Some((star, from)) = last_star.filter(|(_, from)| !from.is_empty()) else {
            return false;
        };
        rest = &from[1..];
        last_star = Some((star, rest));
        at = star + 1;
    }
}

/// Whether some name is meant by both; in doubt, yes.
fn overlaps(a: &[Token], b: &[Token]) -> bool {
    any_way(a.len(), b.len(), |i, j, goes_on| {
        match (a.get(i), b.get(j)) {
            (None, None) => true,
            (Some(Token::Star), other) => {
                goes_on((i + 1, j)) || (other.is_some() && goes_on((i, j + 1)))
            }
            (other, Some(Token::Star)) => {
                goes_on((i, j + 1)) || (other.is_some() && goes_on((i + 1, j)))
            }
            (Some(Token::Byte(x)), Some(Token::Byte(y))) => x == y && goes_on((i + 1, j + 1)),
            // A character may be several bytes long: whatever follows could fit.
            (Some(_), Some(_)) => true,
            _ => false,
        }
    })
}
