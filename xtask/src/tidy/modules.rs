//! Files that no module declares, which the compiler silently ignores, and names that say nothing.

use crate::place::{Failure, Findings, Place};
use std::collections::BTreeSet;

/// Names that fit everything and so say nothing.
const EMPTY_NAMES: &[&str] = &[
    "common", "core", "helpers", "info", "manager", "misc", "types", "util", "utils",
];

/// Files that are the root of their own program or folder.
const ROOTS: &[&str] = &["main", "lib", "mod", "build"];

pub(crate) fn findings(place: &Place) -> Result<Findings, Failure> {
    let mut found = Vec::new();
    for folder in place.crates()? {
        let name = folder.rsplit('/').next().unwrap_or(&folder);
        if EMPTY_NAMES.contains(&name) {
            found.push(format!(
                "{folder}: `{name}` says nothing; name what is in it"
            ));
        }
        for below in ["src", "tests/it"] {
            let files: BTreeSet<String> = place
                .files(&format!("{folder}/{below}"), &["rs"])?
                .into_iter()
                .collect();
            for path in &files {
                found.extend(judge(place, &files, path)?);
            }
        }
        found.extend(lone_tests(place, &folder)?);
    }
    Ok(found)
}

/// Test programs beside `tests/it`: each would link the whole crate once more.
fn lone_tests(place: &Place, folder: &str) -> Result<Findings, Failure> {
    let is_lone = |path: &String| {
        let rest = path
            .strip_prefix(&format!("{folder}/tests/"))
            .unwrap_or_default();
        !rest.contains('/')
    };
    let files = place.files(&format!("{folder}/tests"), &["rs"])?;
    let advice = |path| format!("{path}: move it to tests/it/ and declare it in its main.rs");
    Ok(files.into_iter().filter(is_lone).map(advice).collect())
}

fn judge(place: &Place, files: &BTreeSet<String>, path: &str) -> Result<Findings, Failure> {
    let mut found = Vec::new();
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let (parents, name) = if ROOTS.contains(&stem) {
        let Some((above, name)) = folder.rsplit_once('/') else {
            return Ok(found);
        };
        if stem != "mod" {
            return Ok(found);
        }
        (parents(files, above), name)
    } else {
        (parents(files, folder), stem)
    };
    if EMPTY_NAMES.contains(&name) {
        found.push(format!("{path}: `{name}` says nothing; name what is in it"));
    }
    if folder.ends_with("/bin") {
        return Ok(found);
    }
    let mut is_declared = false;
    for parent in &parents {
        is_declared |= declares(&place.read(parent)?, name);
    }
    if !is_declared {
        let place = parents.first().map_or(folder, String::as_str);
        found.push(format!(
            "{path}: never compiled; write `mod {name};` in {place}, or remove it"
        ));
    }
    Ok(found)
}

/// The files that may declare the modules of a folder.
fn parents(files: &BTreeSet<String>, folder: &str) -> Vec<String> {
    let inside = ["main", "lib", "mod"]
        .iter()
        .map(|root| format!("{folder}/{root}.rs"));
    inside
        .chain([format!("{folder}.rs")])
        .filter(|path| files.contains(path))
        .collect()
}

fn declares(source: &str, name: &str) -> bool {
    source.lines().any(|line| {
        let line = line.trim();
        let line = line
            .strip_prefix("pub ")
            .or_else(|| line.strip_prefix("pub(crate) "))
            .unwrap_or(line);
        let line = line.strip_prefix("pub(super) ").unwrap_or(line);
        line.strip_prefix("mod ")
            .is_some_and(|rest| rest.trim_end_matches(';').trim() == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn forgotten_files_and_empty_names_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path());
        for (path, text) in [
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", "mod one;\npub mod two;\nmod util;\n"),
            ("crates/a/src/one.rs", "mod inner;"),
            ("crates/a/src/one/inner.rs", ""),
            ("crates/a/src/two/mod.rs", ""),
            ("crates/a/src/two/lost.rs", ""),
            ("crates/a/src/util.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("crates/a/tests/it/main.rs", "mod known;"),
            ("crates/a/tests/it/known.rs", ""),
            ("crates/a/tests/it/forgotten.rs", ""),
            ("crates/a/tests/lone.rs", ""),
        ] {
            let path = place.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = findings(&place).unwrap();
        let is_about = |part: &str| found.iter().any(|finding| finding.contains(part));
        assert_eq!(found.len(), 4, "{found:?}");
        for part in ["two/lost.rs", "util.rs", "it/forgotten.rs", "tests/lone.rs"] {
            assert!(is_about(part), "{part}: {found:?}");
        }
    }
}
