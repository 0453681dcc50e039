//! Patterns of paths, as package managers, turbo and make write them.

use globset::{GlobBuilder, GlobMatcher};

/// What a pattern matches: `*` stays inside a folder. `None` where it is no pattern.
pub(super) fn matcher(pattern: &str) -> Option<GlobMatcher> {
    let mut builder = GlobBuilder::new(pattern);
    let glob = builder.literal_separator(true).build().ok()?;
    Some(glob.compile_matcher())
}

/// A pattern of turbo as a manifest writes it, from the same folder. `None` where it is no pattern.
pub(super) fn pattern(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("**".to_owned());
    }
    let names: Vec<String> = text.split('/').map(spread).collect();
    let pattern = names.join("/");
    matcher(&pattern)
        .filter(|_| !pattern.contains('\0'))
        .map(|_| pattern)
}

/// A name in which `**` is a name of its own: `a**` is `a*/**`.
fn spread(name: &str) -> String {
    if name.contains(['{', '}', '\\']) {
        return name.to_owned();
    }
    let spread = name.replace("**", "*/**/*");
    let start = spread.strip_prefix("*/").filter(|_| name.starts_with("**"));
    let spread = start.unwrap_or(&spread);
    let end = spread.strip_suffix("/*").filter(|_| name.ends_with("**"));
    end.unwrap_or(spread).to_owned()
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

/// The pattern that means this path and nothing else.
pub(super) fn escaped(path: &str) -> String {
    let mut pattern = String::new();
    for character in path.chars() {
        if "*?[]{}\\!".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
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
    fn stars_are_a_name_of_their_own() {
        for (text, pattern) in [
            ("src/**", Some("src/**")),
            ("**/*.ts", Some("**/*.ts")),
            ("src/**.ts", Some("src/**/*.ts")),
            ("a**/b**c", Some("a*/**/b*/**/*c")),
            ("", Some("**")),
            ("a[", None),
            ("a\0", None),
            ("{a", None),
        ] {
            assert_eq!(super::pattern(text).as_deref(), pattern, "{text}");
        }
    }

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
