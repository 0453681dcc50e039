//! `files_search`.

use super::list::{matcher, walk};
use super::{FilesTool, Outcome, Refusal, bytes, failed, schema};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

const MATCHES_MAX: usize = 200;
const LINE_CHARS_MAX: usize = 300;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    pattern: String,
    path: Option<PathBuf>,
    glob: Option<String>,
    #[serde(default)]
    ignore_case: bool,
    limit: Option<usize>,
}

pub(super) fn tool() -> FilesTool {
    let properties = json!({
        "pattern": { "type": "string", "description": "A regular expression, matched line by line." },
        "path": { "type": "string", "description": "A file or folder; the workspace by default." },
        "glob": { "type": "string", "description": "Only files like `**/*.rs`." },
        "ignore_case": { "type": "boolean" },
        "limit": { "type": "integer", "minimum": 1 },
    });
    FilesTool {
        name: "files_search",
        description: "Find lines that match a regular expression. Binary files are passed over.",
        parameters: schema(properties, &["pattern"]),
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let unusable = |error| Refusal::Arguments(format!("The pattern cannot be used: {error}."));
    let pattern = RegexBuilder::new(&arguments.pattern)
        .case_insensitive(arguments.ignore_case)
        .size_limit(1 << 20)
        .build()
        .map_err(unusable)?;
    let glob = arguments.glob.as_deref().map(matcher).transpose()?;
    let limit = arguments.limit.unwrap_or(MATCHES_MAX).min(MATCHES_MAX);
    let start = arguments.path.clone().unwrap_or_else(|| PathBuf::from("."));
    let mut found = Vec::new();
    let is_file = std::fs::metadata(&start)
        .map_err(|error| failed(&start, &error))?
        .is_file();
    if is_file {
        search(&pattern, &start, &mut found, limit);
    } else {
        walk(&start, true, &mut |path, metadata| {
            let shown = path.strip_prefix("./").unwrap_or(path);
            if metadata.is_file() && glob.as_ref().is_none_or(|glob| glob.is_match(shown)) {
                search(&pattern, shown, &mut found, limit);
            }
            found.len() <= limit
        })
        .map_err(|error| failed(&start, &error))?;
    }
    let is_cut = found.len() > limit;
    found.truncate(limit);
    if found.is_empty() {
        return Ok("No match.".to_owned());
    }
    if is_cut {
        found.push(format!("[more than {limit} matches; narrow the search]"));
    }
    Ok(found.join("\n"))
}

/// One line more than the limit is found, so that the cut is known.
fn search(pattern: &Regex, path: &Path, found: &mut Vec<String>, limit: usize) {
    let Ok(bytes) = bytes(path) else { return };
    if bytes.contains(&0) {
        return;
    }
    let text = String::from_utf8_lossy(&bytes);
    for (at, line) in text.lines().enumerate() {
        let Some(first) = pattern.find(line) else {
            continue;
        };
        let column = line[..first.start()].chars().count() + 1;
        let shown: String = line.chars().take(LINE_CHARS_MAX).collect();
        found.push(format!("{}:{}:{column}: {shown}", path.display(), at + 1));
        if found.len() > limit {
            return;
        }
    }
}
