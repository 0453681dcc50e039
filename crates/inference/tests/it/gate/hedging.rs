//! Second attempts beside slow ones.

use super::given::*;
use super::world::*;
use mainstay_inference::{
    Ask, BudgetAction, BudgetKey, DeploymentConfig, GateConfig, Hedge, LedgerEntry, Limits, Spender,
};

fn hedged(deployment: DeploymentConfig) -> DeploymentConfig {
    let hedge = Some(Hedge { after: secs(1) });
    DeploymentConfig {
        hedge,
        ..deployment
    }
}

fn two() -> GateConfig {
    chain(&[("a", hedged(at("1"))), ("b", at("2"))])
}

/// A world in which a flight has two attempts under way.
fn begun() -> (World, mainstay_inference::FlightId) {
    let mut world = World::new(two());
    let flight = world.ask(ask());
    world.pass(999);
    assert_eq!(world.calls.len(), 1);
    world.pass(1);
    assert_eq!(world.called(), ["a", "b"]);
    (world, flight)
}

#[test]
fn the_first_content_wins_and_the_other_is_dropped() {
    for winner in [0, 1] {
        let (mut world, flight) = begun();
        let (first, second) = (world.open[winner], world.open[1 - winner]);
        world.content(first);
        assert_eq!(world.cancelled, [second]);
        // News of the one that was dropped come too late.
        world.content(second);
        world.fail(second, broken());
        world.answer(first, tokens(10, 20));
        let success = world.success(flight);
        let LedgerEntry::Settled { tokens: sent, .. } = &world.ledger[0] else {
            panic!("{:?}", world.ledger);
        };
        assert_eq!(*sent, tokens(10, 0), "what was sent to the loser");
        assert_eq!(&*success.deployment, ["a", "b"][winner]);
        assert_eq!((success.attempts, success.tokens), (2, tokens(10, 20)));
        world.assert_idle();
    }
}

#[test]
fn content_in_time_needs_no_second() {
    let mut world = World::new(two());
    world.ask(ask());
    world.content(world.only());
    world.pass(10_000);
    assert_eq!(world.calls.len(), 1);
    world.answer_all();
    world.assert_idle();
}

#[test]
fn the_flight_goes_on_with_whichever_is_left() {
    for failing in [0, 1] {
        let (mut world, flight) = begun();
        world.fail(world.open[failing], broken());
        assert_eq!(world.calls.len(), 2);
        world.answer(world.only(), tokens(1, 1));
        assert_eq!(&*world.success(flight).deployment, ["b", "a"][failing]);
        world.assert_idle();
    }
}

#[test]
fn after_both_have_failed_it_goes_on() {
    let config = || chain(&[("a", hedged(at("1"))), ("b", at("2")), ("c", at("3"))]);
    let own = Ask {
        is_retried: false,
        ..ask()
    };
    for failing in [0, 1] {
        let mut world = World::new(config());
        let flight = world.ask(own.clone());
        world.pass(1_000);
        let (first, second) = (world.open[failing], world.open[1 - failing]);
        world.fail(first, broken());
        world.fail(second, unreachable());
        assert_eq!(world.called(), ["a", "b", "c"]);
        world.fail_all(&broken());
        let error = world.error(flight);
        let earlier: Vec<_> = error.earlier.iter().map(|(name, _)| &**name).collect();
        let expected = [["a", "b"], ["b", "a"]][failing];
        assert_eq!(
            (earlier, error.deployment.as_deref()),
            (expected.to_vec(), Some("c"))
        );
        world.assert_idle();
    }
}

#[test]
fn at_most_one_in_twenty_is_hedged_in_the_long_run() {
    let mut world = World::new(two());
    for _ in 0..1_000 {
        world.ask(ask());
    }
    world.pass(1_000);
    let hedges = world.calls.len() - 1_000;
    assert!((10..=12).contains(&hedges), "{hedges}");
}

