//! The forms that a line may have.

use super::lines::outside;

/// A variable's name, the operator and the text.
pub(super) type Assignment<'t> = (&'t str, &'t str, &'t str);

/// Whether a target says something about the makefile rather than about a file.
pub(super) fn is_special(name: &str) -> bool {
    let rest = name.strip_prefix('.').unwrap_or_default();
    let is_upper = !rest.is_empty() && rest.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    is_upper || suffixes(name).is_some()
}

/// `.c.o`, the old way to write `%.o: %.c`.
pub(super) fn suffixes(name: &str) -> Option<(&str, &str)> {
    let at = name.strip_prefix('.')?.find('.')? + 1;
    let (source, target) = name.split_at(at);
    let is_plain =
        |suffix: &str| suffix.len() > 1 && suffix[1..].chars().all(|c| c.is_ascii_alphanumeric());
    (is_plain(source) && is_plain(target)).then_some((source, target))
}

/// The words before an assignment; whether one exports.
pub(super) fn modifiers(mut text: &str) -> (bool, &str) {
    let mut is_exported = false;
    loop {
        let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        match word {
            "export" => is_exported = true,
            "override" | "private" if !rest.is_empty() => {}
            _ => return (is_exported, text),
        }
        text = rest.trim_start();
    }
}

/// An assignment, where the text is one.
pub(super) fn assignment(text: &str) -> Option<Assignment<'_>> {
    let at = outside(text, &['=', ':'])?;
    let colons = text[at..].len() - text[at..].trim_start_matches(':').len();
    let is_equals = text[at + colons..].starts_with('=');
    if !is_equals {
        return None;
    }
    let before = &text[..at];
    let marked = before.strip_suffix(['?', '+', '!']).filter(|_| colons == 0);
    let name = marked.unwrap_or(before);
    let operator = &text[name.len()..=at + colons];
    let name = name.trim();
    let is_name = !name.is_empty() && outside(name, &[' ', '\t', ';', '|']).is_none();
    is_name.then(|| (name, operator, text[at + colons + 1..].trim_start()))
}

/// The names in a list: a backslash keeps a space or a colon in one, and others stay.
pub(super) fn names(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut slashes = 0;
    for character in text.chars() {
        let is_special = character.is_whitespace() || character == ':';
        let Some(name) = names.last_mut() else { break };
        match character {
            '\\' => {
                slashes += 1;
                continue;
            }
            _ if !is_special => name.extend(std::iter::repeat_n('\\', slashes)),
            _ => name.extend(std::iter::repeat_n('\\', slashes / 2)),
        }
        match character {
            _ if character.is_whitespace() && slashes % 2 == 0 => names.push(String::new()),
            _ => name.push(character),
        }
        slashes = 0;
    }
    if let Some(name) = names.last_mut() {
        name.extend(std::iter::repeat_n('\\', slashes));
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The recipe on the line of its rule, in which `#` begins no comment.
pub(super) fn inline_recipe(raw: &str) -> Option<String> {
    let at = outside(raw, &[';'])?;
    Some(raw[at + 1..].trim_start().to_owned())
}

/// The two sides of a condition: `(a,b)` or two quoted texts.
pub(super) fn operands(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
    {
        let at = outside(inner, &[','])?;
        return Some((inner[..at].trim(), inner[at + 1..].trim()));
    }
    let quote = text.chars().next().filter(|c| "'\"".contains(*c))?;
    let (a, rest) = text[1..].split_once(quote)?;
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|c| "'\"".contains(*c))?;
    let (b, _) = rest[1..].split_once(quote)?;
    Some((a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_told_from_rules() {
        for (text, parts) in [
            ("A=1", Some(("A", "=", "1"))),
            ("A := $(B:c=d) e", Some(("A", ":=", "$(B:c=d) e"))),
            ("A ::= x", Some(("A", "::=", "x"))),
            ("$(A:b=c)_x += y", Some(("$(A:b=c)_x", "+=", "y"))),
            ("A ?=", Some(("A", "?=", ""))),
            ("A != date", Some(("A", "!=", "date"))),
            ("a: B = c", None),
            ("a: b", None),
            ("; A=1 run", None),
            ("= x", None),
            ("plain", None),
        ] {
            assert_eq!(assignment(text), parts, "{text}");
        }
    }

    #[test]
    fn names_may_hold_spaces_and_colons() {
        let text = "my\\ file.o  a\\:b\tc\\d e\\\\ f\\";
        assert_eq!(names(text), ["my file.o", "a:b", "c\\d", "e\\", "f\\"]);
    }

    #[test]
    fn conditions_have_two_forms() {
        assert_eq!(operands("($(A),b c)"), Some(("$(A)", "b c")));
        assert_eq!(operands("'a' \"b\""), Some(("a", "b")));
        assert_eq!(operands("(a)"), None);
        assert_eq!(operands("a b"), None);
    }

    #[test]
    fn special_targets_are_known_by_their_names() {
        assert!(is_special(".PHONY") && is_special(".c.o") && !is_special(".venv"));
        assert_eq!(suffixes(".c.o"), Some((".c", ".o")));
        assert_eq!(modifiers("export override A = 1"), (true, "A = 1"));
    }
}
