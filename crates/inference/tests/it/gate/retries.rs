//! Repetition, and what providers say about when.

use super::given::*;
use super::world::*;
use mainstay_inference::{Ask, DeploymentConfig, InferenceError, Limits, TimeoutPhase};
use mainstay_resilience::{RetryBudgetConfig, RetryPolicy};

#[test]
fn a_limited_call_is_repeated_when_the_provider_says_so() {
    let mut world = World::new(one(plain()));
    let flight = world.ask(ask());
    world.fail(world.only(), limited_for(Some(2)));
    world.pass(1_999);
    assert_eq!(world.calls.len(), 1);
    world.pass(1_000);
    assert_eq!(world.calls.len(), 2);
    assert!(world.calls[1].at >= 2_000);
    assert_eq!(world.calls[1].failures, 1);
    world.answer(world.only(), tokens(10, 5));
    let success = world.success(flight);
    assert_eq!((success.attempts, success.tokens), (2, tokens(10, 5)));
    world.assert_idle();
}

#[test]
fn a_provider_that_always_limits_is_reported_with_its_advice() {
    let mut world = World::new(one(plain()));
    let flight = world.ask(ask());
    while !world.ended(flight) {
        world.fail_all(&limited_for(Some(2)));
        world.pass(100);
    }
    let error = world.error(flight);
    assert_eq!(error.error, limited_for(Some(2)));
    assert_eq!((error.attempts, error.earlier.len()), (4, 3));
    let pauses = world.calls.windows(2).map(|pair| pair[1].at - pair[0].at);
    assert!(pauses.into_iter().all(|pause| pause >= 2_000));
    world.assert_idle();
}

#[test]
fn advice_beyond_the_cap_or_the_deadline_is_not_waited_for() {
    for (asked, advice) in [(ask(), 11), (until(2_000), 2), (until(1_500), 3)] {
        let mut world = World::new(one(plain()));
        let flight = world.ask(asked);
        world.fail(world.only(), limited_for(Some(advice)));
        assert_eq!(world.error(flight).error, limited_for(Some(advice)));
        assert_eq!((world.calls.len(), world.clock()), (1, 0));
        world.assert_idle();
    }
}

#[test]
fn nobody_calls_a_deployment_that_asked_to_be_left_alone() {
    let mut world = World::new(one(plain()));
    let first = world.ask(ask());
    world.fail(world.only(), limited_for(Some(5)));
    world.pass(1_000);
    let others = world.ask_many(&ask(), 3);
    let hasty = world.ask(until(3_000));
    let own = world.ask(Ask {
        is_retried: false,
        ..ask()
    });
    for flight in [hasty, own] {
        let InferenceError::RateLimited { retry_after, .. } = world.error(flight).error else {
            panic!("{:?}", world.error(flight));
        };
        assert_eq!(retry_after, Some(secs(4)));
    }
    world.pass_to(4_999);
    assert_eq!(world.calls.len(), 1);
    world.pass_to(5_000);
    for flight in &others {
        assert_eq!(world.of(*flight).len(), 1, "{flight:?}");
    }
    world.pass(10_000);
    world.answer_all();
    assert!(world.success(first).attempts == 2);
    world.assert_idle();
}

#[test]
fn cooling_is_passed_by_where_another_can_answer() {
    let mut world = World::new(chain(&[("a", at("1")), ("b", at("2"))]));
    let first = world.ask(ask());
    world.fail(world.only(), limited_for(Some(60)));
    let second = world.ask(ask());
    assert_eq!(world.called(), ["a", "b", "b"]);
    world.answer_all();
    for flight in [first, second] {
        assert_eq!(&*world.success(flight).deployment, "b");
    }
    world.pass_to(60_000);
    world.ask(ask());
    assert_eq!(world.called()[3], "a");
}

#[test]
fn cooling_is_not_waited_for_where_another_can_answer() {
    let patient = || DeploymentConfig {
        limits: Limits {
            queue: 100,
            queue_timeout: secs(30),
            ..Limits::default()
        },
        ..plain()
    };
    let mut world = World::new(chain(&[("a", patient()), ("b", patient())]));
    let first = world.ask(ask());
    world.fail(world.only(), limited_for(Some(12)));
    let second = world.ask(ask());
    assert_eq!(world.called(), ["a", "b", "b"]);
    world.answer_all();
    for flight in [first, second] {
        assert_eq!(&*world.success(flight).deployment, "b");
    }
}

#[test]
fn cooling_is_waited_for_no_longer_than_a_repetition_would_wait() {
    let mut world = World::new(one(DeploymentConfig {
        limits: Limits {
            queue: 100,
            queue_timeout: secs(30),
            ..Limits::default()
        },
        retry: RetryPolicy {
            retries_max: 2,
            base_ms: 100,
            cap_ms: 2_000,
        },
        ..plain()
    }));
    let first = world.ask(ask());
    world.fail(world.only(), limited_for(Some(12)));
    let second = world.ask(ask());
    for flight in [first, second] {
        let InferenceError::RateLimited { retry_after, .. } = world.error(flight).error else {
            panic!("{:?}", world.error(flight));
        };
        assert_eq!(retry_after, Some(secs(12)));
    }
    world.pass_to(12_000);
    world.ask(ask());
    assert_eq!(world.calls.len(), 2);
}

