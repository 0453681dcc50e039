//! JSON as people write it, with comments and trailing commas, and the line of every word.
//!
//! It is read by the reader of manifests: what is left of such a file without its comments is YAML.

use super::ImportError;
use super::notes::Notes;
use crate::finding::{Findings, Problem};
use crate::yaml::{self, Content, Key, Node};
use std::iter::Peekable;
use std::str::Chars;

/// Reads JSON with comments.
pub(super) fn parse(file: &str, text: &str, notes: &mut Notes) -> Result<Node, ImportError> {
    parse_yaml(file, &plain(text), notes)
}

/// Reads YAML. A key that is there twice, or an anchor, is noted.
pub(super) fn parse_yaml(file: &str, text: &str, notes: &mut Notes) -> Result<Node, ImportError> {
    let mut findings = Findings::new(file);
    let root = yaml::parse(text, &mut findings);
    for finding in findings.finish::<()>(None).findings {
        let is_fatal = matches!(
            finding.problem,
            Problem::Syntax
                | Problem::Tab
                | Problem::TooDeep { .. }
                | Problem::SeveralDocuments
                | Problem::Empty
        );
        if is_fatal {
            let (line, message) = (finding.line, finding.message);
            let file = file.to_owned();
            return Err(ImportError::Syntax {
                file,
                line,
                message,
            });
        }
        notes.add(file, finding.line, finding.field, finding.message);
    }
    let wrong = |line, message: &str| ImportError::Syntax {
        file: file.to_owned(),
        line,
        message: message.to_owned(),
    };
    match root {
        Some(root) if matches!(root.content, Content::Map(_)) => Ok(root),
        Some(other) => Err(wrong(other.at.line, "an object belongs here")),
        None => Err(wrong(1, "the file is empty")),
    }
}

/// The entries of a map, and none of anything else.
pub(super) fn entries(node: &Node) -> &[(Key, Node)] {
    match &node.content {
        Content::Map(entries) => entries,
        Content::Scalar { .. } | Content::List(_) | Content::Refused => &[],
    }
}

/// The entries of the map under a key. Something else in its place is noted.
pub(super) fn map<'a>(
    file: &str,
    node: &'a Node,
    key: &str,
    notes: &mut Notes,
) -> &'a [(Key, Node)] {
    let Some(found) = get(node, key) else {
        return &[];
    };
    if !matches!(found.content, Content::Map(_)) {
        let why = "not carried over: an object belongs there";
        notes.add(file, found.at.line, key, why);
    }
    entries(found)
}

/// What a map has under a key.
pub(super) fn get<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    entries(node)
        .iter()
        .find(|(found, _)| found.text == key)
        .map(|(_, node)| node)
}

/// The text of a scalar.
pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.content {
        Content::Scalar { text, .. } => Some(text),
        Content::List(_) | Content::Map(_) | Content::Refused => None,
    }
}

/// The items of a list, and none of anything else.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.content {
        Content::List(items) => items,
        Content::Scalar { .. } | Content::Map(_) | Content::Refused => &[],
    }
}

/// Whether a node is anything but a list of texts.
pub(super) fn is_mixed(node: &Node) -> bool {
    let Content::List(items) = &node.content else {
        return true;
    };
    items.iter().any(|item| text(item).is_none())
}

/// The texts in a list.
pub(super) fn texts(node: &Node) -> Vec<&str> {
    items(node).iter().filter_map(text).collect()
}

/// Whether a node is a text in quotes.
pub(super) fn is_string(node: &Node) -> bool {
    matches!(
        node.content,
        Content::Scalar {
            is_plain: false,
            ..
        }
    )
}

/// Whether a node is this word, without quotes.
pub(super) fn is_word(node: &Node, word: &str) -> bool {
    matches!(&node.content, Content::Scalar { text, is_plain: true } if text == word)
}

/// The text without comments, with every line where it was.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.trim_start_matches('\u{FEFF}').chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('"', _) => {
                plain.push('"');
                string(&mut characters, &mut plain);
            }
            ('/', Some('/')) => while characters.next_if(|&c| c != '\n').is_some() {},
            ('/', Some('*')) => {
                characters.next();
                let mut last = ' ';
                for character in characters.by_ref() {
                    if character == '\n' {
                        plain.push('\n');
                    }
                    if (last, character) == ('*', '/') {
                        break;
                    }
                    last = character;
                }
                plain.push(' ');
            }
            // The reader ends flow lists at lines that begin in the first column.
            ('\n', _) => plain.push_str("\n "),
            (control, _) if control.is_control() => plain.push(' '),
            (other, _) => plain.push(other),
        }
    }
    plain
}

/// Copies up to the closing quote. Characters written as two halves, which YAML does not know, are put
/// together.
fn string(from: &mut Peekable<Chars<'_>>, to: &mut String) {
    while let Some(character) = from.next() {
        match character {
            '"' => {
                to.push('"');
                return;
            }
            '\\' if from.peek() == Some(&'u') => {
                from.next();
                unicode(from, to);
            }
            '\\' => {
                to.push('\\');
                to.extend(from.next());
            }
            control if control.is_control() && control != '\n' => to.push(' '),
            other => to.push(other),
        }
    }
}

fn unicode(from: &mut Peekable<Chars<'_>>, to: &mut String) {
    let first = hexadecimal(from);
    let is_high = (0xD800..0xDC00).contains(&first);
    let mut ahead = from.clone();
    let code = if is_high && ahead.next() == Some('\\') && ahead.next() == Some('u') {
        let second = hexadecimal(&mut ahead);
        *from = ahead;
        0x10000 + ((first - 0xD800) << 10) + (second.wrapping_sub(0xDC00) & 0x3FF)
    } else {
        first
    };
    match char::from_u32(code) {
        Some(character) if character.is_alphanumeric() || code > 0xFFFF => to.push(character),
        Some(_) => to.push_str(&format!("\\u{code:04x}")),
        None => to.push(char::REPLACEMENT_CHARACTER),
    }
}

fn hexadecimal(from: &mut Peekable<Chars<'_>>) -> u32 {
    let mut value = 0;
    for _ in 0..4 {
        let Some(digit) = from.peek().and_then(|character| character.to_digit(16)) else {
            break;
        };
        from.next();
        value = value * 16 + digit;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_commas_and_halves_are_understood() {
        let source = "\u{FEFF}// head\n{\n\t\"a\": [1, 2,], /* one\n two */ \"b//\": \"/*\\ud83d\\ude00\\/\\\"\\u0041\",\n\"c\":true,\n}\n";
        let mut notes = Notes::default();
        let root = parse("x.json", source, &mut notes).unwrap();
        assert_eq!(texts(get(&root, "a").unwrap()), ["1", "2"]);
        let b = get(&root, "b//").unwrap();
        assert_eq!((text(b), b.at.line), (Some("/*😀/\"A"), 4));
        assert!(is_word(get(&root, "c").unwrap(), "true"));
    }

    #[test]
    fn what_is_no_json_is_named_with_its_line() {
        let mut notes = Notes::default();
        let error = parse("x.json", "{\n\"a\": [1,\n", &mut notes).unwrap_err();
        assert!(matches!(error, ImportError::Syntax { .. }), "{error}");
    }
}
