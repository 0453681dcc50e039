//! Callers' keys.

use super::given::*;
use super::world::*;
use mainstay_inference::{Ask, FlightId, GateConfig, InferenceError, KeyConfig, Limits};

fn keyed(limits: Limits) -> GateConfig {
    let mut config = one(plain());
    let models = None;
    config.keys.insert(
        "k".into(),
        KeyConfig {
            models,
            limits,
            ..KeyConfig::default()
        },
    );
    config
}

fn wait(world: &World, flight: FlightId) -> u64 {
    let error = &world.error(flight).error;
    assert!(
        matches!(error, InferenceError::RateLimited { .. }),
        "{error:?}"
    );
    let ms = error.retry_after().unwrap().as_millis();
    u64::try_from(ms).unwrap()
}

#[test]
fn nobody_waits_for_the_limits_of_a_key() {
    let mut world = World::new(keyed(Limits {
        requests: rate(60, 2),
        ..Limits::default()
    }));
    let asked = world.ask_many(&by_key("k"), 3);
    assert_eq!(wait(&world, asked[2]), 1_000);
    assert_eq!(world.error(asked[2]).attempts, 0);
    world.pass(1_000);
    world.ask(by_key("k"));
    world.ask_many(&ask(), 10);
    assert_eq!(world.calls.len(), 13);
    world.answer_all();
    world.assert_idle();
}

#[test]
fn tokens_of_a_key_are_settled_and_not_taken_by_refused_requests() {
    let mut world = World::new(keyed(Limits {
        requests: rate(60, 3),
        tokens: rate(600, 200),
        ..Limits::default()
    }));
    let asked = world.ask_many(&by_key("k"), 3);
    assert_eq!(wait(&world, asked[2]), 10_000);
    world.answer(world.open[0], tokens(5, 5));
    // Of the first only ten tokens count: ninety are free.
    let small = Ask {
        output_tokens_max: Some(80),
        ..by_key("k")
    };
    world.ask(small.clone());
    assert_eq!(world.calls.len(), 3);
    let refused = world.ask(small);
    wait(&world, refused);
    let used = world.ask(Ask {
        input_tokens: 0,
        output_tokens_max: Some(0),
        ..by_key("k")
    });
    // The requests a minute are used as well; a refusal by these takes no tokens.
    assert_eq!(wait(&world, used), 1_000);
}

#[test]
fn a_key_may_use_its_models_only() {
    let mut config = keyed(Limits::default());
    config.keys.get_mut("k").unwrap().models = Some(vec!["other".into()]);
    let mut world = World::new(config);
    let flight = world.ask(by_key("k"));
    let error = &world.error(flight).error;
    assert!(matches!(error, InferenceError::Forbidden { .. }));
    let unknown = world.ask(Ask {
        model: "other".into(),
        ..by_key("k")
    });
    let error = &world.error(unknown).error;
    assert!(matches!(error, InferenceError::ModelNotFound { .. }));
    assert_eq!(world.error(unknown).deployment, None);
    world.assert_idle();
}

#[test]
fn the_concurrency_of_a_key_is_given_back_however_a_flight_ends() {
    let mut config = keyed(Limits {
        concurrency: Some(1),
        ..Limits::default()
    });
    config.deployments.get_mut("a").unwrap().limits.requests = rate(60, 4);
    let mut world = World::new(config);
    let own = Ask {
        is_retried: false,
        ..by_key("k")
    };
    world.ask(own.clone());
    let refused = world.ask(own.clone());
    let error = &world.error(refused).error;
    assert!(matches!(error, InferenceError::RateLimited { .. }));
    world.answer_all();
    world.ask(own.clone());
    world.fail_all(&broken());
    let left = world.ask(own.clone());
    world.leave(left);
    world.ask(Ask {
        model: "unknown".into(),
        ..own.clone()
    });
    world.ask(own.clone());
    world.answer_all();
    // Refused by the deployment's limit, after the key let it pass.
    let limited = world.ask(own.clone());
    assert_eq!(wait(&world, limited), 1_000);
    world.assert_idle();
    world.pass(1_000);
    world.ask(own);
    assert_eq!(world.open.len(), 1);
}

#[test]
fn a_key_that_came_back_has_nothing_to_do_with_the_flights_of_the_old() {
    let limits = Limits {
        concurrency: Some(1),
        tokens: rate(60, 100),
        ..Limits::default()
    };
    let mut world = World::new(keyed(limits));
    let old = world.ask(by_key("k"));
    world.configure(one(plain()));
    let without = world.ask(by_key("k"));
    world.configure(keyed(limits));
    let new = world.ask(by_key("k"));
    assert_eq!(world.open.len(), 3);
    for flight in [old, without] {
        world.answer(world.of(flight)[0], tokens(0, 0));
    }
    let refused = world.ask(by_key("k"));
    assert!(world.ended(refused));
    world.answer(world.of(new)[0], tokens(10, 90));
    let refused = world.ask(by_key("k"));
    assert_eq!(wait(&world, refused), 100_000);
    world.assert_idle();
}
