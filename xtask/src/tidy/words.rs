//! Words that must not be in the repository, and words that the glossary must explain.

use crate::place::{Failure, Findings, Place};

const GLOSSARY: &str = "docs/glossary.md";

/// What the interface speaks of; a newcomer must find each in the glossary.
const TERMS: &[&str] = &[
    "agent",
    "blob",
    "code",
    "digest",
    "effect",
    "event",
    "in doubt",
    "journal",
    "model",
    "node",
    "probe",
    "provider",
    "quarantine",
    "record",
    "replay",
    "report",
    "sandbox",
    "session",
    "step",
    "tool",
    "turn",
    "view",
    "workspace",
];

/// Notes to oneself. Split, so that this file passes its own rule.
const MARKERS: &[(&str, &str)] = &[("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK")];

pub(crate) fn findings(place: &Place) -> Result<Findings, Failure> {
    let mut found = Vec::new();
    for path in place.files("", &["rs", "toml", "md", "yaml", "sh"])? {
        found.extend(markers(&path, &place.read(&path)?));
    }
    if place.join(GLOSSARY).exists() {
        found.extend(missing_terms(&place.read(GLOSSARY)?));
    } else {
        found.push(format!(
            "{GLOSSARY}: missing; explain the words of the interface, one a line"
        ));
    }
    Ok(found)
}

fn markers(path: &str, text: &str) -> Findings {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (start, end) in MARKERS {
            if holds_word(line, &format!("{start}{end}")) {
                found.push(format!(
                    "{path}:{number}: `{start}{end}`: do it now, or open an issue"
                ));
            }
        }
        if is_conflict(line) {
            found.push(format!(
                "{path}:{number}: what a merge left: say which side holds"
            ));
        }
        if line.trim() == "#[ignore]" {
            found.push(format!(
                "{path}:{number}: say why: `#[ignore = \"reason\"]`"
            ));
        }
    }
    found
}

/// Whether a line is git's mark around two sides of a conflict.
fn is_conflict(line: &str) -> bool {
    let mark = line.split(' ').next().unwrap_or_default();
    let is_mark = |letter: char| mark.len() == 7 && mark.chars().all(|other| other == letter);
    ['<', '>', '|'].into_iter().any(is_mark)
}

fn holds_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !is_part(before.chars().next_back()) && !is_part(after.chars().next())
    })
}

/// A term is explained where a line begins with it, in a list, a table or a heading.
fn missing_terms(glossary: &str) -> Findings {
    let starts: Vec<String> = glossary
        .lines()
        .map(|line| {
            line.trim_start_matches(['-', '*', '#', '|', '`', ' '])
                .to_lowercase()
        })
        .collect();
    let is_missing = |term: &&&str| !starts.iter().any(|line| line.starts_with(**term));
    let advice = |term| format!("{GLOSSARY}: explain `{term}`, on a line that begins with it");
    TERMS.iter().filter(is_missing).map(advice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_as_words_only() {
        let marker = ["TO", "DO"].concat();
        assert_eq!(markers("p", &format!("// {marker}: later")).len(), 1);
        assert!(markers("p", &format!("{marker}S and a{marker}")).is_empty());
        assert_eq!(markers("p", "    #[ignore]").len(), 1);
        let conflict = ["<<<<<<", "< HEAD\na\n=======\nb\n>>>>>>", "> abc (x)\n"].concat();
        assert_eq!(markers("p", &conflict).len(), 2);
        assert!(markers("p", "a << 7\n> > quoted\n").is_empty());
    }

    #[test]
    fn the_glossary_must_explain_the_terms() {
        let all: String = TERMS
            .iter()
            .map(|term| format!("- **{term}**: x\n"))
            .collect();
        assert!(missing_terms(&all).is_empty());
        assert_eq!(missing_terms(&all.replace("**journal**", "x")).len(), 1);
    }
}
