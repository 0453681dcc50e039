//! Agents, whose models stand behind the same gateway.

use super::{PROVIDERS, SECRET, model};
use crate::harness::{Place, Ran};
use mainstay_testkit::upstream::Upstream;

/// A place whose agent `a` has this model.
fn place(upstream: &Upstream, provider: &str, scenario: &str, more: &str) -> Place {
    let models = model("m", provider, scenario, more).replace("URL", &upstream.url());
    let place = Place::new(
        &format!(
            "version: 1\nmodels:\n{models}agents:\n  a: {{model: m, workspace: work, tools: [files]}}\n\
             secrets:\n  upstream: {{file: upstream.key}}\n"
        ),
        "",
    );
    place.write("upstream.key", SECRET);
    place
}

fn run(provider: &str, scenario: &str, more: &str) -> (Ran, u64) {
    let upstream = Upstream::start().unwrap();
    let ran = place(&upstream, provider, scenario, more).run(&[]);
    assert!(!format!("{ran:?}").contains(SECRET), "{ran:?}");
    (ran, upstream.hits(scenario))
}

#[test]
fn every_provider_answers_an_agent() {
    for provider in PROVIDERS {
        let (ran, hits) = run(provider, "echo", "");
        ran.ok();
        assert!(ran.stdout.contains("\"go\""), "{provider} {ran:?}");
        assert_eq!(hits, 1, "{provider}");
    }
}

#[test]
fn content_that_was_held_back_is_no_answer_to_an_agent() {
    for provider in PROVIDERS {
        for scenario in ["filter", "filter-finish", "refusal"] {
            let (ran, hits) = run(provider, scenario, "retry: {max: 3, base: 1ms}");
            let report = ran.failed_with("inference.content_filtered");
            assert_eq!(report["scored"], false, "{provider} {scenario} {report}");
            assert_eq!(hits, 1, "{provider} {scenario}");
        }
    }
}

#[test]
fn a_conversation_that_is_too_long_tells_both_numbers() {
    for provider in PROVIDERS {
        let (ran, hits) = run(provider, "ctx", "");
        let report = ran.failed_with("inference.context_length_exceeded");
        let told = (&report["data"]["tokens"], &report["data"]["max_tokens"]);
        assert_eq!(
            (told.0.as_u64(), told.1.as_u64()),
            (Some(5000), Some(4096)),
            "{provider} {report}"
        );
        assert_eq!(hits, 1, "{provider}");
    }
}

#[test]
fn failures_that_pass_are_repeated_and_cost_no_answer() {
    for provider in PROVIDERS {
        let (ran, hits) = run(provider, "flaky-2", "retry: {max: 3, base: 1ms, cap: 5ms}");
        ran.ok();
        assert_eq!(hits, 3, "{provider}");
    }
}

#[test]
fn a_cut_stream_is_repeated_for_an_agent_and_said_once() {
    for provider in PROVIDERS {
        let (ran, hits) = run(provider, "cut", "retry: {max: 2, base: 1ms, cap: 2ms}");
        ran.failed_with("inference.network_error");
        assert_eq!(hits, 3, "{provider}");
    }
}

#[test]
fn an_agent_without_money_asks_nobody() {
    let more = "retry: {max: 0}, budget: {usd: 0.000001}, \
                price: {input_per_million: 1000, output_per_million: 1000}";
    let (ran, hits) = run("openai", "ok", more);
    ran.ok();
    // Who names no bound may still be the last while something is left.
    assert_eq!(hits, 1);
}
