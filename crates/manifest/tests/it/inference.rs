//! Models, pools, fallbacks and keys: what arrives, and each rule with what it finds.

use crate::support::{check, listing, valid};
use mainstay_manifest::{FailureClass, Limits, Manifest, Model, Provider};
use mainstay_resilience::BreakerConfig;
use serde_json::{Value, json};

const INFERENCE: &str = include_str!("../manifests/inference.yaml");

#[test]
fn every_field_arrives() {
    let manifest = valid(INFERENCE);
    let shown = json!({
        "models": manifest.models, "keys": manifest.keys, "prices": manifest.prices,
    });
    insta::assert_json_snapshot!("inference", shown);
    let json = serde_json::to_string(&manifest).unwrap();
    let back: Manifest = serde_json::from_str(&json).unwrap();
    assert_eq!(back, manifest);
}

#[test]
fn defaults_are_what_the_description_says() {
    for fields in ["", ", limits: {}, breaker: {}, timeout: {}"] {
        let text = format!("version: 1\nmodels: {{m: {{provider: anthropic, model: c{fields}}}}}");
        let manifest = valid(&text);
        let model = &manifest.models["m"];
        assert_eq!(model.limits, Limits::default());
        assert_eq!(model.breaker, BreakerConfig::default());
        assert!(model.is_idempotent && !model.costs_nothing());
        assert!(!model.timeout.first_token_written);
    }
    let text = "version: 1\nmodels: {m: {provider: openai, model: c, fallback: [n, {to: o}]}, n: {provider: gemini, model: g}, o: {provider: local, path: p}}";
    let manifest = valid(text);
    let fallback = &manifest.models["m"].fallback;
    assert_eq!(fallback.len(), 2);
    assert!(fallback.iter().all(|it| it.on == FailureClass::USUAL));
    assert!(manifest.models["o"].costs_nothing());
}

#[test]
fn one_server_and_model_have_one_breaker() {
    let model = |name: &str, model: &str, breaker: &str| {
        format!("  {name}: {{provider: openai, model: {model}, price: {{free: true}}{breaker}}}\n")
    };
    let (none, two, three) = ("", ", breaker: {failures: 2}", ", breaker: {failures: 3}");
    let says = |first: &str, second: &str, other: &str| {
        let models = model("a", "c", first) + &model("b", other, second);
        listing(&check(&format!("version: 1\nmodels:\n{models}")).findings)
    };
    for (first, second, line, other) in [
        (two, three, 4, "`a`"),
        (none, three, 4, "`a`"),
        (two, none, 3, "`b`"),
    ] {
        let found = says(first, second, "c");
        let expected = format!("the breaker of {other} counts for the same server and model");
        assert!(found.contains(&expected), "{found}");
        assert!(found.contains(&format!("yaml:{line}:")), "{found}");
        assert_eq!(says(first, second, "d"), "");
    }
    assert_eq!(says(two, two, "c") + &says(none, none, "c"), "");
}

#[test]
fn each_provider_has_its_address() {
    let manifest = valid(INFERENCE);
    let shown = |name: &str| {
        let provider = &manifest.models[name].provider;
        (provider.word(), provider.base_url(), provider.model())
    };
    assert_eq!(
        shown("main"),
        (
            "openai",
            Some("https://api.openai.com/v1"),
            Some("gpt-4.1-mini")
        )
    );
    assert_eq!(shown("claude").1, Some("https://api.anthropic.com"));
    let google = "https://generativelanguage.googleapis.com/v1beta";
    assert_eq!(shown("google").1, Some(google));
    let azure = "https://mine.openai.azure.com";
    assert_eq!(
        shown("azure"),
        ("azure_openai", Some(azure), Some("our-mini"))
    );
    assert_eq!(shown("cellar"), ("local", None, None));
    assert_eq!(shown("many"), ("pool", None, None));
    assert_eq!(manifest.models["many"].pool().len(), 3);
    assert_eq!(manifest.models["cellar"].context_window, Some(8192));
}

