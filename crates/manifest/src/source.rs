//! From bytes to text: size, encoding, and characters that YAML does not know.

use crate::BYTES_MAX;
use crate::finding::{Findings, Place, Position, Problem};
use std::borrow::Cow;

/// The text of a manifest, or `None` where going on would make no sense.
pub(crate) fn text<'a>(bytes: &'a [u8], findings: &mut Findings) -> Option<Cow<'a, str>> {
    if bytes.len() > BYTES_MAX {
        let problem = Problem::TooLarge {
            bytes: bytes.len(),
            bytes_max: BYTES_MAX,
        };
        let message = format!("the file has more than the {BYTES_MAX} bytes that a manifest may");
        findings.add(Place::START.finding(problem, message));
        return None;
    }
    if let Some((encoding, byte)) = foreign_encoding(bytes) {
        let message = format!("the file seems to be {encoding} (byte {byte}), not UTF-8");
        let problem = Problem::Encoding { encoding, byte };
        findings.add(
            Place::START
                .finding(problem, message)
                .hint("save it as UTF-8"),
        );
        return None;
    }
    let (bytes, mark) = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => (rest, 3),
        None => (bytes, 0),
    };
    if mark > 0 {
        let problem = Problem::Encoding {
            encoding: "UTF-8 with a byte order mark",
            byte: 0,
        };
        let found =
            Place::START.finding(problem, "the file starts with a byte order mark (byte 0)");
        findings.add(found.hint("save it as UTF-8 without byte order mark"));
    }
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = std::str::from_utf8(bytes) {
        let byte = error.valid_up_to() + mark;
        let at = position(&bytes[..error.valid_up_to()]);
        let message = format!("the byte at offset {byte} is not UTF-8");
        let found = Place::START
            .at(at)
            .finding(Problem::NotUtf8 { byte }, message);
        findings.add(found.hint("save the file as UTF-8"));
    }
    (!has_control_characters(&text, mark, findings)).then_some(text)
}

fn foreign_encoding(bytes: &[u8]) -> Option<(&'static str, usize)> {
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] | [0, 0, 0, 1..=255, ..] => {
            Some(("UTF-32", 0))
        }
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(("UTF-16", 0)),
        [1..=255, 0, 0, 0, ..] => Some(("UTF-32", 1)),
        [1..=255, 0, 1..=255, 0, ..] => Some(("UTF-16", 1)),
        [0, 1..=255, 0, 1..=255, ..] => Some(("UTF-16", 0)),
        _ => None,
    }
}

fn has_control_characters(text: &str, mark: usize, findings: &mut Findings) -> bool {
    let is_refused = |c: char| {
        matches!(c, '\0'..='\x08' | '\x0B' | '\x0C' | '\x0E'..='\x1F' | '\x7F'..='\u{84}')
            || matches!(
                c,
                '\u{86}'..='\u{9F}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}'
            )
    };
    let mut found_any = false;
    let (mut line, mut column) = (1u32, 1u32);
    let mut characters = text.char_indices().peekable();
    while let Some((byte, c)) = characters.next() {
        if is_refused(c) {
            found_any = true;
            let code_point = u32::from(c);
            let byte = byte + mark;
            let name = if c == '\0' { " (NUL)" } else { "" };
            let message = format!("the control character U+{code_point:04X}{name} is not allowed");
            let problem = Problem::ControlCharacter { code_point, byte };
            let place = Place::START.at(Position { line, column });
            findings.add(place.finding(problem, message));
        }
        let is_break = c == '\n' || (c == '\r' && characters.peek().is_none_or(|n| n.1 != '\n'));
        (line, column) = if is_break {
            (line + 1, 1)
        } else {
            (line, column + 1)
        };
    }
    found_any
}

/// The position after some valid bytes.
fn position(before: &[u8]) -> Position {
    let text = String::from_utf8_lossy(before);
    let line = text.matches('\n').count() + 1;
    let column = text
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    Position {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
    }
}
