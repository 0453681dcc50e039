//! Breakers before endpoints.

use super::given::*;
use super::world::*;
use mainstay_contract::EffectState;
use mainstay_inference::{Ask, FlightId, InferenceError};
use mainstay_resilience::BreakerState;
use std::time::Duration;

fn once() -> Ask {
    Ask {
        is_retried: false,
        ..ask()
    }
}

fn open_for(world: &World, flight: FlightId) -> Duration {
    match &world.error(flight).error {
        error @ InferenceError::CircuitOpen { .. } => {
            assert_eq!(error.effect(), EffectState::None);
            error.retry_after().unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn failed(times: usize, error: &InferenceError) -> World {
    let mut world = World::new(one(plain()));
    for _ in 0..times {
        world.ask(once());
        world.fail_all(error);
    }
    world
}

fn state(world: &World) -> BreakerState {
    world.gate.deployments(world.now)[0].breaker
}

#[test]
fn five_failures_open_it_and_one_probe_finds_out() {
    let mut world = failed(5, &broken());
    let flight = world.ask(ask());
    assert_eq!(open_for(&world, flight), secs(15));
    let InferenceError::CircuitOpen {
        opened_at_unix_ms,
        retry_at_unix_ms,
        ..
    } = world.error(flight).error
    else {
        panic!()
    };
    assert_eq!(
        (opened_at_unix_ms, retry_at_unix_ms),
        (START, START + 15_000)
    );
    world.pass(5_000);
    let flight = world.ask(ask());
    assert_eq!(open_for(&world, flight), secs(10));
    assert_eq!(world.calls.len(), 5);
    world.pass_to(15_000);
    let asked = world.ask_many(&ask(), 20);
    assert_eq!(world.calls.len(), 6);
    for flight in &asked[1..] {
        assert!(open_for(&world, *flight) > Duration::ZERO);
    }
    world.answer(world.only(), tokens(10, 5));
    assert_eq!(state(&world), BreakerState::Closed);
    world.ask_many(&ask(), 20);
    assert_eq!(world.calls.len(), 26);
    world.answer_all();
    world.assert_idle();
}

#[test]
fn a_failed_probe_opens_it_for_longer() {
    let mut world = failed(5, &broken());
    world.pass(15_000);
    world.ask(once());
    world.fail_all(&unreachable());
    let flight = world.ask(ask());
    assert_eq!(open_for(&world, flight), secs(30));
    world.pass(30_000);
    world.ask(once());
    assert_eq!(world.calls.len(), 7);
}

#[test]
fn a_probe_whose_caller_leaves_makes_room_for_another() {
    let mut world = failed(5, &broken());
    world.pass(15_000);
    let probe = world.ask(ask());
    let other = world.ask(ask());
    assert!(world.ended(other));
    world.leave(probe);
    world.ask(ask());
    assert_eq!(world.open.len(), 1);
    world.answer_all();
    assert_eq!(state(&world), BreakerState::Closed);
    world.assert_idle();
}

#[test]
fn late_news_of_old_calls_changes_nothing() {
    let mut world = World::new(one(plain()));
    world.ask_many(&once(), 8);
    let old = world.open.clone();
    for attempt in &old[..5] {
        world.fail(*attempt, broken());
    }
    let opened = state(&world);
    world.answer(old[5], tokens(1, 1));
    assert_eq!(state(&world), opened);
    world.pass(15_000);
    let probe = world.ask(ask());
    world.fail(old[6], broken());
    assert_eq!(state(&world), BreakerState::HalfOpen);
    world.answer(world.of(probe)[0], tokens(1, 1));
    assert_eq!(state(&world), BreakerState::Closed);
    world.fail(old[7], broken());
    assert_eq!(state(&world), BreakerState::Closed);
    world.assert_idle();
}

#[test]
fn overload_and_refused_keys_count_apart_and_twice_as_long() {
    for error in [overloaded(), refused()] {
        let mut world = failed(9, &error);
        for _ in 0..4 {
            world.ask(once());
            world.fail_all(&broken());
        }
        assert_eq!(state(&world), BreakerState::Closed, "{error:?}");
        world.ask(once());
        world.fail_all(&error);
        assert!(
            matches!(state(&world), BreakerState::Open { .. }),
            "{error:?}"
        );
        world.pass(15_000);
        world.ask_many(&once(), 20);
        assert_eq!(world.open.len(), 1);
        world.answer_all();
        assert_eq!(state(&world), BreakerState::Closed, "{error:?}");
    }
}

#[test]
fn what_says_nothing_about_the_provider_leaves_the_breakers_alone() {
    let mut world = failed(100, &limited_for(None));
    assert_eq!(state(&world), BreakerState::Closed);
    for error in [internal(), bad_request()] {
        for _ in 0..20 {
            world.ask(once());
            world.fail_all(&error);
        }
        assert_eq!(state(&world), BreakerState::Closed);
    }
    let mut world = failed(5, &broken());
    world.pass(15_000);
    let unreadable = InferenceError::KeyUnavailable {
        origin: origin(),
        message: String::new(),
    };
    world.ask(once());
    world.fail_all(&unreadable);
    assert_eq!(state(&world), BreakerState::HalfOpen);
    world.ask(once());
    world.fail_all(&bad_request());
    assert_eq!(state(&world), BreakerState::Closed);
}

#[test]
fn deployments_of_one_endpoint_share_it() {
    let mut config = chain(&[("a", at("1")), ("b", at("1")), ("c", at("2"))]);
    config.models.get_mut("m").unwrap().fallback.truncate(2);
    let mut world = World::new(config);
    for _ in 0..5 {
        world.ask(once());
        let attempt = world.open[0];
        world.fail(attempt, broken());
        world.answer_all();
    }
    // The answers of `b` do not undo the failures of `a`: they are one endpoint.
    let before = world.calls.len();
    world.ask(ask());
    assert_eq!(world.called()[before..], ["c"]);
}

#[test]
fn a_configuration_with_another_breaker_keeps_it_open() {
    let mut world = failed(5, &broken());
    let mut other = plain();
    other.breaker.open_for = secs(20);
    world.configure(one(other));
    world.pass(15_000);
    assert_eq!(state(&world), BreakerState::Open { remaining: secs(5) });
}

#[test]
fn failures_among_many_successes_are_repeated_and_no_more() {
    let mut world = World::new(one(plain()));
    for _ in 0..50 {
        world.ask_many(&once(), 10);
        let first = world.open[0];
        world.fail(first, broken());
        world.answer_all();
        assert_eq!(state(&world), BreakerState::Closed);
        world.pass(10);
    }
    // Down for good: what came before is no excuse for longer than a second.
    let before = world.calls.len();
    while state(&world) == BreakerState::Closed {
        world.ask(once());
        world.fail_all(&broken());
        world.pass(10);
    }
    assert!(world.calls.len() - before <= 101);
}