#[test]
fn health_is_asked_at_the_server_or_where_it_is_said() {
    let url = |base: &str, http: &str| {
        let text = format!(
            "version: 1\nmodels: {{m: {{provider: openai_compatible, base_url: '{base}', model: x, health: {{http: '{http}'}}}}}}"
        );
        valid(&text).models["m"].health.clone().unwrap().url
    };
    assert_eq!(url("http://h:8000/v1", "/health"), "http://h:8000/health");
    assert_eq!(url("http://h/a/b/v1", "/"), "http://h/");
    assert_eq!(url("https://[::1]:5", "/up?x=1"), "https://[::1]:5/up?x=1");
    assert_eq!(url("http://h/v1", "http://o:1/ok"), "http://o:1/ok");
    // A check that takes longer than the time between two is no mistake: one begins after the other.
    let text = "version: 1\nmodels: {m: {provider: openai, model: x, health: {http: /, interval: 1s, timeout: 5s}}}";
    assert!(valid(text).models["m"].health.is_some());
}

/// What a turn of an older version is pinned to.
#[test]
fn an_old_model_is_read_and_written_as_it_was() {
    let old = r#"{"provider":{"provider":"open_ai_compatible","base_url":"https://api.openai.com/v1","model":"gpt","api_key":{"secret":"openai"}},"timeout":{"connect":3000,"first_token":30000,"idle":15000,"total":120000},"retry":{"retries_max":3,"base_ms":200,"cap_ms":10000},"price":{"input_per_million":"0.4","output_per_million":"1.6"}}"#;
    let model: Model = serde_json::from_str(old).unwrap();
    assert!(matches!(model.provider, Provider::OpenAiCompatible { .. }));
    assert!(model.is_idempotent);
    assert_eq!(model.limits, Limits::default());
    assert_eq!(serde_json::to_string(&model).unwrap(), old);
    let text = "version: 1\nmodels: {m: {provider: script, file: s}}";
    let written = serde_json::to_value(&valid(text).models["m"]).unwrap();
    let keys: Vec<&String> = written.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["provider", "timeout", "retry", "price"]);
    assert_eq!(written["price"], Value::Null);
}

/// The findings of a manifest with these models, and of agents and keys that use them.
fn found(models: &str) -> String {
    let text = format!(
        "version: 1\nsecrets: {{k: {{env: K}}, l: {{env: L}}}}\nmodels:\n  a: {{provider: openai, model: x}}\n  b: {{provider: openai, model: y}}\n  p: {{pool: [a, b]}}\n{models}"
    );
    listing(&check(&text).findings)
}

