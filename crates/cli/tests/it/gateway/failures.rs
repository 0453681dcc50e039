//! Every failure of a provider, on every wire of ours and of theirs, streamed and whole.

use super::{Gate, PROVIDERS, ROUTES, Route, Told, model};
use futures_util::future::join_all;

/// What a failing model comes to.
struct Case {
    model: &'static str,
    code: &'static str,
    status: u16,
    /// What the message says.
    says: &'static str,
    retry_after: &'static str,
}

const fn case(model: &'static str, code: &'static str, status: u16) -> Case {
    Case {
        model,
        code,
        status,
        says: "",
        retry_after: "",
    }
}

const CASES: &[Case] = &[
    case("401", "inference.unauthorized", 422),
    case("403", "inference.forbidden", 422),
    case("404", "inference.model_not_found", 404),
    case("500", "inference.server_error", 502),
    case("html502", "inference.server_error", 502),
    case("503", "inference.backpressure", 503),
    case("529", "inference.backpressure", 503),
    case("filter", "inference.content_filtered", 400),
    case("badjson", "inference.bad_response", 502),
    case("empty", "inference.bad_response", 502),
    case("reset", "inference.network_error", 502),
    Case {
        retry_after: "7",
        ..case("429-7", "inference.rate_limited", 429)
    },
    Case {
        says: "5000",
        ..case("ctx", "inference.context_length_exceeded", 400)
    },
];

/// One request of the test: a model of its own at the upstream, so that its requests are counted apart.
struct Asked {
    provider: &'static str,
    route: Route,
    stream: bool,
    case: &'static Case,
}

