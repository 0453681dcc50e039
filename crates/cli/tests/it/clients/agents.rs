//! Agents of the command line: each finishes a task with every provider behind the gateway.

use super::{PROVIDERS, Stage, npm};
use crate::foreign::output;
use std::fs;
use std::process::Command;

/// The upstream has the agent run what stands in the brackets.
const TASK: &str = "RUN[echo made by an agent > result.txt]";

/// Lets an agent loose with each provider in turn, and looks at what it made.
fn finishes(stage: &Stage, agent: impl Fn(&str) -> Command) {
    let made = stage.place.workspace().join("result.txt");
    for (provider, ..) in PROVIDERS {
        let said = output(&mut agent(&format!("{provider}-run")));
        let found = fs::read_to_string(&made).unwrap_or_default();
        assert_eq!(found, "made by an agent\n", "{provider}: {said}");
        // Once to be told the command, once to tell what came of it.
        assert_eq!(stage.upstream.hits(&format!("{provider}/run")), 2, "{said}");
        assert!(said.contains("done"), "{provider}: {said}");
        // Gemini's proof of the call has come back with what came of it.
        let told = stage.upstream.requests(&format!("{provider}/run"));
        let is_proved = told
            .last()
            .unwrap()
            .to_string()
            .contains("\"thoughtSignature\":\"c2Vhb");
        assert_eq!(is_proved, *provider == "gemini", "{said}");
        fs::remove_file(&made).unwrap();
    }
}

#[test]
fn claude_code_finishes_a_task() {
    let Some(folder) = npm("claude", "@anthropic-ai/claude-code/package.json") else {
        return;
    };
    let machine = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    };
    let native = format!("node_modules/@anthropic-ai/claude-code-linux-{machine}/claude");
    let program = folder.join(native);
    let stage = Stage::start();
    finishes(&stage, |model| {
        let mut command = stage.command(&program);
        command
            .env("ANTHROPIC_BASE_URL", &stage.server.url)
            .env("ANTHROPIC_AUTH_TOKEN", &stage.server.key)
            .env("ANTHROPIC_MODEL", model)
            .env("ANTHROPIC_SMALL_FAST_MODEL", model)
            .env("ANTHROPIC_DEFAULT_HAIKU_MODEL", model);
        for quiet in [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "DISABLE_ERROR_REPORTING",
            "DISABLE_TELEMETRY",
        ] {
            command.env(quiet, "1");
        }
        command.args(["-p", TASK, "--allowedTools", "Bash"]);
        command
    });
}

#[test]
fn codex_finishes_a_task() {
    let Some(folder) = npm("codex", "@openai/codex/package.json") else {
        return;
    };
    let program = folder.join("node_modules/.bin/codex");
    let stage = Stage::start();
    let home = stage.place.path().join("codex");
    fs::create_dir(&home).unwrap();
    finishes(&stage, |model| {
        let mut config = format!(
            "model = \"{model}\"\nmodel_provider = \"mainstay\"\n\
             check_for_update_on_startup = false\n\
             [model_providers.mainstay]\nname = \"Mainstay\"\nbase_url = \"{}/v1\"\n\
             env_key = \"MAINSTAY_KEY\"\nwire_api = \"responses\"\n\
             [analytics]\nenabled = false\n",
            stage.server.url
        );
        // Only OpenAI knows these tools, so the gateway refuses them for others.
        if !model.starts_with("openai-") {
            config.insert_str(0, "web_search = \"disabled\"\n");
            config.push_str("[features]\nmulti_agent = false\n");
        }
        fs::write(home.join("config.toml"), config).unwrap();
        let mut command = stage.command(&program);
        command
            .env("CODEX_HOME", &home)
            .env("MAINSTAY_KEY", &stage.server.key)
            .args(["exec", "--skip-git-repo-check"])
            .args(["--dangerously-bypass-approvals-and-sandbox", TASK]);
        command
    });
}
