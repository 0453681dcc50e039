//! Patterns of paths, as package managers, turbo and make write them.

use globset::{GlobBuilder, GlobMatcher};

/// What a pattern matches: `*` stays inside a folder. `None` where it is no pattern.
pub(super) fn matcher(pattern: &str) -> Option<GlobMatcher> {
    let mut builder = GlobBuilder::new(pattern);
    let glob = builder.literal_separator(true).build().ok()?;
    Some(glob.compile_matcher())
}

/// Whether a text is more than the path of one file.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// A path in its shortest form, `.` and `..` resolved. `None` where it leaves the root.
pub(super) fn normal(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A path in a folder; the empty folder is the root.
pub(super) fn join(folder: &str, path: &str) -> String {
    if folder.is_empty() {
        path.to_owned()
    } else {
        format!("{folder}/{path}")
    }
}
