//! `files_edit`.

use super::{FilesTool, Outcome, Refusal, bytes, replace, schema};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// How many places are named.
const NEAR_MAX: usize = 5;
const LINE_CHARS_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    path: PathBuf,
    old: String,
    new: String,
    #[serde(default)]
    replace_all: bool,
}

pub(super) fn tool() -> FilesTool {
    let properties = json!({
        "path": { "type": "string", "description": "From the workspace's root." },
        "old": { "type": "string", "description": "The text to replace, exactly as it stands." },
        "new": { "type": "string", "description": "What to put in its place." },
        "replace_all": { "type": "boolean", "description": "Every occurrence, not just the only one." },
    });
    FilesTool {
        name: "files_edit",
        description: "Replace a text that occurs exactly once in a file.",
        parameters: schema(properties, &["path", "old", "new"]),
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments {
        path,
        old,
        new,
        replace_all,
    } = arguments;
    if old.is_empty() {
        return Err(Refusal::Arguments(
            "`old` is empty; use files_write.".to_owned(),
        ));
    }
    if old == new {
        return Err(Refusal::Arguments(
            "`old` and `new` are the same.".to_owned(),
        ));
    }
    let text = String::from_utf8(bytes(path)?).map_err(|_| {
        Refusal::Failed(format!(
            "{} is not UTF-8 and cannot be edited as text.",
            path.display()
        ))
    })?;
    let count = text.matches(old.as_str()).count();
    match count {
        0 => return Err(Refusal::Failed(not_found(&text, old, path))),
        1 => {}
        _ if *replace_all => {}
        _ => return Err(Refusal::Failed(not_once(&text, old, path, count))),
    }
    let edited = text.replace(old.as_str(), new);
    replace(path, edited.as_bytes())?;
    Ok(format!(
        "Replaced {count} occurrence(s) in {}.",
        path.display()
    ))
}

/// Says where a text is that is there too often.
fn not_once(text: &str, old: &str, path: &Path, count: usize) -> String {
    let line = |(at, _): (usize, &str)| (text[..at].matches('\n').count() + 1).to_string();
    let lines: Vec<String> = text.match_indices(old).take(NEAR_MAX).map(line).collect();
    let more = if count > NEAR_MAX { ", …" } else { "" };
    format!(
        "`old` occurs {count} times in {}, at lines {}{more}. Add lines around it, or set replace_all.",
        path.display(),
        lines.join(", ")
    )
}

/// Says that a text is not there, and where something like its first line is.
fn not_found(text: &str, old: &str, path: &Path) -> String {
    let wanted = old
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or(old)
        .trim();
    let is_like = |(_, line): &(usize, &str)| line.trim() == wanted || line.contains(wanted);
    let places: Vec<String> = text
        .lines()
        .enumerate()
        .filter(is_like)
        .take(NEAR_MAX)
        .map(|(at, line)| {
            let line: String = line.chars().take(LINE_CHARS_MAX).collect();
            format!("line {}: {line}", at + 1)
        })
        .collect();
    let missing = format!("`old` does not occur in {}.", path.display());
    if text.contains("\r\n") && text.replace("\r\n", "\n").contains(old) {
        return format!("{missing} Its lines end with \\r\\n, those of `old` with \\n.");
    }
    if places.is_empty() {
        return missing;
    }
    format!("{missing} Its first line is like {}", places.join("; "))
}
