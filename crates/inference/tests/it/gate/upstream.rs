//! Chance: configurations, requests, and providers that behave in every way.

use super::given::*;
use mainstay_contract::{Timestamp, Usd};
use mainstay_inference::{
    Ask, BudgetAction, BudgetConfig, BudgetKey, DeploymentConfig, FailureClass, Fallback,
    GateConfig, Hedge, InferenceError, KeyConfig, Limits, Member, ModelConfig, ModelPrice, Outcome,
    Pricing, Spender, Tokens,
};
use mainstay_resilience::{BreakerConfig, BudgetPeriod, Priority, RetryBudgetConfig, RetryPolicy};
use std::sync::Arc;
use std::time::Duration;

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to below `high`.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    /// So many times of a hundred.
    pub(crate) fn is(&mut self, percent: u64) -> bool {
        self.range(0, 100) < percent
    }

    pub(crate) fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        let at = self.next() % u64::try_from(choices.len()).unwrap();
        choices[usize::try_from(at).unwrap()].clone()
    }

    fn ms(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.range(low, high))
    }

    fn some<T>(&mut self, percent: u64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.is(percent).then(|| value(self))
    }
}

pub(crate) const NAMES: [&str; 4] = ["d0", "d1", "d2", "d3"];

pub(crate) fn config(chance: &mut Chance) -> GateConfig {
    let count = usize::try_from(chance.range(1, 5)).unwrap();
    let names = &NAMES[..count];
    let mut config = GateConfig::default();
    for name in names {
        let name: Arc<str> = (*name).into();
        let alone = ModelConfig {
            members: vec![member(&name, 1)],
            fallback: Vec::new(),
        };
        config.models.insert(Arc::clone(&name), alone);
        config.deployments.insert(name, deployment(chance));
    }
    let mut model = ModelConfig {
        members: Vec::new(),
        fallback: Vec::new(),
    };
    for (place, name) in names.iter().enumerate() {
        if place == 0 || chance.is(40) {
            model
                .members
                .push(member(name, u32::try_from(chance.range(0, 4)).unwrap()));
        } else {
            let class = chance.of(ANY);
            model.fallback.push(Fallback {
                deployment: (*name).into(),
                on: chance.of(&[ANY.to_vec(), FailureClass::USUAL.to_vec(), vec![class]]),
            });
        }
    }
    config.models.insert("m".into(), model);
    keys(&mut config);
    budgets(chance, &mut config);
    config
}

fn keys(config: &mut GateConfig) {
    let concurrency = Some(3);
    let limits = Limits {
        concurrency,
        ..Limits::default()
    };
    config.keys.insert(
        "k0".into(),
        KeyConfig {
            limits,
            ..KeyConfig::default()
        },
    );
    let limits = Limits {
        requests: rate(120, 5),
        tokens: rate(6_000, 1_000),
        ..Limits::default()
    };
    config.keys.insert(
        "k1".into(),
        KeyConfig {
            limits,
            ..KeyConfig::default()
        },
    );
}

fn budgets(chance: &mut Chance, config: &mut GateConfig) {
    for key in budget_keys() {
        if chance.is(30) {
            let budget = BudgetConfig {
                limit: Usd::from_nanos(chance.range(0, 20) * CALL / 2),
                period: chance.of(&[BudgetPeriod::Hour, BudgetPeriod::Total]),
                action: chance.of(&[
                    BudgetAction::Reject,
                    BudgetAction::Throttle,
                    BudgetAction::Warn,
                ]),
            };
            config.budgets.insert(key, budget);
        }
    }
}

/// The same deployments and breakers, without anything that refuses.
pub(crate) fn healed(mut config: GateConfig) -> GateConfig {
    config.budgets.clear();
    config.keys.clear();
    for deployment in config.deployments.values_mut() {
        deployment.limits = Limits::default();
        deployment.pricing = Pricing::Free;
    }
    config
}

fn budget_keys() -> [BudgetKey; 6] {
    [
        BudgetKey::Deployment("d0".into()),
        BudgetKey::Deployment("d1".into()),
        BudgetKey::Key("k0".into()),
        BudgetKey::Agent("x".into()),
        BudgetKey::Session("child".into()),
        BudgetKey::Session("parent".into()),
    ]
}

fn member(name: &str, weight: u32) -> Member {
    let deployment = name.into();
    Member { deployment, weight }
}

pub(crate) fn limits(chance: &mut Chance) -> Limits {
    Limits {
        requests: chance.some(30, |chance| {
            rate(chance.range(30, 600), chance.range(1, 6)).unwrap()
        }),
        tokens: chance.some(20, |chance| {
            rate(chance.range(3_000, 60_000), chance.range(100, 1_000)).unwrap()
        }),
        concurrency: chance.some(50, |chance| usize::try_from(chance.range(1, 4)).unwrap()),
        queue: usize::try_from(chance.of(&[0, 2, 10])).unwrap(),
        queue_timeout: chance.ms(0, 20_000),
    }
}

