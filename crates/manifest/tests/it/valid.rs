//! Valid manifests say what they mean.

use crate::support::{check, listing, valid};
use mainstay_manifest::{
    Effect, Manifest, Network, Problem, Provider, SecretSource, Starter, Tool, starter,
};
use std::time::Duration;

const FULL: &str = include_str!("../manifests/full.yaml");

#[test]
fn every_field_arrives() {
    let manifest = valid(FULL);
    insta::assert_json_snapshot!("full", manifest);
}

#[test]
fn a_manifest_survives_serialisation() {
    let manifest = valid(FULL);
    let json = serde_json::to_string(&manifest).unwrap();
    let back: Manifest = serde_json::from_str(&json).unwrap();
    assert_eq!(back, manifest);
}

#[test]
fn defaults_are_what_the_description_says() {
    let manifest = valid(
        "version: 1\nmodels: {m: {provider: script, file: s}}\nagents: {a: {model: m, tools: [shell]}}",
    );
    let model = &manifest.models["m"];
    assert_eq!(model.timeout.connect, Duration::from_secs(3));
    assert_eq!(model.timeout.first_token, Duration::from_secs(30));
    assert_eq!(model.timeout.idle, Duration::from_secs(15));
    assert_eq!(model.timeout.total, Duration::from_secs(120));
    assert_eq!(model.retry, mainstay_resilience::RetryPolicy::default());
    let agent = manifest.agents.values().next().unwrap();
    assert_eq!((agent.steps_max, agent.attempts_max), (50, 5));
    assert_eq!(agent.sandbox.network, Network::None);
    assert_eq!(agent.sandbox.output, 64 << 10);
    assert_eq!(agent.sandbox.timeout, Duration::from_secs(60));
    assert!(!agent.sandbox.weaker);
    let [Tool::Shell(shell)] = agent.tools.as_slice() else {
        panic!("{:?}", agent.tools);
    };
    assert_eq!(
        (shell.effect, shell.timeout),
        (Effect::Pure, Duration::from_secs(60))
    );
}

#[test]
fn an_open_sandbox_makes_shell_once() {
    for (sandbox, shell, effect) in [
        ("{}", "shell", Effect::Pure),
        ("{network: host}", "shell", Effect::Once),
        ("{write: [/x]}", "shell", Effect::Once),
        ("{}", "{shell: {network: host}}", Effect::Once),
        ("{network: host}", "{shell: {network: none}}", Effect::Pure),
        (
            "{network: host}",
            "{shell: {effect: idempotent}}",
            Effect::Idempotent,
        ),
    ] {
        let manifest = valid(&format!(
            "version: 1\nmodels: {{m: {{provider: script, file: s}}}}\nagents: {{a: {{model: m, sandbox: {sandbox}, tools: [{shell}]}}}}"
        ));
        let agent = manifest.agents.values().next().unwrap();
        assert_eq!(agent.tools[0].effect(), effect, "{sandbox} {shell}");
    }
}

#[test]
fn the_example_has_only_what_is_not_yet_supported() {
    let checked = check(include_str!("../manifests/example.yaml"));
    for finding in &checked.findings {
        let is_later = matches!(finding.problem, Problem::NotYetSupported { .. });
        assert!(is_later, "{finding}");
    }
    insta::assert_snapshot!("example", listing(&checked.findings));
}

#[test]
fn starters_are_valid() {
    let manifest = valid(starter(Starter::Script));
    assert!(matches!(
        manifest.models["scripted"].provider,
        Provider::Script { .. }
    ));
    let manifest = valid(starter(Starter::OpenAiCompatible));
    let is_wire = matches!(
        manifest.models["main"].provider,
        Provider::OpenAiCompatible { .. }
    );
    assert!(is_wire);
    assert_eq!(
        manifest.secrets["openai"],
        SecretSource::Env("OPENAI_API_KEY".to_owned())
    );
}

#[test]
fn probes_judge_statuses() {
    let manifest = valid(FULL);
    let mut tools = manifest.agents.values().flat_map(|agent| &agent.tools);
    let probe = tools.find_map(|tool| match tool {
        Tool::Http(http) => http.probe.as_ref(),
        _ => None,
    });
    let probe = probe.unwrap();
    assert_eq!(probe.verdict(203), Some(true));
    assert_eq!(probe.verdict(410), Some(false));
    assert_eq!(probe.verdict(500), None);
}

#[test]
fn windows_line_ends_and_block_styles_are_fine() {
    let text = starter(Starter::OpenAiCompatible).replace('\n', "\r\n");
    assert_eq!(valid(&text), valid(starter(Starter::OpenAiCompatible)));
    let broken = text.replace("max_steps", "max_stepz");
    let findings = check(&broken).findings;
    let line = broken
        .split("\r\n")
        .position(|line| line.contains("stepz"))
        .unwrap()
        + 1;
    assert_eq!(findings.len(), 1, "{}", listing(&findings));
    assert_eq!((findings[0].line as usize, findings[0].column), (line, 5));
}