/// Additions of which each has something wrong.
const RULES: &[&str] = &[
    "  m: {}",
    "  m: {poool: [a]}",
    "  m: {provider: openai_compatible, model: x}",
    "  m: {provider: openai_compatible, model: x, service: db}",
    "  m: {provider: azure_openai, model: x}",
    "  m: {provider: azure_openai, base_url: 'https://x', model: x, api_version: '1&x'}",
    "  m: {provider: anthropic}",
    "  m: {provider: gemini, model: x, api_version: '1'}",
    "  m: {provider: local}",
    "  m: {provider: local, path: x, device: gpu}",
    "  m: {provider: local, path: x, model: x, context_window: 5}",
    "  m: {provider: openai, model: x, path: x, threads: 2}",
    "  m: {provider: script, file: x, headers: {A: b}, if_price_unknown: allow}",
    "  m: {provider: openai, model: x, headers: {A: b, a: c}}",
    "  m: {provider: openai, model: x, headers: {'A:B': c}}",
    "  m: {provider: openai, model: x, headers: {Host: c, Content-Type: d}}",
    "  m: {provider: openai, model: x, headers: {A: {secret: nope}}}",
    "  m: {provider: openai, model: x, headers: {A: [sk-live-12345]}}",
    "  m: {provider: openai, model: x, headers: {A: 'sk-live-12345 '}}",
    "  m: {provider: anthropic, model: x, api_key: {secret: k}, headers: {X-Api-Key: d}}",
    "  m: {provider: openai, model: x, limits: {requests_per_minute: 0, tokens_per_minute: -1, concurrency: many}}",
    "  m: {provider: openai, model: x, limits: {queue: 3, queue_timeout: 1s}}",
    "  m: {provider: openai, model: x, limits: {concurrency: 1, queue: 0, queue_timeout: 1s}}",
    "  m: {provider: openai, model: x, breaker: {failures: 0, failure_percent: 101, windows: 3s}}",
    "  m: {provider: openai, model: x, ca_file: '', proxy_url: 'https://p:1'}",
    "  m: {provider: openai, model: x, proxy_url: 'http://p:1/path'}",
    "  m: {provider: openai, model: x, proxy_url: 'http://me:12345@p:1'}",
    "  m: {provider: openai_compatible, base_url: 'http://h/v1', model: x, ca_file: ca.pem, proxy_url: 'http://p:1'}",
    "  m: {provider: script, file: x, ca_file: ca.pem, proxy_url: 'http://p:1'}",
    "  m: {provider: openai, model: x, health: {}}",
    "  m: {provider: openai, model: x, health: /health}",
    "  m: {provider: openai, model: x, health: {http: health, interval: 0s, timeout: 2, retries: 0, start_period: soon}}",
    "  m: {provider: openai, model: x, health: {http: '//elsewhere/health', path: /x}}",
    "  m: {provider: openai, model: x, health: {http: '/health#now'}}",
    "  m: {provider: openai, model: x, health: {http: '/a b'}}",
    "  m: {provider: openai, model: x, health: {http: 'ftp://x/health'}}",
    "  m: {provider: openai, model: x, health: {http: 'http://me:12345@x/health'}}",
    "  m: {provider: openai, model: x, health: {http: /health, exec: [true], on_failure: restart}}",
    "  m: {provider: local, path: x, health: {http: /health}}",
    "  m: {provider: script, file: x, health: {http: /health}}",
    "  m: {pool: [a], health: {http: /health}}",
    "  m: {provider: openai, model: x, context_window: 10, output_tokens_max: 11}",
    "  m: {provider: local, path: x, context_length: 10, output_tokens_max: 11}",
    "  m: {provider: openai, model: x, budget: {per: week}}",
    "  m: {provider: openai, model: x, budget: {usd: 1, action: throttle}}",
    "  m: {provider: openai, model: x, price: {free: true}, budget: {usd: 1}}",
    "  m: {provider: local, path: x, budget: {usd: 1}}",
    "  m: {provider: openai, model: x, price: {}}",
    "  m: {provider: openai, model: x, price: {free: false}}",
    "  m: {provider: openai, model: x, price: {free: true, input_per_million: 1}}",
    "  m: {provider: openai, model: x, price: {input_per_million: 0, output_per_million: 0}}",
    "  m: {provider: openai, model: x, price: {free: true}, if_price_unknown: allow}",
    "  m: {provider: openai, model: x, fallback: [c, m, a, a]}",
    "  m: {provider: openai, model: x, fallback: [p]}",
    "  m: {provider: openai, model: x, fallback: a}",
    "  m: {provider: openai, model: x, fallback: [[a], {on: [failed]}]}",
    "  m: {provider: openai, model: x, fallback: [{to: a, on: [failed, broken, failed]}]}",
    "  m: {provider: openai, model: x, fallback: [a], hedge: {after: 2s}, idempotent: false}",
    "  m: {provider: openai, model: x, fallback: [a], hedge: {after: 2m}}",
    "  m: {provider: openai, model: x, hedge: {after: 2s}}",
    "  m: {provider: openai, model: x, base_url: \"https://a.example/v1/chat/completions/\"}",
    "  m: {provider: openai, model: x, cache: {}}",
    "  m: {pool: [a], provider: openai, model: x, limits: {}}",
    "  m: {pool: [], cache: {ttl: 1s}}",
    "  m: {pool: {}}",
    "  m: {pool: a}",
    "  m: {pool: [a, c, a]}",
    "  m: {pool: [a, p, m]}",
    "  m: {pool: {a: 0, b: 0}}",
    "  m: {pool: {a: -1, c: 1}}",
    "  m: {pool: [a], fallback: [b, a]}",
    "  m: {pool: [n]}\n  n: {provider: local, path: x}\nagents: {x: {model: m, budget: {usd: 1}}}",
    "keys: {x: {models: [a]}}",
    "keys: {x: {secret: nope, models: [c]}}",
    "keys: {x: {secret: k}, y: {secret: k}, z: {secret: l}}",
    "keys: {x: {secret: k, models: [a, a], limits: {queue: 1}}}",
    "keys: {x: {secret: k, priority: urgent, budget: {usd: 1, action: throttle}}}",
    "keys: {x: sk-live-12345}",
    "prices: [x]",
];

