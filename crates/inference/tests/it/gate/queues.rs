//! Places and those who wait for them.

use super::given::*;
use super::world::*;
use mainstay_contract::{Code, Coded, EffectState, Responsible};
use mainstay_inference::{Ask, FlightId, InferenceError, Input, Limits, TimeoutPhase};
use mainstay_resilience::Priority;

fn narrow() -> World {
    World::new(one(limited(Limits {
        concurrency: Some(1),
        queue: 4,
        queue_timeout: secs(30),
        ..Limits::default()
    })))
}

fn is_pressed(world: &World, flight: FlightId) -> bool {
    let error = &world.error(flight).error;
    error.code() == Code::Backpressure && error.retry_after().is_some()
}

#[test]
fn one_calls_four_wait_and_the_others_are_told_at_once() {
    let mut world = narrow();
    let asked = world.ask_many(&ask(), 20);
    assert_eq!(world.open.len(), 1);
    assert!(asked[5..].iter().all(|flight| is_pressed(&world, *flight)));
    let view = &world.gate.deployments(world.now)[0];
    assert_eq!((view.active, view.queued), (1, 4));
    for flight in &asked[..5] {
        assert_eq!(world.only().flight, *flight, "first come, first served");
        world.pass(1_000);
        world.answer(world.only(), tokens(10, 5));
    }
    assert_eq!(world.calls.len(), 5);
    assert!(
        asked[..5]
            .iter()
            .all(|flight| world.success(*flight).attempts == 1)
    );
    world.assert_idle();
}

#[test]
fn the_urgent_go_first() {
    let mut world = narrow();
    world.ask(ask());
    let mut with = |priority| world.ask(Ask { priority, ..ask() });
    let low = with(Priority::Low);
    let normal = with(Priority::Normal);
    let high = with(Priority::High);
    let later = with(Priority::Normal);
    for flight in [high, normal, later, low] {
        world.answer(world.only(), tokens(1, 1));
        assert_eq!(world.only().flight, flight);
    }
}

#[test]
fn who_leaves_a_queue_calls_nobody() {
    let mut world = narrow();
    let asked = world.ask_many(&ask(), 3);
    world.leave(asked[1]);
    world.answer(world.only(), tokens(1, 1));
    assert_eq!(world.only().flight, asked[2]);
    world.leave(asked[2]);
    assert_eq!(world.calls.len(), 2);
    assert_eq!(world.endings.len(), 1);
    world.assert_idle();
}

#[test]
fn waiting_ends_by_patience_or_by_the_deadline() {
    let mut world = narrow();
    let first = world.ask(ask());
    let patient = world.ask(ask());
    let hasty = world.ask(until(10_000));
    world.pass_to(10_000);
    assert_eq!(
        world.error(hasty).error,
        InferenceError::Timeout {
            origin: origin(),
            phase: TimeoutPhase::Total,
            after: secs(10),
            elapsed: secs(10),
        }
    );
    assert_eq!(world.error(hasty).effect(), EffectState::None);
    world.pass_to(29_999);
    assert!(!world.ended(patient));
    world.pass_to(30_000);
    assert!(is_pressed(&world, patient));
    world.answer(world.only(), tokens(1, 1));
    assert!(world.ended(first));
    world.assert_idle();
}

#[test]
fn who_rests_holds_no_place() {
    let mut world = narrow();
    let first = world.ask(ask());
    let second = world.ask(ask());
    world.fail(world.only(), limited_for(None));
    assert_eq!(world.only().flight, second);
    world.pass(1_000);
    world.answer(world.only(), tokens(1, 1));
    assert_eq!(world.only().flight, first);
    world.answer(world.only(), tokens(1, 1));
    world.assert_idle();
}

#[test]
fn a_deployment_that_is_not_ready_is_not_called() {
    let mut world = narrow();
    let under_way = world.ask(ask());
    let waiting = world.ask(ask());
    let ready = |is_ready| Input::Ready {
        deployment: "a".into(),
        is_ready,
        retry_after: Some(secs(5)),
        reason: "503 Service Unavailable".to_owned(),
    };
    world.tell(ready(false));
    assert!(is_pressed(&world, waiting), "nobody waits for it");
    world.pass(2_000);
    let refused = world.ask(ask());
    assert!(is_pressed(&world, refused));
    let report = world.error(refused).error.report();
    assert_eq!(
        report.message,
        "a (for m) is not ready: 503 Service Unavailable"
    );
    assert_eq!(report.responsible, Responsible::Operator);
    assert!(report.hints[0].contains("mainstay model ls"), "{report:?}");
    let wait = world.error(refused).error.retry_after();
    assert_eq!(wait, Some(secs(3)));
    world.pass(10_000);
    let later = world.ask(ask());
    let wait = world.error(later).error.retry_after();
    assert_eq!(wait, Some(secs(1)), "nobody knows");
    world.answer(world.only(), tokens(1, 1));
    assert!(world.ended(under_way));
    assert!(world.open.is_empty());
    world.tell(ready(true));
    world.ask(ask());
    assert_eq!(world.open.len(), 1);
}

