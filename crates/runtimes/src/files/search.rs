//! `files_search`.

use super::list::{Pattern, Walk, limit};
use super::{FilesTool, Outcome, Refusal, bytes, failed, open, schema, shown};
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
        "glob": { "type": "string", "description": "Only paths like `src/**/*.rs`, or names like `*.rs`." },
        "ignore_case": { "type": "boolean" },
        "limit": { "type": "integer", "minimum": 1 },
    });
    FilesTool {
        name: "files_search",
        description: "Find lines that match a regular expression. Binary files and `.git` are passed over.",
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
    let glob = arguments.glob.as_deref().map(Pattern::new).transpose()?;
    let start = arguments.path.clone().unwrap_or_else(|| PathBuf::from("."));
    let mut search = Search {
        pattern,
        limit: limit(arguments.limit, MATCHES_MAX),
        found: Vec::new(),
        passed_over: 0,
    };
    let metadata = std::fs::metadata(&start).map_err(|error| failed(&start, &error))?;
    let mut notice = None;
    if metadata.is_dir() {
        let mut walk = Walk::new(&start, true);
        walk.run(&mut |path, found| {
            if found.is_file() && glob.as_ref().is_none_or(|glob| glob.matches(&start, path)) {
                search.file(path);
            }
            search.found.len() <= search.limit
        })?;
        notice = walk.notice();
    } else {
        open(&start)?;
        search.file(&start);
    }
    Ok(search.told(notice))
}

struct Search {
    pattern: Regex,
    limit: usize,
    found: Vec<String>,
    /// Files that are too large, or cannot be read.
    passed_over: usize,
}

impl Search {
    /// One line more than the limit is found, so that the cut is known.
    fn file(&mut self, path: &Path) {
        let Ok(bytes) = bytes(path) else {
            self.passed_over += 1;
            return;
        };
        if bytes.contains(&0) {
            return;
        }
        let text = String::from_utf8_lossy(&bytes);
        for (at, line) in text.lines().enumerate() {
            let Some(first) = self.pattern.find(line) else {
                continue;
            };
            let column = line[..first.start()].chars().count() + 1;
            let part: String = line.chars().take(LINE_CHARS_MAX).collect();
            let cut = if part.len() < line.len() {
                " […]"
            } else {
                ""
            };
            let place = format!("{}:{}:{column}", shown(path), at + 1);
            self.found.push(format!("{place}: {part}{cut}"));
            if self.found.len() > self.limit {
                return;
            }
        }
    }

    fn told(mut self, notice: Option<String>) -> String {
        let is_cut = self.found.len() > self.limit;
        self.found.truncate(self.limit);
        if self.found.is_empty() {
            self.found.push("No match.".to_owned());
        }
        if is_cut {
            let limit = self.limit;
            self.found
                .push(format!("[more than {limit} matches; narrow the search]"));
        }
        if self.passed_over > 0 {
            let count = self.passed_over;
            self.found.push(format!(
                "[{count} file(s) were too large, or could not be read]"
            ));
        }
        self.found.extend(notice);
        self.found.join("\n")
    }
}
