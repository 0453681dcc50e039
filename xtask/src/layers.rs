//! The arrows between crates. An arrow points to a lower layer or the build fails.

use crate::place::{Failure, Findings, Place, conclude};
use serde::Deserialize;
use std::process::Command;

/// Every crate and its layer, lowest first. Crates of one layer never depend on each other.
const LAYERS: &[(&str, u8, &str)] = &[
    ("mainstay-contract", 0, "contract"),
    ("mainstay-resilience", 1, "resilience"),
    ("mainstay-inference", 2, "core"),
    ("mainstay-manifest", 2, "core"),
    ("mainstay-sessions", 2, "core"),
    ("mainstay-tasks", 2, "core"),
    ("mainstay-gateway", 3, "adapter"),
    ("mainstay-storage", 3, "adapter"),
    ("mainstay-runner", 3, "adapter"),
    ("mainstay-runtimes", 3, "adapter"),
    ("mainstay-providers", 3, "adapter"),
    ("mainstay-remote", 3, "adapter"),
    ("mainstay-local", 3, "adapter"),
    ("mainstay-node", 4, "shell"),
    ("mainstay-testkit", 5, "testkit"),
    ("mainstay-cli", 6, "program"),
    ("xtask", 7, "chores"),
];

/// The highest layer that stays free of IO.
const PURE: u8 = 2;

/// What a pure crate must not use: runtimes, HTTP, databases, the operating system.
const IMPURE: &[&str] = &[
    "async-std",
    "axum",
    "hyper",
    "hyper-util",
    "libc",
    "mio",
    "reqwest",
    "rusqlite",
    "rustix",
    "rustls",
    "smol",
    "sqlx",
    "tokio",
    "tonic",
];

const TESTKIT: &str = "mainstay-testkit";

/// What `cargo metadata` tells, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

pub(crate) fn run(place: &Place) -> Result<(), Failure> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(place.root())
        .output()
        .map_err(|error| Failure::Io("cargo metadata".to_owned(), error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::Found(format!("cargo metadata failed: {said}")));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::Found(format!("cargo metadata: {error}")))?;
    let findings = findings(&metadata);
    if findings.is_empty() {
        println!(
            "layers: {} crates, every arrow points down",
            metadata.packages.len()
        );
    }
    conclude("layers", &findings)
}

fn findings(metadata: &Metadata) -> Findings {
    let mut found = Vec::new();
    for package in &metadata.packages {
        let Some((layer, word)) = layer(&package.name) else {
            found.push(format!(
                "{}: in no layer; give it one in LAYERS of xtask/src/layers.rs, and a line in \
                 ARCHITECTURE.md",
                package.name
            ));
            continue;
        };
        let arrows = package.dependencies.iter();
        found.extend(arrows.filter_map(|to| forbidden(&package.name, layer, word, to)));
    }
    found
}

fn layer(name: &str) -> Option<(u8, &'static str)> {
    LAYERS
        .iter()
        .find(|(known, ..)| *known == name)
        .map(|&(_, layer, word)| (layer, word))
}

/// Why an arrow must not be, and what to do instead.
fn forbidden(from: &str, layer_from: u8, word_from: &str, to: &Dependency) -> Option<String> {
    let is_for_tests = to.kind.as_deref() == Some("dev");
    let name = to.name.as_str();
    if is_for_tests && name == TESTKIT {
        return None;
    }
    if let Some((layer_to, word_to)) = layer(name) {
        if from == TESTKIT && name != "mainstay-cli" && name != "xtask" {
            return None;
        }
        if name == TESTKIT {
            return Some(format!(
                "{from} → {name}: the testkit is for tests; move it to [dev-dependencies]"
            ));
        }
        return (layer_to >= layer_from).then(|| {
            format!(
                "{from} ({word_from}) → {name} ({word_to}): arrows point down, cli → node → adapters → \
                 cores → resilience → contract; move what both need down into a lower crate, or let \
                 the node wire the two together"
            )
        });
    }
    let is_impure = layer_from <= PURE && !is_for_tests && IMPURE.contains(&name);
    is_impure.then(|| {
        format!(
            "{from} ({word_from}) → {name}: pure crates do no IO; declare a port (a trait) beside the core \
             and implement it in an adapter"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_of(from: &str, to: &str, kind: Option<&str>) -> Findings {
        let to = Dependency {
            name: to.to_owned(),
            kind: kind.map(ToOwned::to_owned),
        };
        findings(&Metadata {
            packages: vec![Package {
                name: from.to_owned(),
                dependencies: vec![to],
            }],
        })
    }

    #[test]
    fn planted_violations_are_found_and_say_what_to_do() {
        for (from, to, kind, advice) in [
            (
                "mainstay-sessions",
                "mainstay-manifest",
                None,
                "lower crate",
            ),
            ("mainstay-storage", "mainstay-runtimes", None, "node wire"),
            (
                "mainstay-contract",
                "mainstay-sessions",
                None,
                "arrows point down",
            ),
            (
                "mainstay-node",
                "mainstay-cli",
                Some("dev"),
                "arrows point down",
            ),
            ("mainstay-sessions", "tokio", None, "port"),
            ("mainstay-manifest", "rusqlite", Some("build"), "port"),
            (
                "mainstay-node",
                "mainstay-testkit",
                None,
                "dev-dependencies",
            ),
            (
                "mainstay-testkit",
                "mainstay-cli",
                None,
                "arrows point down",
            ),
            ("mainstay-util", "serde", None, "LAYERS"),
        ] {
            let found = findings_of(from, to, kind);
            assert_eq!(found.len(), 1, "{from} → {to}: {found:?}");
            assert!(found[0].contains(advice), "{found:?}");
        }
    }

    #[test]
    fn arrows_that_point_down_pass() {
        for (from, to, kind) in [
            ("mainstay-cli", "mainstay-node", None),
            ("mainstay-cli", "mainstay-contract", None),
            ("mainstay-storage", "mainstay-sessions", None),
            ("mainstay-storage", "tokio", None),
            ("mainstay-sessions", "mainstay-resilience", None),
            ("mainstay-sessions", "mainstay-testkit", Some("dev")),
            ("mainstay-sessions", "tokio", Some("dev")),
            ("mainstay-testkit", "mainstay-node", None),
        ] {
            let found = findings_of(from, to, kind);
            assert!(found.is_empty(), "{from} → {to}: {found:?}");
        }
    }
}
