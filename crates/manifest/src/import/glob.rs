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

/// The pattern, meant of what may be missing: a path that is written without wildcards would be required.
pub(super) fn optional(pattern: &str) -> String {
    if pattern.starts_with('!') {
        return pattern.to_owned();
    }
    let (root, path) = pattern
        .strip_prefix('/')
        .map_or(("", pattern), |path| ("/", path));
    let mut braced = String::new();
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' | '?' | '[' | '{' => return pattern.to_owned(),
            '\\' => {
                braced.push(character);
                braced.extend(characters.next());
            }
            ',' | '}' => braced.extend(['\\', character]),
            other => braced.push(other),
        }
    }
    format!("{root}{{{braced}}}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_what_would_be_required_gets_braces() {
        for (pattern, optional) in [
            ("a.json", "{a.json}"),
            ("/a/b.json", "/{a/b.json}"),
            ("a,b}", "{a\\,b\\}}"),
            ("\\[id\\].ts", "{\\[id\\].ts}"),
            ("src/*.ts", "src/*.ts"),
            ("a{b,c}", "a{b,c}"),
            ("!a.json", "!a.json"),
        ] {
            assert_eq!(super::optional(pattern), optional);
        }
    }
}
