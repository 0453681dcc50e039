//! How long files are. Functions are measured by clippy.

use crate::place::{Failure, Findings, Place};
use std::collections::BTreeMap;

const LINES_MAX: usize = 800;
const MEDIAN_MAX: usize = 200;

/// Files that may be longer for now, with the length they must not exceed: `{"path": lines}`.
const RATCHET: &str = "xtask/ratchet.json";

/// The findings, and one line about all sizes.
pub(crate) fn findings(place: &Place) -> Result<(Findings, String), Failure> {
    let mut sizes = Vec::new();
    for path in place.files("", &["rs"])? {
        let lines = place.read(&path)?.lines().count();
        sizes.push((path, lines));
    }
    let found = judge(&sizes, &ratchet(place)?);
    let longest = sizes.iter().max_by_key(|(_, lines)| lines);
    let longest = longest.map_or(String::new(), |(path, lines)| {
        format!(", longest {lines} ({path})")
    });
    let median = median(&sizes);
    Ok((
        found,
        format!("{} files, median {median} lines{longest}", sizes.len()),
    ))
}

fn ratchet(place: &Place) -> Result<BTreeMap<String, usize>, Failure> {
    if !place.join(RATCHET).exists() {
        return Ok(BTreeMap::new());
    }
    let read = serde_json::from_str(&place.read(RATCHET)?);
    read.map_err(|error| Failure::Found(format!("{RATCHET}: {error}")))
}

fn judge(sizes: &[(String, usize)], ratchet: &BTreeMap<String, usize>) -> Findings {
    let mut found = Vec::new();
    for (path, lines) in sizes {
        match ratchet.get(path) {
            None if *lines >= LINES_MAX => found.push(format!(
                "{path}: {lines} lines; split it by subject, files stay under {LINES_MAX}"
            )),
            Some(allowed) if lines > allowed => {
                found.push(format!(
                    "{path}: grew from {allowed} to {lines} lines; split it"
                ));
            }
            Some(_) if *lines < LINES_MAX => {
                found.push(format!(
                    "{path}: is short enough now; take it out of {RATCHET}"
                ));
            }
            _ => {}
        }
    }
    let is_gone = |path: &&String| !sizes.iter().any(|(known, _)| known == *path);
    found.extend(
        ratchet
            .keys()
            .filter(is_gone)
            .map(|path| format!("{RATCHET}: {path} is gone; remove it")),
    );
    let median = median(sizes);
    if median >= MEDIAN_MAX {
        found.push(format!(
            "the median file has {median} lines; it must stay under {MEDIAN_MAX}"
        ));
    }
    found
}

fn median(sizes: &[(String, usize)]) -> usize {
    let mut lines: Vec<usize> = sizes.iter().map(|(_, lines)| *lines).collect();
    lines.sort_unstable();
    lines.get(lines.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(list: &[(&str, usize)]) -> Vec<(String, usize)> {
        list.iter()
            .map(|(path, lines)| ((*path).to_owned(), *lines))
            .collect()
    }

    #[test]
    fn long_files_are_found_and_the_ratchet_only_tightens() {
        let none = BTreeMap::new();
        assert!(judge(&sizes(&[("a", 799), ("b", 3), ("c", 3)]), &none).is_empty());
        assert_eq!(
            judge(&sizes(&[("a", 800), ("b", 3), ("c", 3)]), &none).len(),
            1
        );
        let some = BTreeMap::from([("a".to_owned(), 900)]);
        assert!(judge(&sizes(&[("a", 900), ("b", 3), ("c", 3)]), &some).is_empty());
        assert_eq!(
            judge(&sizes(&[("a", 901), ("b", 3), ("c", 3)]), &some).len(),
            1
        );
        assert_eq!(
            judge(&sizes(&[("a", 700), ("b", 3), ("c", 3)]), &some).len(),
            1
        );
        assert_eq!(judge(&sizes(&[("b", 3)]), &some).len(), 1);
        assert_eq!(judge(&sizes(&[("a", 200)]), &none).len(), 1);
    }
}
