//! Another configuration, with requests under way.

use super::given::*;
use super::world::*;
use mainstay_inference::{Ask, BudgetAction, BudgetKey, GateConfig, InferenceError, Limits};

fn narrow(concurrency: usize) -> GateConfig {
    one(limited(Limits {
        concurrency: Some(concurrency),
        queue: 10,
        queue_timeout: secs(60),
        ..Limits::default()
    }))
}

#[test]
fn more_places_let_those_who_wait_in_and_fewer_take_none_away() {
    let mut world = World::new(narrow(1));
    world.ask_many(&ask(), 5);
    world.configure(narrow(3));
    assert_eq!(world.open.len(), 3);
    world.configure(narrow(1));
    world.answer(world.open[0], tokens(1, 1));
    world.answer(world.open[0], tokens(1, 1));
    assert_eq!(world.open.len(), 1);
    world.answer(world.open[0], tokens(1, 1));
    assert_eq!(world.open.len(), 1);
    world.answer_all();
    world.answer_all();
    assert_eq!(world.endings.len(), 5);
    world.assert_idle();
}

#[test]
fn a_faster_rate_lets_in_at_once() {
    let paced = |per_minute, burst| {
        one(limited(Limits {
            requests: rate(per_minute, burst),
            queue: 10,
            queue_timeout: secs(600),
            ..Limits::default()
        }))
    };
    let mut world = World::new(paced(1, 1));
    world.ask_many(&ask(), 4);
    world.pass(1_000);
    world.configure(paced(60, 3));
    assert_eq!(world.calls.len(), 3);
    world.configure(one(plain()));
    assert_eq!(world.calls.len(), 4);
    world.answer_all();
    world.assert_idle();
}

#[test]
fn flights_at_a_deployment_that_is_gone() {
    let limits = Limits {
        concurrency: Some(1),
        queue: 10,
        queue_timeout: secs(60),
        ..Limits::default()
    };
    let a = mainstay_inference::DeploymentConfig { limits, ..at("1") };
    let both = chain(&[("a", a.clone()), ("b", at("2"))]);
    let mut world = World::new(both.clone());
    let calling = world.ask(ask());
    let queued = world.ask(ask());
    world.configure(chain(&[("b", at("2"))]));
    // Who waits goes on to the next of its chain; who calls may end.
    assert_eq!(world.called(), ["a", "b"]);
    world.answer(world.of(calling)[0], tokens(1, 1));
    assert_eq!(&*world.success(calling).deployment, "a");
    world.answer_all();
    assert_eq!(&*world.success(queued).deployment, "b");
    assert_eq!(world.gate.deployments(world.now).len(), 1);
    world.ask(ask());
    world.answer_all();
    assert_eq!(world.called()[2..], ["b"]);
    world.configure(both);
    world.ask(ask());
    assert_eq!(world.called()[3..], ["a"]);
    world.answer_all();
    // Without another there is only an end.
    let resting = world.ask(ask());
    world.fail(world.only(), broken());
    world.configure(GateConfig::default());
    world.pass(1_000);
    let error = &world.error(resting).error;
    assert!(matches!(error, InferenceError::NotReady { .. }));
    world.assert_idle();
}

#[test]
fn a_deployment_that_comes_back_remembers_what_is_in_use() {
    let mut world = World::new(narrow(1));
    let first = world.ask(ask());
    world.configure(GateConfig::default());
    world.configure(narrow(1));
    let second = world.ask(ask());
    assert!(world.of(second).is_empty());
    world.answer(world.of(first)[0], tokens(1, 1));
    assert_eq!(world.of(second).len(), 1);
}

#[test]
fn what_was_spent_stays_and_other_limits_let_in() {
    let key = BudgetKey::Deployment("a".into());
    let with = |calls, action| {
        let mut config = one(priced(plain()));
        budget(&mut config, key.clone(), calls * CALL, action);
        config
    };
    let mut world = World::new(with(2, BudgetAction::Throttle));
    world.ask_many(&ask(), 2);
    world.answer_all();
    let throttled = world.ask_many(&ask(), 3);
    assert_eq!(world.open.len(), 0);
    world.configure(with(3, BudgetAction::Throttle));
    assert_eq!(world.gate.budgets(world.now)[0].spent, usd(2 * CALL));
    assert_eq!(world.only().flight, throttled[0]);
    // Now they wait for what the third may give back.
    world.configure(with(3, BudgetAction::Reject));
    assert_eq!(world.endings.len(), 2);
    world.answer_all();
    for flight in &throttled[1..] {
        let error = &world.error(*flight).error;
        assert!(matches!(error, InferenceError::BudgetExceeded { .. }));
    }
    world.configure(one(priced(plain())));
    assert!(world.gate.budgets(world.now).is_empty());
    world.ask(ask());
    world.answer_all();
    world.assert_idle();
}

#[test]
fn a_budget_that_is_removed_lets_in_whoever_waits_for_it() {
    let mut config = one(priced(plain()));
    let key = BudgetKey::Deployment("a".into());
    budget(&mut config, key, CALL, BudgetAction::Reject);
    let mut world = World::new(config);
    world.ask_many(&ask(), 5);
    assert_eq!(world.open.len(), 1);
    world.configure(one(priced(plain())));
    assert_eq!(world.open.len(), 5);
    world.answer_all();
    world.assert_idle();
}

#[test]
fn another_endpoint_learns_nothing_of_calls_to_the_old() {
    let mut world = World::new(one(at("1")));
    let own = Ask {
        is_retried: false,
        ..ask()
    };
    world.ask_many(&own, 5);
    world.configure(one(at("2")));
    world.fail_all(&broken());
    world.ask(own);
    assert_eq!(world.open.len(), 1);
}
