//! Whoever stands in.

use super::given::*;
use super::world::*;
use mainstay_inference::{
    Ask, DeploymentConfig, FailureClass, GateConfig, InferenceError, Limits, Member,
};
use std::collections::HashMap;

fn once() -> Ask {
    Ask {
        is_retried: false,
        ..ask()
    }
}

fn three(on: [FailureClass; 2]) -> GateConfig {
    let mut config = chain(&[("a", at("1")), ("b", at("2")), ("c", at("3"))]);
    let model = config.models.get_mut("m").unwrap();
    for (fallback, class) in model.fallback.iter_mut().zip(on) {
        fallback.on = vec![class];
    }
    config
}

#[test]
fn each_class_of_failures_has_its_own() {
    use FailureClass::{ContentFiltered, Failed};
    let filtered = InferenceError::ContentFiltered {
        origin: origin(),
        reason: String::new(),
        message: String::new(),
    };
    for (error, called) in [
        (broken(), vec!["a", "b"]),
        (filtered, vec!["a", "c"]),
        (limited_for(None), vec!["a"]),
    ] {
        let mut world = World::new(three([Failed, ContentFiltered]));
        let flight = world.ask(once());
        world.fail_all(&error);
        assert_eq!(world.called(), called, "{error:?}");
        assert!(world.ended(flight));
        world.assert_idle();
    }
}

#[test]
fn the_failures_of_the_whole_chain_are_told() {
    let mut world = World::new(three([FailureClass::Failed, FailureClass::Limited]));
    let flight = world.ask(once());
    world.fail(world.only(), broken());
    world.fail(world.only(), limited_for(Some(3)));
    world.fail_after(world.only(), unreachable(), tokens(7, 0));
    let error = world.error(flight);
    assert_eq!(world.called(), ["a", "b", "c"]);
    let earlier: Vec<_> = error.earlier.iter().map(|(name, _)| &**name).collect();
    assert_eq!(earlier, ["a", "b"]);
    assert_eq!(error.earlier[1].1, limited_for(Some(3)));
    assert_eq!(
        (&error.error, error.deployment.as_deref()),
        (&unreachable(), Some("c"))
    );
    assert_eq!((error.attempts, error.tokens), (3, tokens(7, 0)));
    let failures: Vec<_> = world.calls.iter().map(|call| call.failures).collect();
    assert_eq!(failures, [0, 1, 2]);
}

#[test]
fn nobody_stands_in_once_content_came() {
    let mut world = World::new(chain(&[("a", at("1")), ("b", at("2"))]));
    let flight = world.ask(ask());
    let attempt = world.only();
    world.content(attempt);
    world.fail_after(attempt, broken(), tokens(10, 5));
    assert_eq!(world.called(), ["a"]);
    assert_eq!(world.error(flight).error, broken());
    world.pass(60_000);
    assert_eq!(world.calls.len(), 1);
    world.assert_idle();
}

#[test]
fn full_queues_limits_and_open_breakers_are_passed_by() {
    let full = Limits {
        concurrency: Some(1),
        ..Limits::default()
    };
    let paced = Limits {
        requests: rate(1, 1),
        ..Limits::default()
    };
    for limits in [full, paced] {
        let a = DeploymentConfig { limits, ..at("1") };
        let mut world = World::new(chain(&[("a", a), ("b", at("2"))]));
        world.ask(ask());
        world.ask(ask());
        assert_eq!(world.called(), ["a", "b"]);
    }
    let mut world = World::new(chain(&[("a", at("1")), ("b", at("2"))]));
    for _ in 0..5 {
        world.ask(once());
        let attempt = world.open[0];
        world.fail(attempt, broken());
        world.answer_all();
    }
    let before = world.calls.len();
    world.ask(ask());
    assert_eq!(world.called()[before..], ["b"]);
}

