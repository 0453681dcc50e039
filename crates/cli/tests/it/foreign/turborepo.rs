//! Turborepo, with nothing kept locally.

use super::{on_path, or_skip, output, tool, write_all};
use crate::harness::{CacheServer, Place};
use std::fs;
use std::path::Path;
use std::process::Command;

const PROJECT: &[(&str, &str)] = &[
    (
        "package.json",
        r#"{"name":"root","private":true,"workspaces":["packages/*"],"packageManager":"npm@10.0.0"}"#,
    ),
    (
        "package-lock.json",
        r#"{"name":"root","lockfileVersion":3,"requires":true,"packages":{
            "":{"name":"root","workspaces":["packages/*"]},
            "node_modules/one":{"resolved":"packages/one","link":true},
            "packages/one":{"version":"1.0.0"}}}"#,
    ),
    (
        "turbo.json",
        r#"{"tasks":{"build":{"inputs":["package.json"],"outputs":["dist/**"]}},
            "remoteCache":{"signature":true}}"#,
    ),
    (
        "packages/one/package.json",
        r#"{"name":"one","version":"1.0.0",
            "scripts":{"build":"mkdir -p dist && seq 1 100000 > dist/out.txt"}}"#,
    ),
];

const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER_KEY: &str = "fedcba9876543210fedcba9876543210";

#[test]
fn turborepo_takes_from_the_cache_what_it_put_there() {
    let Some(turbo) = or_skip(tool("turbo/node_modules/.bin/turbo"), "turbo") else {
        return;
    };
    if or_skip(on_path("npm"), "npm").is_none() {
        return;
    }
    let place = Place::new("version: 1\n", "[]");
    let server = CacheServer::start(&place, &[], Some("open"));
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    write_all(&project, PROJECT);
    let made = project.join("packages/one/dist/out.txt");
    let build = |server: &CacheServer, token: &str, key: &str| {
        forget(&project);
        let mut command = Command::new(&turbo);
        command
            .args(["run", "build", "--cache=remote:rw"])
            .current_dir(&project)
            .env("HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .env("TURBO_API", format!("http://{}", server.address))
            .env("TURBO_TOKEN", token)
            .env("TURBO_TEAM", "team")
            .env("TURBO_REMOTE_CACHE_SIGNATURE_KEY", key)
            .env("TURBO_TELEMETRY_DISABLED", "1");
        output(&mut command)
    };
    let first = build(&server, "open", KEY);
    assert!(first.contains("0 cached, 1 total"), "{first}");
    let expected = fs::read(&made).unwrap();
    let second = build(&server, "open", KEY);
    assert!(second.contains("FULL TURBO"), "{second}");
    assert!(fs::read(&made).unwrap() == expected);
    // The signature went through us unchanged, so another key must find it wrong.
    let forged = build(&server, "open", OTHER_KEY);
    assert!(forged.contains("0 cached, 1 total"), "{forged}");
    let refused = build(&server, "wrong", KEY);
    assert!(refused.contains("Authentication failed"), "{refused}");
    assert!(fs::read(&made).unwrap() == expected);
    // A server that takes nothing is still read.
    drop(server);
    let server = CacheServer::start(&place, &["--read-only"], Some("open"));
    let read = build(&server, "open", OTHER_KEY);
    assert!(read.contains("FULL TURBO"), "{read}");
    for record in server.files("artifacts") {
        fs::remove_file(record).unwrap();
    }
    let missed = build(&server, "open", OTHER_KEY);
    assert!(missed.contains("0 cached, 1 total"), "{missed}");
    assert!(server.files("artifacts").is_empty());
    assert!(missed.contains("reads remain enabled"), "{missed}");
}

/// Removes whatever a run left.
fn forget(project: &Path) {
    for left in [
        ".turbo",
        "node_modules",
        "packages/one/.turbo",
        "packages/one/dist",
    ] {
        let path = project.join(left);
        if path.exists() {
            fs::remove_dir_all(path).unwrap();
        }
    }
}