#[test]
fn two_failures_are_made_good() {
    let mut world = World::new(one(plain()));
    let flight = world.ask(ask());
    world.fail(world.only(), broken());
    world.pass(200);
    world.fail(world.only(), unreachable());
    world.pass(400);
    assert_eq!(world.calls[2].failures, 2);
    world.answer(world.only(), tokens(10, 5));
    assert_eq!(world.success(flight).attempts, 3);
    world.assert_idle();
}

#[test]
fn repetition_has_a_budget_of_its_own() {
    let mut world = World::new(one(DeploymentConfig {
        retry: RetryPolicy {
            retries_max: 3,
            base_ms: 1,
            cap_ms: 1,
        },
        retry_budget: RetryBudgetConfig {
            ratio_thousandths: 100,
            reserve_per_second: 0,
            saved_max: 2,
        },
        breaker: mainstay_resilience::BreakerConfig {
            failures: 1_000,
            ..Default::default()
        },
        ..plain()
    }));
    for _ in 0..100 {
        world.ask(ask());
        for _ in 0..5 {
            world.fail_all(&broken());
            world.pass(1);
        }
    }
    let repeated = world.calls.len() - 100;
    assert!((10..=12).contains(&repeated), "{repeated}");
    world.assert_idle();
}

#[test]
fn who_repeats_by_itself_gets_one_call_for_each_deployment() {
    let mut world = World::new(chain(&[("a", at("1")), ("b", at("2"))]));
    let flight = world.ask(Ask {
        is_retried: false,
        ..ask()
    });
    world.fail_all(&broken());
    assert_eq!(world.called(), ["a", "b"]);
    assert_eq!(world.error(flight).attempts, 2);
    world.assert_idle();
}

#[test]
fn only_what_had_no_effect_is_repeated_where_that_matters() {
    let config = || {
        one(DeploymentConfig {
            is_idempotent: false,
            ..plain()
        })
    };
    let timeout = InferenceError::Timeout {
        origin: origin(),
        phase: TimeoutPhase::FirstToken,
        after: secs(10),
        elapsed: secs(10),
    };
    for (error, calls) in [
        (broken(), 1),
        (timeout, 1),
        (unreachable(), 2),
        (limited_for(None), 2),
        (overloaded(), 2),
    ] {
        let mut world = World::new(config());
        world.ask(ask());
        world.fail(world.only(), error.clone());
        world.pass(200);
        assert_eq!(world.calls.len(), calls, "{error:?}");
    }
}

#[test]
fn a_request_that_costs_two_workers_gets_no_third() {
    let mut world = World::new(chain(&[("a", plain()), ("b", plain())]));
    let flight = world.ask(ask());
    while !world.ended(flight) {
        world.fail_all(&lost());
        world.pass(1_000);
    }
    assert_eq!(world.called(), ["a", "a", "b", "b"]);
    assert_eq!(world.error(flight).error, lost());
    world.assert_idle();
    // What fails otherwise meanwhile is repeated as always.
    let mut world = World::new(one(plain()));
    let flight = world.ask(ask());
    for error in [lost(), broken(), broken()] {
        world.fail(world.only(), error);
        world.pass(5_000);
    }
    world.answer(world.only(), tokens(10, 5));
    assert_eq!(world.success(flight).attempts, 4);
}

#[test]
fn what_no_repetition_helps_is_called_once() {
    let filtered = InferenceError::ContentFiltered {
        origin: origin(),
        reason: String::new(),
        message: String::new(),
    };
    let forbidden = InferenceError::Forbidden {
        origin: origin(),
        message: String::new(),
    };
    for error in [internal(), bad_request(), filtered, forbidden, refused()] {
        let mut world = World::new(one(plain()));
        let flight = world.ask(ask());
        world.fail(world.only(), error.clone());
        assert_eq!(world.error(flight).error, error);
        assert_eq!(world.calls.len(), 1);
        world.assert_idle();
    }
    for error in [internal(), bad_request()] {
        let mut world = World::new(chain(&[("a", plain()), ("b", plain())]));
        world.ask(ask());
        world.fail(world.only(), error);
        assert_eq!(world.called(), ["a"]);
        world.assert_idle();
    }
}

#[test]
fn nothing_is_called_after_the_deadline() {
    let mut world = World::new(chain(&[("a", at("1")), ("b", at("2"))]));
    let flight = world.ask(until(1_000));
    let late = world.ask(until(0));
    assert!(matches!(
        world.error(late).error,
        InferenceError::Timeout { .. }
    ));
    world.pass(1_500);
    world.fail(world.only(), broken());
    assert_eq!(world.error(flight).error, broken());
    assert_eq!(world.called(), ["a"]);
    world.assert_idle();
}