#[test]
fn a_hedge_takes_a_place_and_never_more_than_there_are() {
    let limits = Limits {
        concurrency: Some(1),
        queue: 5,
        queue_timeout: secs(60),
        ..Limits::default()
    };
    let mut config = chain(&[
        ("a", hedged(at("1"))),
        ("b", DeploymentConfig { limits, ..at("2") }),
    ]);
    let only = mainstay_inference::ModelConfig {
        members: vec![mainstay_inference::Member {
            deployment: "b".into(),
            weight: 1,
        }],
        fallback: Vec::new(),
    };
    config.models.insert("b".into(), only);
    let to_b = Ask {
        model: "b".into(),
        ..ask()
    };
    let mut world = World::new(config.clone());
    let flight = world.ask(ask());
    world.pass(1_000);
    let waiting = world.ask(to_b.clone());
    assert!(world.of(waiting).is_empty());
    world.content(world.of(flight)[0]);
    assert_eq!(world.of(waiting).len(), 1);
    world.answer_all();
    world.assert_idle();
    // Where there is no place, there is no hedge.
    let mut world = World::new(config);
    world.ask(to_b);
    world.ask(ask());
    world.pass(1_000);
    assert_eq!(world.called(), ["b", "a"]);
}

#[test]
fn a_hedge_keeps_to_limits_and_budgets() {
    let paced = Limits {
        requests: rate(60, 1),
        ..Limits::default()
    };
    let mut world = World::new(one(hedged(limited(paced))));
    world.ask(ask());
    world.ask(until(500));
    world.pass(999);
    assert_eq!(world.calls.len(), 1);
    let mut config = chain(&[("a", hedged(priced(at("1")))), ("b", priced(at("2")))]);
    let key = BudgetKey::Agent("x".into());
    budget(&mut config, key, CALL, BudgetAction::Reject);
    let mut world = World::new(config);
    let spender = Spender {
        agent: Some("x".into()),
        ..Spender::default()
    };
    world.ask(Ask { spender, ..ask() });
    world.pass(10_000);
    assert_eq!(world.calls.len(), 1);
    world.ask(ask());
    world.pass(1_000);
    assert_eq!(world.calls.len(), 3);
}

#[test]
fn what_must_not_happen_twice_is_not_hedged() {
    for which in ["a", "b"] {
        let mut config = two();
        config.deployments.get_mut(which).unwrap().is_idempotent = false;
        let mut world = World::new(config);
        world.ask(ask());
        world.pass(10_000);
        assert_eq!(world.calls.len(), 1);
    }
    // Alone, a deployment is asked twice, unless the caller repeats by itself.
    for (is_retried, calls) in [(true, 2), (false, 1)] {
        let mut world = World::new(one(hedged(plain())));
        world.ask(Ask {
            is_retried,
            ..ask()
        });
        world.pass(10_000);
        assert_eq!(world.calls.len(), calls);
        world.answer_all();
        world.assert_idle();
    }
}

#[test]
fn callers_leave_hedged_flights() {
    let (mut world, flight) = begun();
    world.leave(flight);
    world.assert_idle();
}

#[test]
fn without_leave_to_hedge_no_probe_is_taken() {
    let mut config = two();
    let only = mainstay_inference::ModelConfig {
        members: vec![mainstay_inference::Member {
            deployment: "b".into(),
            weight: 1,
        }],
        fallback: Vec::new(),
    };
    config.models.insert("b".into(), only);
    let to_b = Ask {
        model: "b".into(),
        is_retried: false,
        ..ask()
    };
    let mut world = World::new(config);
    for _ in 0..5 {
        let flight = world.ask(to_b.clone());
        world.fail(world.of(flight)[0], broken());
    }
    // The breaker of `b` is open when the hedges are due, and half-open when the last is.
    for _ in 0..300 {
        world.ask(ask());
    }
    world.answer_all();
    world.pass(14_500);
    let slow = world.ask_many(&ask(), 40);
    world.pass(1_000);
    assert_eq!(world.open.len(), slow.len() + 1, "one probe");
    let probe = world.open[slow.len()];
    world.answer(probe, tokens(1, 1));
    world.pass(1);
    let asked = world.ask(to_b);
    assert_eq!(world.of(asked).len(), 1);
}