#[test]
fn each_rule_is_a_finding() {
    let mut text = String::new();
    for rule in RULES {
        let found = found(rule);
        assert!(!found.is_empty(), "{rule}");
        assert!(!found.contains("12345"), "{found}");
        text += &format!("{rule}\n{}\n", indented(&found));
    }
    insta::assert_snapshot!("rules", text);
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| format!("    {line}\n"));
    lines.collect::<String>().replace("mainstay.yaml:", "")
}

#[test]
fn what_is_no_mistake_is_none() {
    let fine = [
        "  m: {provider: script, file: x, price: {input_per_million: 1, output_per_million: 0}, budget: {usd: 1}}",
        "  m: {provider: local, path: x, fallback: [a]}\nagents: {x: {model: m, budget: {usd: 1}}}",
        "  m: {pool: {p2: 1}}\n  p2: {provider: openai, model: x, fallback: [a, b]}",
        "  m: {provider: openai, model: x, fallback: [n, o]}\n  n: {provider: openai, model: x, fallback: [o]}\n  o: {provider: openai, model: x}",
        "  m: {provider: openai, model: x, fallback: [n]}\n  n: {provider: openai, model: x, fallback: [o, m]}\n  o: {provider: openai, model: x, fallback: [m]}",
        "  m: {provider: openai, model: x, headers: {Authorization: {secret: k}}}",
        "agents: {x: {model: a, budget: {usd: 1}}, y: {model: p, budget: {usd: 1}}}",
    ];
    for models in fine {
        assert_eq!(found(models), "", "{models}");
    }
}

#[test]
fn a_fallback_for_a_budget_needs_one_that_can_refuse() {
    let text = |own: &str, more: &str| {
        let model = "provider: openai, model: x, fallback: [{to: o, on: [failed, budget]}]";
        format!(
            "version: 1\nsecrets: {{k: {{env: K}}}}\nmodels:\n  m: {{{model}{own}}}\n  o: {{provider: openai, model: y}}\n{more}"
        )
    };
    let found = listing(&check(&text("", "keys: {a: {secret: k}}")).findings);
    assert!(
        found.contains("mainstay.yaml:4:67: models.m.fallback[0].on[1]: `budget` has no effect"),
        "{found}"
    );
    for (own, more) in [
        (", budget: {usd: 1}", ""),
        ("", "keys: {a: {secret: k, budget: {usd: 1}}}"),
        ("", "agents: {a: {model: o, budget: {usd: 1, per: day}}}"),
    ] {
        valid(&text(own, more));
    }
    valid(
        "version: 1\nmodels:\n  p: {pool: [m], fallback: [{to: o, on: [budget]}]}\n  m: {provider: openai, model: x, budget: {usd: 1}}\n  o: {provider: openai, model: y}",
    );
}

#[test]
fn a_caller_does_not_have_the_operators_key() {
    let text = |secret: &str| {
        format!(
            "version: 1\nmodels: {{m: {{provider: openai, model: x, api_key: {{secret: k}}}}}}\nkeys:\n  a: {{secret: {secret}}}\nsecrets: {{k: {{env: K}}, l: {{env: L}}}}"
        )
    };
    valid(&text("l"));
    let found = listing(&check(&text("k")).findings);
    assert!(
        found.contains(
            "mainstay.yaml:4:15: keys.a.secret: the model `m` sends this secret to its provider"
        ),
        "{found}"
    );
}