#[test]
fn who_waits_for_a_deployment_goes_on_when_it_ceases_to_be_ready() {
    let limits = Limits {
        concurrency: Some(1),
        queue: 4,
        queue_timeout: secs(30),
        ..Limits::default()
    };
    let mut world = World::new(chain(&[("a", limited(limits)), ("b", at("2"))]));
    world.ask(ask());
    let under_way = world.only();
    let queued = world.ask(ask());
    assert_eq!(world.only(), under_way, "b stands in only for failures");
    let unready = Input::Ready {
        deployment: "a".into(),
        is_ready: false,
        retry_after: None,
        reason: String::new(),
    };
    world.tell(unready);
    assert_eq!(world.called(), ["a", "b"]);
    let moved = world.of(queued)[0];
    world.answer(moved, tokens(1, 1));
    assert_eq!(&*world.success(queued).deployment, "b");
    // What fails there is not repeated there.
    world.fail(under_way, broken());
    assert_eq!(world.called(), ["a", "b", "b"]);
    world.answer(world.only(), tokens(1, 1));
    world.assert_idle();
}

#[test]
fn who_stands_in_for_failures_stands_in_for_what_is_not_ready() {
    use mainstay_inference::FailureClass::{Access, ContextLength, Failed, Limited};
    for (on, expected) in [
        (Failed, &["b"][..]),
        (Limited, &["b"]),
        (Access, &[]),
        (ContextLength, &[]),
    ] {
        let shut = mainstay_inference::DeploymentConfig {
            is_ready: Some(false),
            ..plain()
        };
        let mut config = chain(&[("a", shut), ("b", at("2"))]);
        let model = config.models.values_mut();
        model.for_each(|model| model.fallback[0].on = vec![on]);
        let mut world = World::new(config);
        world.ask(ask());
        assert_eq!(world.called(), expected, "{on:?}");
    }
}

#[test]
fn who_rests_is_told_what_it_saw() {
    let mut world = narrow();
    let resting = world.ask(ask());
    world.fail(world.only(), broken());
    assert!(!world.ended(resting));
    world.tell(Input::Ready {
        deployment: "a".into(),
        is_ready: false,
        retry_after: None,
        reason: String::new(),
    });
    assert_eq!(world.error(resting).error, broken());
    world.assert_idle();
}

#[test]
fn a_deployment_begins_as_its_configuration_says() {
    let with = |is_ready| {
        one(mainstay_inference::DeploymentConfig {
            is_ready,
            ..plain()
        })
    };
    let mut world = World::new(with(Some(false)));
    let refused = world.ask(ask());
    assert!(is_pressed(&world, refused));
    let is_ready = |world: &World| world.gate.deployments(world.now)[0].is_ready;
    for (told, expected) in [
        (None, false),
        (Some(true), true),
        (None, true),
        (Some(false), false),
    ] {
        world.configure(with(told));
        assert_eq!(is_ready(&world), expected, "{told:?}");
    }
    // One that comes back is another.
    world.configure(mainstay_inference::GateConfig::default());
    world.configure(with(None));
    assert!(is_ready(&world));
}

#[test]
fn the_caller_may_leave_at_any_time() {
    let mut config = one(priced(limited(Limits {
        concurrency: Some(1),
        queue: 10,
        queue_timeout: secs(30),
        requests: rate(60, 1),
        ..Limits::default()
    })));
    budget(
        &mut config,
        mainstay_inference::BudgetKey::Agent("x".into()),
        CALL,
        mainstay_inference::BudgetAction::Reject,
    );
    let mut world = World::new(config);
    let spender = mainstay_inference::Spender {
        agent: Some("x".into()),
        ..Default::default()
    };
    let saving = Ask { spender, ..ask() };
    let calling = world.ask(saving.clone());
    let without_money = world.ask(saving);
    let queued = world.ask(ask());
    world.leave(without_money);
    world.leave(calling);
    // It has the place and waits for the next second.
    assert!(world.open.is_empty());
    world.leave(queued);
    world.assert_idle();
    world.pass(1_000);
    let resting = world.ask(ask());
    world.fail(world.only(), broken());
    world.leave(resting);
    world.assert_idle();
    let answered = world.ask(ask());
    world.pass(1_000);
    let attempt = world.only();
    world.content(attempt);
    world.open.clear();
    world.tell(Input::Left {
        flight: answered,
        came: tokens(10, 3),
    });
    assert!(world.endings.is_empty());
    world.assert_idle();
}
