//! `files_list`.

use super::{FilesTool, Outcome, Refusal, failed, schema, shown};
use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use serde_json::json;
use std::fs::Metadata;
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
        "glob": { "type": "string", "description": "Only paths like `src/**/*.rs`, or names like `*.rs`, everywhere below." },
        "recursive": { "type": "boolean", "description": "With everything below, but for what is in `.git`." },
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
    let glob = arguments.glob.as_deref().map(Pattern::new).transpose()?;
    let is_deep = arguments.recursive || glob.is_some();
    let limit = limit(arguments.limit, ENTRIES_MAX);
    let mut lines = Vec::new();
    let mut walk = Walk::new(&folder, is_deep);
    walk.run(&mut |path, found| {
        if glob.as_ref().is_none_or(|glob| glob.matches(&folder, path)) {
            lines.push(line(path, found));
        }
        lines.len() <= limit
    })?;
    let is_cut = lines.len() > limit;
    lines.truncate(limit);
    if lines.is_empty() {
        lines.push("Nothing there.".to_owned());
    }
    if is_cut {
        lines.push(format!("[more than {limit}; ask for less at once]"));
    }
    lines.extend(walk.notice());
    Ok(lines.join("\n"))
}

/// At least one, at most `most`.
pub(super) fn limit(wanted: Option<usize>, most: usize) -> usize {
    wanted.unwrap_or(most).clamp(1, most)
}

fn line(path: &Path, found: &Metadata) -> String {
    let path = shown(path);
    if found.is_file() {
        format!("{path}  {}", found.len())
    } else if found.is_dir() {
        format!("{path}/")
    } else if found.is_symlink() {
        format!("{path}@")
    } else {
        format!("{path}  (no regular file)")
    }
}

/// A glob. Without a `/` it is for the name alone; otherwise for the path, from the workspace or from
/// the folder that is looked at.
pub(super) struct Pattern {
    matcher: GlobMatcher,
    is_name: bool,
}

impl Pattern {
    pub(super) fn new(glob: &str) -> Result<Self, Refusal> {
        let unusable = |error| Refusal::Arguments(format!("The glob cannot be used: {error}."));
        let built = GlobBuilder::new(glob.strip_prefix("./").unwrap_or(glob))
            .literal_separator(true)
            .build();
        Ok(Self {
            matcher: built.map_err(unusable)?.compile_matcher(),
            is_name: !glob.contains('/'),
        })
    }

    pub(super) fn matches(&self, folder: &Path, path: &Path) -> bool {
        if self.is_name {
            return path
                .file_name()
                .is_some_and(|name| self.matcher.is_match(name));
        }
        let below = path.strip_prefix(folder).unwrap_or(path);
        self.matcher.is_match(path) || self.matcher.is_match(below)
    }
}

/// A walk through a folder in order. Links are not followed, and `.git` is not entered from above.
pub(super) struct Walk<'a> {
    folder: &'a Path,
    is_deep: bool,
    unreadable: usize,
}

type Visit<'a> = &'a mut dyn FnMut(&Path, &Metadata) -> bool;

impl<'a> Walk<'a> {
    pub(super) fn new(folder: &'a Path, is_deep: bool) -> Self {
        Self {
            folder,
            is_deep,
            unreadable: 0,
        }
    }

    /// Visits everything until `visit` answers false. Paths below `.` have no `./`.
    pub(super) fn run(&mut self, visit: Visit<'_>) -> Result<(), Refusal> {
        let found = std::fs::metadata(self.folder).map_err(|error| failed(self.folder, &error))?;
        if !found.is_dir() {
            let text = format!("{} is no folder.", self.folder.display());
            return Err(Refusal::Failed(text));
        }
        self.level(self.folder, visit)
            .map_err(|error| failed(self.folder, &error))?;
        Ok(())
    }

    /// What was left out, where something was.
    pub(super) fn notice(&self) -> Option<String> {
        (self.unreadable > 0).then(|| format!("[{} folder(s) cannot be read]", self.unreadable))
    }

    fn level(&mut self, folder: &Path, visit: Visit<'_>) -> std::io::Result<bool> {
        let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let path = path.strip_prefix("./").unwrap_or(&path);
            let Ok(found) = entry.metadata() else {
                continue;
            };
            if !visit(path, &found) {
                return Ok(false);
            }
            if !self.is_deep || !found.is_dir() || entry.file_name() == ".git" {
                continue;
            }
            match self.level(path, visit) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(true)
    }
}
