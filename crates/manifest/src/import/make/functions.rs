//! Make's functions on texts.

use super::expand::{Locals, Scope, Variables};
use crate::import::glob;
use std::collections::BTreeSet;

/// Every function of make.
const FUNCTIONS: [&str; 36] = [
    "abspath",
    "addprefix",
    "addsuffix",
    "and",
    "basename",
    "call",
    "dir",
    "error",
    "eval",
    "file",
    "filter",
    "filter-out",
    "findstring",
    "firstword",
    "flavor",
    "foreach",
    "guile",
    "if",
    "info",
    "intcmp",
    "join",
    "lastword",
    "let",
    "notdir",
    "or",
    "origin",
    "patsubst",
    "realpath",
    "shell",
    "sort",
    "strip",
    "subst",
    "suffix",
    "value",
    "warning",
    "wildcard",
];
const COUNTING: [&str; 3] = ["word", "wordlist", "words"];

/// Whether a name is a function's.
pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name) || COUNTING.contains(&name)
}

/// Calls a function with its arguments as written.
pub(super) fn call(
    variables: &Variables<'_>,
    name: &str,
    written: &str,
    scope: Scope<'_>,
) -> String {
    let expand = |text: &str| variables.expand(text, scope);
    match name {
        // The shell runs it when the task runs.
        "shell" => {
            variables.program(written);
            format!("$({})", expand(written))
        }
        "if" => {
            let parts = arguments(written, 3);
            let part = |index: usize| parts.get(index).copied().unwrap_or_default();
            let is_so = !expand(part(0).trim()).is_empty();
            expand(part(if is_so { 1 } else { 2 }))
        }
        "or" => {
            let parts = arguments(written, usize::MAX);
            let mut values = parts.into_iter().map(|part| expand(part.trim()));
            values.find(|value| !value.is_empty()).unwrap_or_default()
        }
        "and" => {
            let mut last = String::new();
            for part in arguments(written, usize::MAX) {
                last = expand(part.trim());
                if last.is_empty() {
                    break;
                }
            }
            last
        }
        "foreach" => foreach(variables, &arguments(written, 3), scope),
        "call" => call_variable(variables, &arguments(written, usize::MAX), scope),
        "info" => String::new(),
        _ => {
            let parts = arguments(written, count(name));
            let parts: Vec<String> = parts.into_iter().map(expand).collect();
            let part = |index: usize| parts.get(index).map(String::as_str).unwrap_or_default();
            eager(variables, name, [part(0), part(1), part(2)]).unwrap_or_else(|| {
                variables.unsupported(&format!("$({name} {written})"));
                String::new()
            })
        }
    }
}

fn eager(variables: &Variables<'_>, name: &str, [a, b, c]: [&str; 3]) -> Option<String> {
    let number = |text: &str| text.trim().parse().unwrap_or(usize::MAX);
    let each =
        |text: &str, change: &dyn Fn(&str) -> String| joined(text.split_whitespace().map(change));
    Some(match name {
        "subst" if a.is_empty() => c.to_owned(),
        "subst" => {
            let growth = c.len().saturating_mul(b.len() / a.len().max(1) + 1);
            variables.spend(growth);
            if variables.is_spent() {
                String::new()
            } else {
                c.replace(a, b)
            }
        }
        "patsubst" => patsubst(variables, a.trim(), b.trim(), c),
        "strip" => each(a, &str::to_owned),
        "findstring" if b.contains(a) => a.to_owned(),
        "findstring" => String::new(),
        "filter" | "filter-out" => {
            let patterns: Vec<&str> = a.split_whitespace().collect();
            let is_match = |word: &&str| patterns.iter().any(|of| stem(of, word).is_some());
            let is_wanted = |word: &&str| is_match(word) == (name == "filter");
            variables.spend(patterns.len().saturating_mul(b.len()));
            joined(b.split_whitespace().filter(is_wanted).map(str::to_owned))
        }
        "sort" => joined(
            BTreeSet::from_iter(a.split_whitespace())
                .into_iter()
                .map(str::to_owned),
        ),
        "word" => b
            .split_whitespace()
            .nth(number(a).wrapping_sub(1))
            .unwrap_or_default()
            .to_owned(),
        "words" => a.split_whitespace().count().to_string(),
        "wordlist" => {
            let (first, last) = (number(a).max(1), number(b));
            let count = last.saturating_sub(first - 1);
            joined(
                c.split_whitespace()
                    .skip(first - 1)
                    .take(count)
                    .map(str::to_owned),
            )
        }
        "firstword" => a.split_whitespace().next().unwrap_or_default().to_owned(),
        "lastword" => a.split_whitespace().last().unwrap_or_default().to_owned(),
        "dir" => each(a, &folder),
        "notdir" => each(a, &|word| word[folder_end(word)..].to_owned()),
        "suffix" => each(a, &|word| word[suffix_start(word)..].to_owned())
            .trim()
            .to_owned(),
        "basename" => each(a, &|word| word[..suffix_start(word)].to_owned()),
        "addprefix" | "addsuffix" => {
            variables.spend(a.len().saturating_mul(b.split_whitespace().count()));
            if variables.is_spent() {
                String::new()
            } else if name == "addprefix" {
                each(b, &|word| format!("{a}{word}"))
            } else {
                each(b, &|word| format!("{word}{a}"))
            }
        }
        "join" => join(a, b),
        "wildcard" => wildcard(variables, a),
        "origin" => variables.origin(a.trim()).to_owned(),
        _ => return None,
    })
}

