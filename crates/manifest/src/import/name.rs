//! Names that projects and tasks may have here, for whatever they are called elsewhere.

use std::collections::{BTreeMap, BTreeSet};

const LENGTH_MAX: usize = 64;

/// New names by old ones; no two are the same.
#[derive(Debug, Default)]
pub(super) struct Names {
    chosen: BTreeMap<String, String>,
}

impl Names {
    /// Chooses names. An old name that may stay as it is does.
    pub(super) fn new<'a>(old: impl IntoIterator<Item = &'a str>) -> Self {
        let (fit, unfit): (BTreeSet<_>, BTreeSet<_>) =
            old.into_iter().partition(|old| mapped(old) == **old);
        let mut taken: BTreeSet<String> = fit.iter().map(|&name| name.to_owned()).collect();
        let mut chosen: BTreeMap<_, _> = fit
            .iter()
            .map(|&name| (name.to_owned(), name.to_owned()))
            .collect();
        for old in unfit {
            let name = free(&mapped(old), &taken);
            taken.insert(name.clone());
            chosen.insert(old.to_owned(), name);
        }
        Self { chosen }
    }

    /// The new name of an old one.
    pub(super) fn get(&self, old: &str) -> String {
        self.chosen.get(old).cloned().unwrap_or_else(|| mapped(old))
    }
}

/// The text with everything that a name may not hold replaced by `-`.
pub(super) fn mapped(text: &str) -> String {
    let mut name = String::new();
    for character in text.chars() {
        let is_good = character.is_ascii_alphanumeric() || "._-".contains(character);
        match character {
            _ if !is_good && name.ends_with('-') => {}
            _ if !is_good => name.push('-'),
            good => name.push(good),
        }
    }
    let is_edge = |c: char| !c.is_ascii_alphanumeric();
    let mut name = name.trim_start_matches(is_edge).to_owned();
    name.truncate(LENGTH_MAX);
    if text.ends_with(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)) {
        name.truncate(name.trim_end_matches('-').len());
    }
    if name.is_empty() {
        "task".to_owned()
    } else {
        name
    }
}

/// Whether the environment could hold a variable of this name.
pub(super) fn is_variable(name: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| is_inside(c) && !c.is_ascii_digit()) && name.chars().all(is_inside)
}

/// The name, with a number where it is taken.
pub(super) fn free(name: &str, taken: &BTreeSet<String>) -> String {
    let numbered = |number: usize| {
        let end = format!("-{number}");
        let start: String = name.chars().take(LENGTH_MAX - end.len()).collect();
        start + &end
    };
    let mut candidate = name.to_owned();
    let mut number = 2;
    while taken.contains(&candidate) {
        candidate = numbered(number);
        number += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let names = Names::new([
            "a/b.o",
            "a-b.o",
            "build:prod",
            "../x",
            "%",
            "",
            "ünïcode",
            "lint_",
        ]);
        for (old, new) in [
            ("a/b.o", "a-b.o-2"),
            ("a-b.o", "a-b.o"),
            ("build:prod", "build-prod"),
            ("../x", "x"),
            ("%", "task-2"),
            ("", "task"),
            ("ünïcode", "n-code"),
            ("lint_", "lint_"),
        ] {
            assert_eq!(names.get(old), new, "{old}");
        }
        assert_eq!(mapped(&"x".repeat(100)).len(), 64);
    }
}
