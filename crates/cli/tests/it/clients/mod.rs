//! Official clients and agents, as they are, with the gateway between them and an upstream that speaks every
//! provider's wire. What the clients check stands in `testkit/clients`. `cargo xtask test` installs them;
//! without one its test is skipped, or fails where `MAINSTAY_TEST_INSTALL` is set.

mod agents;
mod described;
mod suites;

use crate::foreign::{on_path, or_skip, tool};
use crate::harness::{Place, Server};
use mainstay_testkit::upstream::Upstream;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the operator shows to every provider.
const UPSTREAM_KEY: &str = "upstream-key-0123456789";
/// A caller's key that is good for one model.
const NARROW_KEY: &str = "narrow-key-0123456789";

/// What the names of providers in the suites stand for: the word in the manifest, and what follows the
/// upstream's address.
const PROVIDERS: &[(&str, &str, &str)] = &[
    ("openai", "openai", "/v1"),
    ("azure", "azure_openai", ""),
    ("compatible", "openai_compatible", "/v1"),
    ("anthropic", "anthropic", ""),
    ("gemini", "gemini", "/v1beta"),
];

/// What the upstream is asked to do.
const SCENARIOS: &[&str] = &[
    "ok",
    "echo",
    "tools",
    "run",
    "json",
    "think",
    "image",
    "cached",
    "filter-finish",
    "length",
    "stall-mid",
    "refusal",
    "stall",
    "cut",
    "reset",
    "overloaded-mid",
    "badjson",
    "empty",
    "401",
    "403",
    "500",
    "503",
    "529",
    "html502",
    "429-2",
    "limited-1-1",
    "quota",
    "ctx",
    "filter",
];

const OK: &str = "[{text: ok, usage: {input_tokens: 11, output_tokens: 7}, repeat: 100000}]";
const TOOLS: &str = "
- tool_calls: [{name: add, arguments: {a: 1, b: 1}}, {name: weather, arguments: {city: x}}]
  usage: {input_tokens: 11, output_tokens: 7}
- {text: 'results: 2; sunny', chunks: 3, usage: {input_tokens: 11, output_tokens: 7}}
";
const JSON: &str = r#"[{text: '{"name":"x","x":1,"y":1}', chunks: 4, repeat: 100000}]"#;

/// A gateway with one model for each provider and scenario, `openai-ok` among them, and the upstream.
struct Stage {
    server: Server,
    upstream: Upstream,
    place: Place,
}

impl Stage {
    fn start() -> Self {
        let upstream = Upstream::start().unwrap();
        let place = Place::new(&manifest(&upstream.url()), OK);
        place.write("tools.yaml", TOOLS);
        place.write("json.yaml", JSON);
        place.write("upstream.key", UPSTREAM_KEY);
        place.write("narrow.key", NARROW_KEY);
        Self {
            server: place.serve(),
            upstream,
            place,
        }
    }

    /// What a suite has to know, as one argument.
    fn told(&self, modules: &Path) -> String {
        serde_json::json!({
            "url": self.server.url, "key": self.server.key, "narrow_key": NARROW_KEY,
            "upstream": self.upstream.url(), "modules": modules,
            "providers": ["openai", "azure", "compatible", "anthropic", "gemini", "script"],
        })
        .to_string()
    }

    /// A program with no environment but a path and a home of its own.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.place.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(self.place.workspace())
            .stdin(Stdio::null());
        command
    }
}

fn manifest(upstream: &str) -> String {
    let mut text = String::from(
        "version: 1\n\
         secrets: {upstream: {file: upstream.key}, narrow: {file: narrow.key}}\n\
         keys: {narrow: {secret: narrow, models: [openai-ok]}}\n\
         models:\n\
         \x20 script-ok: {provider: script, file: script.yaml}\n\
         \x20 script-tools: {provider: script, file: tools.yaml}\n\
         \x20 script-json: {provider: script, file: json.yaml}\n",
    );
    let fixed = "api_key: {secret: upstream}, retry: {max: 0}, breaker: {failures: 1000}";
    for (name, word, path) in PROVIDERS {
        for scenario in SCENARIOS {
            let more = if *name == "azure" {
                ", api_version: 2024-10-21"
            } else {
                ""
            };
            writeln!(
                text,
                "  {name}-{scenario}: {{provider: {word}, model: {name}/{scenario}, \
                 base_url: \"{upstream}{path}\", {fixed}{more}}}"
            )
            .unwrap();
        }
    }
    let price = "price: {input_per_million: 1000, output_per_million: 1000}";
    writeln!(
        text,
        "  poor: {{provider: openai, model: poor/ok, base_url: \"{upstream}/v1\", {fixed}, {price}, \
         budget: {{usd: 0.000001, per: day}}}}"
    )
    .unwrap();
    text
}

/// A script of the clients' suites.
fn suite(name: &str) -> PathBuf {
    let testkit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testkit");
    testkit.join("clients").join(name)
}

/// The interpreter of a Python environment that was installed as a whole.
fn python(environment: &str) -> Option<PathBuf> {
    let marker = or_skip(tool(&format!("{environment}/installed")), environment)?;
    Some(marker.with_file_name("bin/python"))
}

/// The folder into which a package of npm was installed, where node is here too.
fn npm(folder: &str, file: &str) -> Option<PathBuf> {
    or_skip(on_path("node"), "node")?;
    let found = or_skip(tool(&format!("{folder}/node_modules/{file}")), folder)?;
    let depth = Path::new(file).components().count() + 1;
    found.ancestors().nth(depth).map(Path::to_owned)
}