const fn count(name: &str) -> usize {
    match name.as_bytes() {
        b"subst" | b"patsubst" | b"wordlist" => 3,
        b"findstring" | b"filter" | b"filter-out" | b"word" | b"addprefix" | b"addsuffix"
        | b"join" => 2,
        _ => 1,
    }
}

/// Splits at commas that stand in no bracket; the last argument takes the rest.
fn arguments(text: &str, count_max: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    for (index, character) in text.char_indices() {
        match character {
            '(' | '{' => depth += 1,
            ')' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 && parts.len() + 1 < count_max => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn foreach(variables: &Variables<'_>, parts: &[&str], scope: Scope<'_>) -> String {
    let [name, list, body] = parts else {
        return String::new();
    };
    let name = variables.expand(name, scope);
    let mut locals = scope.locals.clone();
    let mut results = Vec::new();
    for word in variables.expand(list, scope).split_whitespace() {
        if variables.is_spent() {
            break;
        }
        locals.insert(name.trim().to_owned(), word.to_owned());
        results.push(variables.expand(body, scope.with(&locals)));
    }
    results.join(" ")
}

fn call_variable(variables: &Variables<'_>, parts: &[&str], scope: Scope<'_>) -> String {
    let Some((name, parameters)) = parts.split_first() else {
        return String::new();
    };
    let name = variables.expand(name, scope).trim().to_owned();
    let mut locals = Locals::clone(scope.locals);
    locals.insert("0".to_owned(), name.clone());
    for number in 1..=9 {
        let value = parameters
            .get(number - 1)
            .map(|part| variables.expand(part, scope));
        locals.insert(number.to_string(), value.unwrap_or_default());
    }
    if is_function(&name) {
        variables.unsupported(&format!("$(call {name},…)"));
        return String::new();
    }
    variables.expand(&format!("$({name})"), scope.with(&locals))
}

/// The files that patterns match.
fn wildcard(variables: &Variables<'_>, patterns: &str) -> String {
    joined(
        patterns
            .split_whitespace()
            .flat_map(|pattern| matching(variables, pattern)),
    )
}

/// The files that a pattern matches.
pub(super) fn matching(variables: &Variables<'_>, pattern: &str) -> Vec<String> {
    let plain = pattern.trim_start_matches("./");
    variables.spend(variables.files().len());
    let Some(matcher) = glob::matcher(plain).filter(|_| !variables.is_spent()) else {
        return Vec::new();
    };
    let prefix = &pattern[..pattern.len() - plain.len()];
    let files = variables.files().iter();
    let found = files.filter(|file| matcher.is_match(file));
    let found: Vec<String> = found.map(|file| format!("{prefix}{file}")).collect();
    variables.spend(found.iter().map(String::len).sum());
    found
}

fn join(a: &str, b: &str) -> String {
    let (mut a, mut b) = (a.split_whitespace(), b.split_whitespace());
    let mut words = Vec::new();
    loop {
        match (a.next(), b.next()) {
            (None, None) => return words.join(" "),
            (a, b) => words.push(a.unwrap_or_default().to_owned() + b.unwrap_or_default()),
        }
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn folder(word: &str) -> String {
    match folder_end(word) {
        0 => "./".to_owned(),
        end => word[..end].to_owned(),
    }
}

fn folder_end(word: &str) -> usize {
    word.rfind('/').map_or(0, |at| at + 1)
}

fn suffix_start(word: &str) -> usize {
    let folder = folder_end(word);
    word[folder..]
        .rfind('.')
        .map_or(word.len(), |at| folder + at)
}

/// What `%` stands for where a word matches a pattern; a pattern without `%` matches itself.
pub(super) fn stem<'w>(pattern: &str, word: &'w str) -> Option<&'w str> {
    match pattern.split_once('%') {
        Some((start, end)) => {
            let rest = word.strip_prefix(start)?;
            rest.strip_suffix(end)
        }
        None => (pattern == word).then_some(""),
    }
}

/// Replaces in each word that matches.
pub(super) fn patsubst(variables: &Variables<'_>, from: &str, to: &str, text: &str) -> String {
    variables.spend(to.len().saturating_mul(text.split_whitespace().count()));
    if variables.is_spent() {
        return String::new();
    }
    let change = |word: &str| match stem(from, word) {
        Some(stem) => to.replacen('%', stem, 1),
        None => word.to_owned(),
    };
    joined(text.split_whitespace().map(change))
}
