//! Workspaces of turbo.

use super::{run, shown};
use mainstay_manifest::import::{ImportError, Runner};

const ROOT: &str = r#"{"name": "acme", "packageManager": "pnpm@9.1.0", "scripts": {"build": "turbo run build", "format": "prettier -c ."}}"#;
const WEB: &str = r#"{
  "name": "@acme/web",
  "scripts": {"build": "next build", "dev": "next dev", "lint": "eslint .", "test:unit": "vitest"},
  "dependencies": {"@acme/ui": "workspace:*", "next": "14.2.0"},
  "devDependencies": {"@acme/config": "workspace:*"}
}"#;
const UI: &str = r#"{
  "name": "@acme/ui",
  "scripts": {"build": "tsup", "lint": "eslint ."},
  "dependencies": {"@acme/tokens": "workspace:*"},
  "devDependencies": {"@acme/config": "workspace:*"}
}"#;

#[test]
fn a_monorepo_of_version_2() {
    let shown = shown(
        Runner::Turbo,
        &[
            ("package.json", ROOT),
            (
                "pnpm-workspace.yaml",
                "packages: [\"apps/*\", \"packages/*\"]\n",
            ),
            ("pnpm-lock.yaml", ""),
            (
                "turbo.json",
                r#"{
  "$schema": "https://turbo.build/schema.json",
  // shared by all
  "globalDependencies": ["tsconfig.base.json"],
  "globalEnv": ["NODE_ENV"],
  "globalPassThroughEnv": ["AWS_PROFILE"],
  "ui": "tui",
  "concurrency": "12",
  "remoteCache": {"signature": true},
  "tasks": {
    "build": {
      "dependsOn": ["^build", "codegen"],
      "inputs": ["$TURBO_DEFAULT$", "!README.md", "../../assets/**"],
      "outputs": ["dist/**", ".next/**", "!.next/cache/**"],
      "env": ["API_URL", "FEATURE_*"],
    },
    "codegen": {"dependsOn": ["^build"], "outputs": ["src/generated/**"]},
    "lint": {"inputs": ["src/**", "$TURBO_ROOT$/.eslintrc.json"], "outputLogs": "errors-only"},
    "test:unit": {"dependsOn": ["build"], "passThroughEnv": ["DEBUG"]},
    "@acme/web#lint": {"dependsOn": ["@acme/ui#build"], "cache": false},
    "//#format": {"inputs": ["**/*.ts"]},
    "dev": {"cache": false, "persistent": true, "with": ["@acme/ui#dev"], "interactive": true},
    "deploy": {"dependsOn": ["test:unit", "nowhere"]},
    "@acme/gone#build": {},
  },
}"#,
            ),
            ("apps/web/package.json", WEB),
            (
                "apps/web/turbo.json",
                r#"{
  "extends": ["//"],
  "tasks": {
    "build": {"env": ["$TURBO_EXTENDS$", "SENTRY_DSN"], "outputs": [".next/**", "!.next/cache/**"]}
  }
}"#,
            ),
            ("packages/ui/package.json", UI),
            (
                "packages/config/package.json",
                r#"{"name": "@acme/config"}"#,
            ),
            (
                "packages/tokens/package.json",
                r#"{"name": "@acme/tokens", "scripts": {"build": "node build.mjs"}}"#,
            ),
        ],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn version_1_with_its_old_spellings() {
    let shown = shown(
        Runner::Turbo,
        &[
            (
                "package.json",
                r#"{"workspaces": {"packages": ["./libs/*/"]}}"#,
            ),
            ("yarn.lock", ""),
            (
                "turbo.json",
                r#"{
  "globalDependencies": ["$CI_TOKEN", ".env"],
  "globalDotEnv": [".env.local"],
  "pipeline": {
    "build": {"dependsOn": ["^build", "$STAGE"], "outputs": ["../out/**"], "outputMode": "new-only"},
    "test": {"dotEnv": [".env.test"], "env": ["A", "!A", "!B"], "cache": "yes"}
  }
}"#,
            ),
            (
                "libs/a/package.json",
                r#"{"name": "a", "scripts": {"build": "b", "test": "t"}}"#,
            ),
        ],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn a_single_package_has_the_tasks_itself() {
    let imported = run(
        Runner::Turbo,
        &[
            (
                "package.json",
                r#"{"name": "solo", "scripts": {"build": "x"}}"#,
            ),
            (
                "turbo.jsonc",
                r#"{"tasks": {"build": {"outputs": ["out/**"]}}}"#,
            ),
        ],
    )
    .unwrap();
    let text = &imported.files[0].1;
    assert!(
        text.contains("build:\n    command: [npm, run, build]"),
        "{text}"
    );
}

#[test]
fn what_turbo_lets_be_missing_may_be_missing() {
    let task = r#"{"tasks": {"build": {
        "inputs": ["package.json", "tsconfig.json", "a,b.ts", "\\[id\\].ts", "src/*.ts", "!old.ts"],
        "outputs": ["report.txt", "dist/**"]
    }}}"#;
    let files = [
        (
            "package.json",
            r#"{"name": "solo", "scripts": {"build": "x"}}"#,
        ),
        ("turbo.json", task),
    ];
    let text = &run(Runner::Turbo, &files).unwrap().files[0].1;
    for line in [
        r#"inputs: [package.json, "{tsconfig.json}", "{a\\,b.ts}", "{\\[id\\].ts}", src/*.ts, "!old.ts"]"#,
        r#"outputs: ["{report.txt}", dist/**]"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn tasks_that_wait_for_each_other_do_not_trap_the_import() {
    let files = [
        ("package.json", r#"{"workspaces": ["p/*"]}"#),
        (
            "turbo.json",
            r#"{"tasks": {"a": {"dependsOn": ["b", "^a"]}, "b": {"dependsOn": ["a", "x#a"]}}}"#,
        ),
        (
            "p/x/package.json",
            r#"{"name": "x", "scripts": {"a": "1"}, "dependencies": {"y": "*"}}"#,
        ),
        (
            "p/y/package.json",
            r#"{"name": "y", "scripts": {"b": "1"}, "dependencies": {"x": "*"}}"#,
        ),
    ];
    assert!(run(Runner::Turbo, &files).is_ok());
}

#[test]
fn both_files_are_needed() {
    let missing = ImportError::Missing { file: "turbo.json" };
    assert_eq!(run(Runner::Turbo, &[("package.json", ROOT)]), Err(missing));
    let missing = ImportError::Missing {
        file: "package.json",
    };
    assert_eq!(run(Runner::Turbo, &[("turbo.json", "{}")]), Err(missing));
}

#[test]
fn what_turbo_takes_and_a_manifest_does_not_is_told() {
    let task = r#"{"concurrency": "100000", "globalDependencies": [".", "a[", "$TURBO_ROOT$/../x"],
      "tasks": {
        "build": {"inputs": ["src/**.ts", ".", "a[", "../../x"], "outputs": ["."], "env": ["A B", "1"]},
        "dev": {"persistent": true, "outputs": ["dev/**"], "dependsOn": [["x"]]},
        "test": ["build"]
    }}"#;
    let scripts =
        r#"{"name": "solo", "scripts": {"build": "x", "dev": "y", "test": "z", "": "e"}}"#;
    let files = [("package.json", scripts), ("turbo.json", task)];
    insta::assert_snapshot!(shown(Runner::Turbo, &files));
    for wrong in ["[]", "3", "null"] {
        let error = run(
            Runner::Turbo,
            &[("package.json", scripts), ("turbo.json", wrong)],
        );
        let told = error.unwrap_err().to_string();
        assert_eq!(told, "turbo.json:1: an object belongs here");
    }
}