impl Asked {
    fn all(providers: &[&'static str], cases: &'static [Case]) -> Vec<Self> {
        let mut all = Vec::new();
        for provider in providers {
            for route in ROUTES {
                for stream in [false, true] {
                    all.extend(cases.iter().map(|case| Self {
                        provider,
                        route,
                        stream,
                        case,
                    }));
                }
            }
        }
        all
    }

    fn name(&self) -> String {
        let Self {
            provider,
            route,
            stream,
            case,
        } = self;
        format!("{provider}-{route:?}-{stream}-{}", case.model)
    }

    fn upstream(&self) -> String {
        format!("{}/{}", self.name(), self.case.model)
    }

    fn flaws(&self, gate: &Gate, told: &Told) -> Vec<String> {
        let Case {
            code,
            status,
            says,
            retry_after,
            ..
        } = self.case;
        let hits = gate.upstream.hits(&self.upstream());
        let facts = [
            (told.header("x-mainstay-code") == *code, "code"),
            (told.status == *status, "status"),
            (told.body.contains(says), "words"),
            (told.header("retry-after") == *retry_after, "retry-after"),
            (hits == 1, "hits"),
        ];
        let wrong = facts.iter().filter(|(holds, _)| !holds);
        wrong
            .map(|(_, what)| format!("{}: {what}: {hits} hits, {told:?}", self.name()))
            .collect()
    }
}

async fn holds(asked: Vec<Asked>) {
    let models: String = asked
        .iter()
        .map(|asked| model(&asked.name(), asked.provider, &asked.upstream(), ""))
        .collect();
    let gate = Gate::open(&models);
    let mut flaws = Vec::new();
    for some in asked.chunks(24) {
        let told = join_all(some.iter().map(|asked| {
            let name = asked.name();
            let gate = &gate;
            async move { gate.ask(asked.route, &name, asked.stream).await }
        }));
        for (asked, told) in some.iter().zip(told.await) {
            let found = asked.flaws(&gate, &told);
            if found.is_empty() {
                told.failed(asked.case.code, asked.case.status);
            }
            flaws.extend(found);
        }
    }
    assert!(
        flaws.is_empty(),
        "{} flaws\n{}",
        flaws.len(),
        flaws.join("\n")
    );
}

#[tokio::test]
async fn every_failure_keeps_its_meaning_on_every_wire() {
    holds(Asked::all(&PROVIDERS, CASES)).await;
}

#[tokio::test]
async fn both_numbers_of_a_context_that_is_too_long_are_told() {
    static CASES: &[Case] = &[Case {
        says: "4096",
        ..case("ctx", "inference.context_length_exceeded", 400)
    }];
    holds(Asked::all(&PROVIDERS, CASES)).await;
}

#[tokio::test]
async fn an_account_that_is_used_up_is_never_repeated() {
    // Gemini tells its quotas as rate limits.
    static CASES: &[Case] = &[case("quota", "inference.quota_exhausted", 402)];
    holds(Asked::all(
        &["openai", "openai_compatible", "anthropic", "azure_openai"],
        CASES,
    ))
    .await;
}

#[tokio::test]
async fn waits_in_milliseconds_are_told_in_both_units() {
    let gate = Gate::open(&model("m", "azure_openai", "429ms-1500", ""));
    let told = gate.chat("m").await;
    told.failed("inference.rate_limited", 429);
    assert_eq!(told.header("retry-after"), "2");
    assert_eq!(told.header("retry-after-ms"), "1500");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_network_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let at = |provider: &str, path: &str| {
        format!(
            "  {provider}: {{provider: {provider}, model: m, base_url: \"http://{address}{path}\", \
             api_key: {{secret: upstream}}, retry: {{max: 0}}}}\n"
        )
    };
    let models: String = PROVIDERS
        .iter()
        .map(|provider| at(provider, "/v1"))
        .collect();
    let gate = Gate::open(&models);
    for provider in PROVIDERS {
        for route in ROUTES {
            for stream in [false, true] {
                let told = gate.ask(route, provider, stream).await;
                let code = told.header("x-mainstay-code").to_owned();
                // After five failures the provider is left alone.
                assert!(
                    ["inference.network_error", "inference.circuit_open"].contains(&code.as_str()),
                    "{told:?}"
                );
                let status = if code.ends_with("circuit_open") {
                    503
                } else {
                    502
                };
                told.failed(&code, status);
            }
        }
    }
}

#[tokio::test]
async fn a_body_cut_in_half_is_no_answer() {
    let models: String = PROVIDERS
        .iter()
        .map(|provider| model(provider, provider, &format!("{provider}/cut"), ""))
        .collect();
    let gate = Gate::open(&models);
    for provider in PROVIDERS {
        for route in ROUTES {
            let told = gate.ask(route, provider, false).await;
            told.failed("inference.network_error", 502);
        }
        assert_eq!(gate.upstream.hits(&format!("{provider}/cut")), 3);
    }
}

/// Who looks for a request finds it in the log, and what became of its calls in the metrics.
#[tokio::test]
async fn failures_are_in_the_log_and_every_call_is_counted() {
    let models = model(
        "m",
        "openai",
        "500",
        "retry: {max: 1, base: 1ms}, fallback: [n]",
    ) + &model("n", "openai", "n/500", "")
        + &model("ok", "openai", "ok", "");
    let gate = Gate::open(&models);
    let told = gate.chat("m").await;
    told.failed("inference.server_error", 502);
    let id = told.header("x-request-id").to_owned();
    let lines = || {
        let log = std::fs::read_to_string(gate.place.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(&id)).count()
    };
    gate.until("each call and the request are in the log", || lines() >= 4)
        .await;
    assert_eq!(lines(), 4);
    gate.ask(Route::Chat, "ok", true).await.ok();
    for (metric, count) in [
        ("attempts_total{model=\"m\"}", 2),
        ("attempts_total{model=\"n\"}", 1),
        ("request_seconds_count{model=\"ok\"}", 1),
        ("first_content_seconds_count{model=\"ok\"}", 1),
    ] {
        assert_eq!(gate.metric(metric).await, count, "{metric}");
    }
}

/// There is no route to fetch such an answer by, and it would be paid for.
#[tokio::test]
async fn an_answer_for_later_is_refused_before_it_is_paid_for() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    let mut body = Route::Responses.body("m", "x", false);
    body["background"] = true.into();
    let told = gate.post(Route::Responses, &body).await;
    told.failed("inference.bad_request", 400);
    assert_eq!(told.json()["error"]["param"], "background", "{told:?}");
    assert_eq!(gate.upstream.hits("ok"), 0);
    body["background"] = false.into();
    gate.post(Route::Responses, &body).await.ok();
}

/// An answer that broke off, that does not say why it ended, or that a route cannot say is no short success.
#[tokio::test]
async fn half_an_answer_is_never_told_as_a_whole_one() {
    let cases = [
        ("openai_compatible", "abort", "inference.server_error", 502),
        ("gemini", "abort", "inference.bad_response", 502),
        ("openai_compatible", "silent", "inference.bad_response", 502),
        ("gemini", "silent", "inference.bad_response", 502),
        ("openai_compatible", "picture", "inference.bad_request", 400),
        ("gemini", "picture", "inference.bad_request", 400),
    ];
    let name = |provider: &str, scenario: &str| format!("{provider}-{scenario}");
    let models = cases.map(|(provider, scenario, ..)| {
        model(
            &name(provider, scenario),
            provider,
            &format!("{provider}/{scenario}"),
            "retry: {max: 0}, breaker: {failures: 100}",
        )
    });
    let gate = Gate::open(&models.concat());
    for (provider, scenario, code, status) in cases {
        for route in ROUTES {
            for stream in [false, true] {
                let told = gate.ask(route, &name(provider, scenario), stream).await;
                if (provider, scenario, route) == ("openai_compatible", "picture", Route::Chat) {
                    assert!(
                        told.ok().body.contains("data:image/png;base64,"),
                        "{told:?}"
                    );
                } else if told.is_stream() {
                    // What had come before was told already.
                    told.broke_off(code);
                } else {
                    told.failed(code, status);
                }
            }
        }
    }
}
