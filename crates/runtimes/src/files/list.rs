//! `files_list`.

use super::{FilesTool, Outcome, Refusal, failed, schema};
use globset::{Glob, GlobMatcher};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

const ENTRIES_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    path: Option<PathBuf>,
    glob: Option<String>,
    #[serde(default)]
    recursive: bool,
    limit: Option<usize>,
}

pub(super) fn tool() -> FilesTool {
    let properties = json!({
        "path": { "type": "string", "description": "The folder; the workspace by default." },
        "glob": { "type": "string", "description": "Only paths like `src/**/*.rs`." },
        "recursive": { "type": "boolean", "description": "With everything below." },
        "limit": { "type": "integer", "minimum": 1 },
    });
    FilesTool {
        name: "files_list",
        description: "List files and folders, sorted.",
        parameters: schema(properties, &[]),
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let folder = arguments.path.clone().unwrap_or_else(|| PathBuf::from("."));
    let glob = arguments.glob.as_deref().map(matcher).transpose()?;
    let is_deep = arguments.recursive || glob.is_some();
    let limit = arguments.limit.unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
    let mut lines = Vec::new();
    walk(&folder, is_deep, &mut |path, found| {
        let shown = path.strip_prefix("./").unwrap_or(path);
        if glob.as_ref().is_none_or(|glob| glob.is_match(shown)) {
            lines.push(line(shown, found));
        }
        lines.len() <= limit
    })
    .map_err(|error| failed(&folder, &error))?;
    let is_cut = lines.len() > limit;
    lines.truncate(limit);
    if lines.is_empty() {
        return Ok("Nothing there.".to_owned());
    }
    if is_cut {
        lines.push(format!("[more than {limit}; ask for less at once]"));
    }
    Ok(lines.join("\n"))
}

fn line(path: &Path, found: &std::fs::Metadata) -> String {
    let mark = if found.is_dir() {
        "/"
    } else if found.is_symlink() {
        "@"
    } else {
        ""
    };
    if found.is_file() {
        format!("{}{mark}  {}", path.display(), found.len())
    } else {
        format!("{}{mark}", path.display())
    }
}

pub(super) fn matcher(glob: &str) -> Result<GlobMatcher, Refusal> {
    let unusable = |error| Refusal::Arguments(format!("The glob cannot be used: {error}."));
    Glob::new(glob)
        .map(|glob| glob.compile_matcher())
        .map_err(unusable)
}

/// Visits what is below a folder in order, links not followed, until `visit` answers false. What
/// cannot be read below the folder is passed over.
pub(super) fn walk(
    folder: &Path,
    is_deep: bool,
    visit: &mut dyn FnMut(&Path, &std::fs::Metadata) -> bool,
) -> std::io::Result<bool> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let Ok(found) = entry.metadata() else {
            continue;
        };
        if !visit(&path, &found) {
            return Ok(false);
        }
        if is_deep && found.is_dir() && !walk(&path, true, visit).unwrap_or(true) {
            return Ok(false);
        }
    }
    Ok(true)
}