#[test]
fn members_share_by_their_weights() {
    let names = ["a", "b", "c", "d"];
    let deployments = names.map(|name| (name, at(name)));
    let mut config = chain(&deployments);
    let model = config.models.get_mut("m").unwrap();
    model.fallback.clear();
    model.members = [("a", 70), ("b", 0), ("c", 20), ("d", 10)]
        .map(|(name, weight)| Member {
            deployment: name.into(),
            weight,
        })
        .to_vec();
    let mut world = World::new(config);
    for _ in 0..10_000 {
        world.ask(once());
        world.answer_all();
    }
    let mut shares = HashMap::new();
    for name in world.called() {
        *shares.entry(name).or_insert(0_u32) += 1;
    }
    assert_eq!(shares.get("b"), None);
    for (name, share) in [("a", 7_000), ("c", 2_000), ("d", 1_000)] {
        assert!(shares[name].abs_diff(share) < 200, "{shares:?}");
    }
    world.calls.clear();
    world.ask(once());
    world.fail_all(&broken());
    let mut called = world.called();
    assert_eq!(called.pop(), Some("b"), "only when no other can");
    called.sort_unstable();
    assert_eq!(called, ["a", "c", "d"]);
}

#[test]
fn a_stand_in_that_cannot_be_asked_does_not_hide_the_failure() {
    for error in [broken(), limited_for(Some(7)), refused()] {
        let mut world = World::new(chain(&[("a", at("1")), ("b", at("2"))]));
        let flight = world.ask(once());
        world.fail(world.only(), error.clone());
        world.fail(world.only(), unsayable());
        let told = world.error(flight);
        assert_eq!(
            (&told.error, told.deployment.as_deref()),
            (&error, Some("a"))
        );
        assert_eq!(told.earlier, [("b".into(), unsayable())]);
        world.assert_idle();
    }
    let mut world = World::new(chain(&[("a", at("1")), ("b", at("2"))]));
    for _ in 0..5 {
        world.ask(once());
        world.fail(world.only(), broken());
        world.fail(world.only(), unsayable());
    }
    let flight = world.ask(ask());
    world.fail(world.only(), unsayable());
    let told = &world.error(flight).error;
    assert!(
        matches!(told, InferenceError::CircuitOpen { .. }),
        "{told:?}"
    );
}

#[test]
fn who_cannot_be_asked_is_passed_over() {
    use FailureClass::{Failed, Limited};
    let mut world = World::new(chain(&[("a", at("1")), ("b", at("2")), ("c", at("3"))]));
    let flight = world.ask(ask());
    world.fail(world.only(), unsayable());
    world.fail(world.only(), unsayable());
    world.answer(world.only(), tokens(1, 1));
    assert_eq!(world.called(), ["a", "b", "c"]);
    assert_eq!(&*world.success(flight).deployment, "c");
    // Where nobody can, it is the caller's.
    let flight = world.ask(ask());
    world.fail_all(&unsayable());
    assert_eq!(world.error(flight).error, unsayable());
    assert_eq!(world.error(flight).earlier.len(), 2);
    // The next stands in for what failed, not for its stand-in; and what it saw is told.
    for (on, called, told) in [
        ([Limited, Failed], vec!["a", "b"], limited_for(None)),
        ([Limited, Limited], vec!["a", "b", "c"], broken()),
    ] {
        let mut world = World::new(three(on));
        let flight = world.ask(once());
        world.fail(world.only(), limited_for(None));
        world.fail(world.only(), unsayable());
        world.fail_all(&broken());
        assert_eq!(world.called(), called);
        assert_eq!(world.error(flight).error, told);
        world.assert_idle();
    }
}

#[test]
fn an_answer_that_cannot_be_told_is_not_asked_for_again() {
    let mut error = unsayable();
    if let InferenceError::Unsupported { origin, .. } = &mut error {
        origin.answering = true;
    }
    let mut world = World::new(chain(&[("a", at("1")), ("b", at("2"))]));
    let flight = world.ask(ask());
    world.fail(world.only(), error.clone());
    assert_eq!(world.error(flight).error, error);
    world.assert_idle();
}
