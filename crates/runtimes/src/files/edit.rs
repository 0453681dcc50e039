//! `files_edit`.

use super::{FilesTool, Outcome, Refusal, bytes, failed, replace, schema};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;

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
        _ => {
            let text = format!(
                "`old` occurs {count} times in {}. Add lines around it, or set replace_all.",
                path.display()
            );
            return Err(Refusal::Failed(text));
        }
    }
    let edited = text.replace(old.as_str(), new);
    replace(path, edited.as_bytes()).map_err(|error| failed(path, &error))?;
    Ok(format!(
        "Replaced {count} occurrence(s) in {}.",
        path.display()
    ))
}

/// Says that a text is not there, and where something like its first line is.
fn not_found(text: &str, old: &str, path: &std::path::Path) -> String {
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
        .take(3)
        .map(|(at, line)| format!("line {}: {line}", at + 1))
        .collect();
    let missing = format!("`old` does not occur in {}.", path.display());
    if places.is_empty() {
        return missing;
    }
    format!("{missing} Its first line is like {}", places.join("; "))
}
