//! Rules that no compiler knows. Each finding says where it is and what to do.

mod modules;
mod sizes;
mod words;

use crate::error_pages;
use crate::place::{Failure, Findings, Place, conclude};

pub(crate) fn run(place: &Place) -> Result<(), Failure> {
    let codes = error_pages::codes(place)?;
    let (mut findings, sizes) = sizes::findings(place)?;
    findings.extend(lints(place)?);
    findings.extend(modules::findings(place)?);
    findings.extend(words::findings(place)?);
    findings.extend(error_pages::pages(place, &codes)?);
    findings.extend(error_pages::untested(place, &codes)?);
    println!("tidy: {sizes}; {} error codes", codes.len());
    conclude("tidy", &findings)
}

/// Crates that do not share the workspace's lints.
fn lints(place: &Place) -> Result<Findings, Failure> {
    let mut found = Vec::new();
    for folder in place.crates()? {
        let path = format!("{folder}/Cargo.toml");
        if !shares_lints(&place.read(&path)?) {
            found.push(format!("{path}: add `[lints]` with `workspace = true`"));
        }
    }
    Ok(found)
}

fn shares_lints(manifest: &str) -> bool {
    let mut lines = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1);
    lines.find(|line| !line.is_empty()) == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::shares_lints;

    #[test]
    fn a_crate_with_lints_of_its_own_is_found() {
        assert!(shares_lints("[package]\n\n[lints]\nworkspace = true\n"));
        assert!(!shares_lints("[package]\nworkspace = true\n"));
        assert!(!shares_lints("[lints]\n[lints.rust]\nworkspace = true"));
    }
}
