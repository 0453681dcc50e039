//! Scripts of packages.

use super::{run, shown};
use mainstay_manifest::import::{ImportError, Runner};

#[test]
fn a_plain_package() {
    let shown = shown(
        Runner::Npm,
        &[(
            "package.json",
            r#"{
  "name": "left-shelf",
  "version": "2.1.0",
  "scripts": {
    "clean": "rimraf dist",
    "prebuild": "npm run clean",
    "build": "tsc -p . && npm run bundle",
    "bundle": "rollup -c",
    "test": "vitest run",
    "test:watch": "vitest",
    "lint": 3
  },
  "devDependencies": {"typescript": "^5.4.0"}
}
"#,
        )],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn workspaces_of_pnpm_that_runs_no_hooks() {
    let shown = shown(
        Runner::Npm,
        &[
            (
                "package.json",
                r#"{"name": "@acme/root", "packageManager": "pnpm@8.15.4", "private": true}"#,
            ),
            (
                "pnpm-workspace.yaml",
                "# where packages are\npackages:\n  - 'packages/*'\n  - '!packages/old'\n",
            ),
            (
                "packages/a/package.json",
                r#"{"name": "@acme/a", "scripts": {"pretest": "x", "test": "y"}, "dependencies": {"@acme/b": "workspace:*"}}"#,
            ),
            ("packages/b/package.json", r#"{"name": "@acme/b"}"#),
            (
                "packages/old/package.json",
                r#"{"name": "old", "scripts": {"test": "y"}}"#,
            ),
            (
                "elsewhere/package.json",
                r#"{"name": "no", "scripts": {"test": "y"}}"#,
            ),
        ],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn the_manager_runs_the_scripts() {
    for (manager, lockfile, program) in [
        ("", "package-lock.json", "npm"),
        ("", "yarn.lock", "yarn"),
        ("", "bun.lockb", "bun"),
        ("", "pnpm-lock.yaml", "pnpm"),
        ("yarn@4.1.0", "package-lock.json", "yarn"),
        ("bun@1.1.0", "", "bun"),
    ] {
        let package = format!(r#"{{"packageManager": "{manager}", "scripts": {{"build": "x"}}}}"#);
        let imported = run(Runner::Npm, &[("package.json", &package), (lockfile, "")]).unwrap();
        let wanted = format!("command: [{program}, run, build]");
        assert!(
            imported.files[0].1.contains(&wanted),
            "{program}: {imported:?}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let missing = ImportError::Missing {
        file: "package.json",
    };
    assert_eq!(run(Runner::Npm, &[]), Err(missing));
    let error = run(Runner::Npm, &[("package.json", "{\n  \"scripts\": {\n")]).unwrap_err();
    assert!(matches!(error, ImportError::Syntax { .. }), "{error}");
}

#[test]
fn what_is_no_package_is_refused_with_its_place() {
    for text in ["[]", "\n\"text\"", "3", "null", "true"] {
        let error = run(Runner::Npm, &[("package.json", text)]).unwrap_err();
        let told = error.to_string();
        assert!(told.ends_with("an object belongs here"), "{text}: {told}");
    }
    let files = [
        ("package.json", r#"{"workspaces": ["p/*"]}"#),
        ("p/a/package.json", "[]"),
    ];
    let error = run(Runner::Npm, &files).unwrap_err().to_string();
    assert_eq!(error, "p/a/package.json:1: an object belongs here");
}

#[test]
fn scripts_that_are_none_are_told() {
    let shown = shown(
        Runner::Npm,
        &[
            (
                "package.json",
                r#"{
  "name": 3,
  "workspaces": ["p/*", 3, ["q"], "../elsewhere", "missing"],
  "scripts": {
    "": "empty",
    "nul\u0000": "x",
    "number": 3,
    "nothing": null,
    "object": {"a": "b"},
    "list": ["a"],
    "true": "true",
    "good": "x"
  },
  "dependencies": ["p"]
}"#,
            ),
            ("p/a/package.json", r#"{"name": "", "scripts": []}"#),
            ("p/b/package.json", r#"{"name": null, "scripts": "build"}"#),
            ("p/[c]/package.json", r#"{"scripts": null}"#),
        ],
    );
    insta::assert_snapshot!(shown);
}
