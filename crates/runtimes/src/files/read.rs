//! `files_read`.

use super::{FilesTool, Outcome, bytes, schema};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;

const LINES_MAX: usize = 2000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    path: PathBuf,
    offset: Option<usize>,
    limit: Option<usize>,
}

pub(super) fn tool() -> FilesTool {
    let properties = json!({
        "path": { "type": "string", "description": "From the workspace's root." },
        "offset": { "type": "integer", "minimum": 1, "description": "The first line to read." },
        "limit": { "type": "integer", "minimum": 1, "description": "How many lines." },
    });
    FilesTool {
        name: "files_read",
        description: "Read a text file, or some lines of it.",
        parameters: schema(properties, &["path"]),
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let bytes = bytes(&arguments.path)?;
    let text = String::from_utf8_lossy(&bytes);
    let first = arguments.offset.unwrap_or(1).max(1);
    let limit = arguments.limit.unwrap_or(LINES_MAX);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut shown: String = lines.iter().skip(first - 1).take(limit).copied().collect();
    let after = (first - 1 + limit).min(lines.len());
    if after < lines.len() {
        shown.push_str(&format!("\n[lines {first} to {after} of {}]", lines.len()));
    }
    if std::str::from_utf8(&bytes).is_err() {
        shown.push_str("\n[bytes that are not UTF-8 are shown as \u{fffd}]");
    }
    Ok(shown)
}