fn deployment(chance: &mut Chance) -> DeploymentConfig {
    let price = Usd::from_nanos(1_000_000_000);
    let known = Pricing::Known(Arc::new(ModelPrice::flat(price, price)));
    let open_for = chance.ms(500, 3_000);
    let endpoint: &str = chance.of(&["e0", "e1", "e2"]);
    DeploymentConfig {
        endpoint: endpoint.into(),
        limits: limits(chance),
        retry: RetryPolicy {
            retries_max: u32::try_from(chance.range(0, 4)).unwrap(),
            base_ms: chance.range(0, 500),
            cap_ms: chance.range(1, 5_000),
        },
        retry_budget: RetryBudgetConfig {
            saved_max: u32::try_from(chance.of(&[0, 2, 100])).unwrap(),
            ..RetryBudgetConfig::default()
        },
        breaker: BreakerConfig {
            failures: u32::try_from(chance.range(1, 6)).unwrap(),
            failure_percent: u32::try_from(chance.range(1, 101)).unwrap(),
            window: secs(30),
            open_for,
            probes: u32::try_from(chance.range(1, 3)).unwrap(),
            probe_timeout: chance.some(50, |chance| chance.ms(500, 3_000)),
        },
        pricing: chance.of(&[
            known.clone(),
            known.clone(),
            known,
            Pricing::Free,
            Pricing::Unknown,
        ]),
        output_tokens_usual: chance.range(0, 200),
        is_idempotent: chance.is(80),
        hedge: chance.some(40, |chance| Hedge {
            after: chance.ms(0, 1_500),
        }),
        is_ready: chance.of(&[None, None, None, Some(true), Some(false)]),
        ..plain()
    }
}

pub(crate) fn asking(chance: &mut Chance, now: Timestamp) -> Ask {
    let model: &str = chance.of(&["m", "m", "m", "m", "d0", "d1", "d3", "unknown"]);
    let some = |chance: &mut Chance, name: &str| chance.some(50, |_| Arc::<str>::from(name));
    let keyed: &str = chance.of(&["k0", "k1", "stranger"]);
    Ask {
        model: model.into(),
        session_budget: None,
        spender: Spender {
            key: some(chance, keyed),
            agent: some(chance, "x"),
            sessions: chance.of(&[
                Vec::new(),
                vec!["child".into(), "parent".into()],
                vec!["child".into(), "child".into()],
            ]),
        },
        input_tokens: chance.range(1, 100),
        output_tokens_max: chance.some(70, |chance| chance.range(0, 150)),
        has_audio: false,
        priority: chance.of(&[Priority::High, Priority::Normal, Priority::Low]),
        deadline: chance.some(40, |chance| now.after(chance.ms(0, 30_000))),
        patience: None,
        is_retried: chance.is(80),
        random: chance.next(),
    }
}

/// What a provider does with a call: when content comes, if it does, and how and when it ends, if ever.
pub(crate) struct Plan {
    pub(crate) content: Option<Duration>,
    pub(crate) end: Option<(Duration, Outcome)>,
}

pub(crate) fn plan(chance: &mut Chance, is_well: bool, bound: Option<u64>) -> Plan {
    let begins = chance.ms(0, 2_000);
    let ends = begins + chance.ms(0, 3_000);
    let output = chance.range(0, bound.unwrap_or(400) + 1);
    let came = tokens(chance.range(0, 60), output);
    let answered = Outcome::Answered {
        tokens: (is_well || chance.is(95)).then_some(came),
    };
    let failed = |error, tokens| Outcome::Failed { error, tokens };
    let (content, end) = match chance.range(0, 100) {
        _ if is_well => (None, Some((begins, answered))),
        0..40 => (Some(begins), Some((ends, answered))),
        40..50 => (None, Some((begins, answered))),
        50..85 => {
            let tokens = if chance.is(20) {
                came
            } else {
                Tokens::default()
            };
            (None, Some((begins, failed(error(chance), tokens))))
        }
        85..93 => (Some(begins), Some((ends, failed(error(chance), came)))),
        93..96 => (Some(begins), None),
        _ => (None, None),
    };
    Plan { content, end }
}

/// What a provider bills for a call that failed: what it counted, or the question, where it had that and did
/// not refuse it.
pub(crate) fn bill_of_failure(error: &InferenceError, counted: Tokens, question: u64) -> Tokens {
    let had_question = [torn(), silent(), cut()].contains(error);
    if had_question && counted == Tokens::default() {
        tokens(question, 0)
    } else {
        counted
    }
}

fn error(chance: &mut Chance) -> InferenceError {
    let wait = chance.of(&[None, Some(0), Some(1), Some(3), Some(15)]);
    let overload = InferenceError::Backpressure {
        origin: origin(),
        retry_after: wait.map(secs),
        message: String::new(),
    };
    let too_long = InferenceError::ContextLengthExceeded {
        origin: origin(),
        tokens: None,
        max_tokens: None,
        message: String::new(),
    };
    chance.of(&[
        broken(),
        broken(),
        broken(),
        unreachable(),
        torn(),
        silent(),
        cut(),
        limited_for(wait),
        overload,
        refused(),
        bad_request(),
        internal(),
        unsayable(),
        too_long,
    ])
}
