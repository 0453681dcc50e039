//! Money.

use super::given::*;
use super::world::*;
use mainstay_inference::{
    Ask, BudgetAction, BudgetKey, DeploymentConfig, GateConfig, InferenceError, Input, LedgerEntry,
    Limits, Outcome, Pricing, Spender, Tokens,
};
use std::sync::Arc;

const HOUR: u64 = 3_600_000;

fn agent() -> BudgetKey {
    BudgetKey::Agent("x".into())
}

fn by_agent(ask: Ask) -> Ask {
    let spender = Spender {
        agent: Some("x".into()),
        ..Spender::default()
    };
    Ask { spender, ..ask }
}

fn with_budget(calls: u64, action: BudgetAction) -> GateConfig {
    let mut config = one(priced(plain()));
    budget(&mut config, agent(), calls * CALL, action);
    config
}

fn spent(world: &World, key: &BudgetKey) -> u64 {
    let budgets = world.gate.budgets(world.now);
    let budget = budgets.iter().find(|budget| budget.key == *key).unwrap();
    assert_eq!(budget.reserved, usd(0));
    budget.spent.nanos()
}

fn is_exceeded(error: &InferenceError) -> bool {
    matches!(error, InferenceError::BudgetExceeded { .. })
}

#[test]
fn ten_of_a_hundred_call_and_the_others_wait_for_what_is_given_back() {
    let mut world = World::new(with_budget(10, BudgetAction::Reject));
    let asked = world.ask_many(&by_agent(ask()), 100);
    assert_eq!(world.calls.len(), 10);
    assert!(world.endings.is_empty());
    // Each costs half of what was reserved: two settlements let in one more.
    while let Some(&attempt) = world.open.first() {
        assert!(world.open.len() <= 10);
        world.answer(attempt, tokens(10, 40));
    }
    assert_eq!(world.calls.len(), 19);
    let refused = asked
        .iter()
        .filter(|flight| world.endings[flight].1.is_err());
    assert_eq!(refused.count(), 81);
    assert!(is_exceeded(&world.error(asked[99]).error));
    assert_eq!(spent(&world, &agent()), 19 * CALL / 2);
    world.assert_idle();
}

#[test]
fn what_is_used_up_for_good_is_told_at_once() {
    let mut world = World::new(with_budget(10, BudgetAction::Reject));
    world.ask_many(&by_agent(ask()), 10);
    world.answer_all();
    let flight = world.ask(by_agent(ask()));
    let InferenceError::BudgetExceeded {
        spent,
        reserved,
        limit,
        resets_at_unix_ms,
        ..
    } = world.error(flight).error
    else {
        panic!("{:?}", world.error(flight));
    };
    assert_eq!(
        (spent, reserved, limit),
        (usd(10 * CALL), usd(0), usd(10 * CALL))
    );
    assert_eq!(resets_at_unix_ms, Some(START + HOUR));
    world.pass(HOUR);
    world.ask(by_agent(ask()));
    assert_eq!(world.calls.len(), 11);
}

#[test]
fn waiting_for_settlements_ends_with_patience_or_the_deadline() {
    let mut world = World::new(with_budget(1, BudgetAction::Reject));
    world.ask(by_agent(ask()));
    let patient = world.ask(by_agent(ask()));
    let hasty = world.ask(by_agent(until(5_000)));
    world.pass_to(5_000);
    assert!(matches!(
        world.error(hasty).error,
        InferenceError::Timeout { .. }
    ));
    world.pass_to(29_999);
    assert!(!world.ended(patient));
    world.pass_to(30_000);
    assert!(is_exceeded(&world.error(patient).error));
}

#[test]
fn who_waits_for_money_leaves_its_place_to_others() {
    let mut config = with_budget(1, BudgetAction::Throttle);
    let limits = Limits {
        concurrency: Some(2),
        queue: 10,
        queue_timeout: secs(60),
        ..Limits::default()
    };
    let deployment = config.deployments.get_mut("a").unwrap();
    deployment.limits = limits;
    let mut world = World::new(config);
    let first = world.ask(by_agent(ask()));
    let saving = world.ask_many(&by_agent(ask()), 5);
    let rich = world.ask(ask());
    assert_eq!(world.open.len(), 2);
    assert_eq!(world.of(rich).len(), 1);
    let queued = world.ask(ask());
    world.answer(world.of(first)[0], tokens(10, 90));
    assert_eq!(world.of(queued).len(), 1);
    world.answer_all();
    world.pass_to(HOUR);
    // One at a time: the window pays for one.
    assert_eq!(world.only().flight, saving[0]);
    world.answer(world.only(), tokens(0, 0));
    assert_eq!(world.only().flight, saving[1]);
}

#[test]
fn warnings_pass() {
    let mut world = World::new(with_budget(1, BudgetAction::Warn));
    let asked = world.ask_many(&by_agent(ask()), 3);
    world.answer_all();
    assert_eq!(world.success(asked[0]).warnings, [""; 0]);
    for flight in &asked[1..] {
        let warnings = &world.success(*flight).warnings;
        assert_eq!(*warnings, ["the budget of agent x is used up"]);
    }
    assert_eq!(spent(&world, &agent()), 3 * CALL);
}

#[test]
fn throttled_requests_wait_for_the_next_window_in_turn() {
    let mut world = World::new(with_budget(2, BudgetAction::Throttle));
    world.ask_many(&by_agent(ask()), 2);
    world.answer_all();
    let waiting = world.ask_many(&by_agent(ask()), 3);
    let hasty = world.ask(by_agent(until(60_000)));
    assert!(is_exceeded(&world.error(hasty).error));
    let impossible = world.ask(by_agent(Ask {
        output_tokens_max: Some(10_000),
        ..ask()
    }));
    assert!(is_exceeded(&world.error(impossible).error));
    world.pass_to(HOUR - 1);
    assert_eq!(world.calls.len(), 2);
    world.pass_to(HOUR);
    let called: Vec<_> = world.open.iter().map(|open| open.flight).collect();
    assert_eq!(called, waiting[..2]);
    world.answer_all();
    world.pass_to(2 * HOUR);
    assert_eq!(world.only().flight, waiting[2]);
    world.answer_all();
    world.assert_idle();
}

#[test]
fn what_costs_nothing_passes_and_what_nobody_can_price_does_not() {
    let deployment = |pricing| DeploymentConfig { pricing, ..plain() };
    let mut config = one(deployment(Pricing::Free));
    budget(&mut config, agent(), 0, BudgetAction::Reject);
    let mut world = World::new(config);
    let flight = world.ask(by_agent(ask()));
    world.answer_all();
    assert_eq!(world.success(flight).usd, usd(0));
    let mut config = one(deployment(Pricing::Unknown));
    budget(&mut config, agent(), CALL, BudgetAction::Reject);
    let mut world = World::new(config);
    let flight = world.ask(by_agent(ask()));
    let error = &world.error(flight).error;
    assert!(matches!(error, InferenceError::PriceUnknown { .. }));
    world.ask(ask());
    assert_eq!(world.calls.len(), 1, "no budget counts");
}

#[test]
fn all_budgets_are_taken_from_or_none() {
    let mut config = one(priced(plain()));
    config.keys.insert("k".into(), Default::default());
    let keys = [
        BudgetKey::Deployment("a".into()),
        BudgetKey::Key("k".into()),
        agent(),
        BudgetKey::Session("child".into()),
        BudgetKey::Session("parent".into()),
    ];
    for key in &keys {
        budget(&mut config, key.clone(), 10 * CALL, BudgetAction::Reject);
    }
    budget(&mut config, keys[4].clone(), CALL, BudgetAction::Reject);
    let mut world = World::new(config);
    let spender = Spender {
        key: Some("k".into()),
        agent: Some("x".into()),
        sessions: vec!["child".into(), "parent".into()],
    };
    let asking = Ask { spender, ..ask() };
    world.ask(asking.clone());
    let budgets = world.gate.budgets(world.now);
    assert!(budgets.iter().all(|budget| budget.reserved == usd(CALL)));
    world.answer_all();
    let flight = world.ask(asking);
    let InferenceError::BudgetExceeded { budget, .. } = &world.error(flight).error else {
        panic!()
    };
    assert_eq!(budget, "session parent");
    assert!(keys.iter().all(|key| spent(&world, key) == CALL));
    world.assert_idle();
}

#[test]
fn one_full_budget_is_not_hidden_by_another() {
    let mut config = one(priced(plain()));
    let session = BudgetKey::Session("s".into());
    budget(&mut config, agent(), 10 * CALL, BudgetAction::Reject);
    budget(&mut config, session.clone(), CALL / 2, BudgetAction::Reject);
    // The one that resets last has something left, the other has nothing.
    config.budgets.get_mut(&session).unwrap().period = mainstay_resilience::BudgetPeriod::Total;
    let mut world = World::new(config);
    world.ask_many(&by_agent(ask()), 10);
    world.answer_all();
    let spender = Spender {
        agent: Some("x".into()),
        sessions: vec!["s".into()],
        ..Spender::default()
    };
    let flight = world.ask(Ask {
        spender,
        output_tokens_max: None,
        ..ask()
    });
    assert!(is_exceeded(&world.error(flight).error));
}

#[test]
fn more_than_was_reserved_is_recorded_and_met() {
    let mut world = World::new(with_budget(2, BudgetAction::Reject));
    world.ask(by_agent(ask()));
    world.answer(world.only(), tokens(10, 490));
    assert_eq!(spent(&world, &agent()), 5 * CALL);
    let flight = world.ask(by_agent(ask()));
    assert!(is_exceeded(&world.error(flight).error));
    let [
        LedgerEntry::Reserved { call, usd, .. },
        LedgerEntry::Settled {
            call: settled,
            usd: cost,
            is_answered: true,
            ..
        },
    ] = &world.ledger[..]
    else {
        panic!("{:?}", world.ledger);
    };
    assert_eq!((call, usd.nanos(), cost.nanos()), (settled, CALL, 5 * CALL));
}

#[test]
fn who_names_no_bound_may_be_the_last_but_only_alone() {
    let mut config = with_budget(1, BudgetAction::Reject);
    config.deployments.get_mut("a").unwrap().output_tokens_usual = 1_000;
    let mut world = World::new(config);
    let unbound = by_agent(Ask {
        output_tokens_max: None,
        ..ask()
    });
    world.ask(unbound.clone());
    let second = world.ask(unbound.clone());
    assert_eq!(world.calls.len(), 1);
    world.answer(world.only(), tokens(10, 20));
    assert_eq!(world.only().flight, second);
    world.answer(world.only(), tokens(10, 1_000));
    let third = world.ask(unbound);
    assert!(is_exceeded(&world.error(third).error));
    world.assert_idle();
}

#[test]
fn an_answer_that_nobody_counted_costs_what_was_reserved() {
    let mut world = World::new(with_budget(2, BudgetAction::Reject));
    let flight = world.ask(by_agent(ask()));
    let attempt = world.only();
    world.open.clear();
    world.tell(Input::Ended {
        attempt,
        outcome: Outcome::Answered { tokens: None },
    });
    assert_eq!(world.success(flight).usd, usd(CALL));
    assert_eq!(spent(&world, &agent()), CALL);
}

#[test]
fn what_came_before_a_failure_or_a_caller_left_is_paid() {
    let mut world = World::new(with_budget(10, BudgetAction::Reject));
    let asking = by_agent(Ask {
        is_retried: false,
        ..ask()
    });
    let flight = world.ask(asking.clone());
    world.fail_after(world.only(), broken(), tokens(10, 10));
    assert_eq!(world.error(flight).usd, usd(20_000));
    let flight = world.ask(asking);
    let attempt = world.only();
    world.content(attempt);
    world.open.clear();
    let came = tokens(10, 30);
    world.tell(Input::Left { flight, came });
    assert_eq!(spent(&world, &agent()), 60_000);
    // Who runs out of time is told what that cost.
    let flight = world.ask(by_agent(ask()));
    world.content(world.only());
    world.open.clear();
    let error = silent();
    world.tell(Input::Expired {
        flight,
        came,
        error,
    });
    let told = world.error(flight);
    assert_eq!(
        (told.usd, told.tokens, told.attempts),
        (usd(40_000), came, 1)
    );
    assert_eq!(spent(&world, &agent()), 100_000);
    // Who leaves before content comes has sent ten tokens all the same.
    let flight = world.ask(by_agent(ask()));
    world.leave(flight);
    assert_eq!(spent(&world, &agent()), 110_000);
    world.assert_idle();
}

#[test]
fn a_question_that_may_have_been_billed_is_paid_and_a_refused_one_is_not() {
    let asking = by_agent(Ask {
        is_retried: false,
        ..ask()
    });
    let nothing = Tokens::default();
    for (error, counted, paid) in [
        (torn(), nothing, 10),
        (silent(), nothing, 10),
        (cut(), nothing, 10),
        (cut(), tokens(4, 1), 5),
        (broken(), nothing, 0),
        (broken(), tokens(4, 1), 5),
        (unreachable(), nothing, 0),
        (limited_for(None), nothing, 0),
        (refused(), nothing, 0),
        (bad_request(), nothing, 0),
    ] {
        let mut world = World::new(with_budget(10, BudgetAction::Reject));
        let flight = world.ask(asking.clone());
        world.fail_after(world.only(), error.clone(), counted);
        let told = world.error(flight);
        assert_eq!(told.usd, usd(paid * 1_000), "{error}");
        assert_eq!(told.tokens.total(), paid, "{error}");
        assert_eq!(spent(&world, &agent()), paid * 1_000, "{error}");
        world.assert_idle();
    }
}

#[test]
fn budgets_wait_apart_from_each_other() {
    let mut config = one(priced(plain()));
    let other = BudgetKey::Agent("y".into());
    budget(&mut config, agent(), CALL, BudgetAction::Reject);
    budget(&mut config, other, CALL, BudgetAction::Reject);
    let mut world = World::new(config);
    let by = |name: &str| Ask {
        spender: Spender {
            agent: Some(Arc::from(name)),
            ..Spender::default()
        },
        ..ask()
    };
    let _x = world.ask(by("x"));
    let y = world.ask(by("y"));
    let _waits = world.ask(by("x"));
    let next = world.ask(by("y"));
    world.answer(world.of(y)[0], tokens(0, 0));
    assert_eq!(world.of(next).len(), 1);
}

#[test]
fn a_deployment_without_money_is_stood_in_for() {
    let mut config = chain(&[("a", priced(plain())), ("b", priced(plain()))]);
    let key = BudgetKey::Deployment("a".into());
    budget(&mut config, key, CALL, BudgetAction::Reject);
    let mut world = World::new(config);
    for _ in 0..2 {
        world.ask(ask());
        world.answer_all();
    }
    assert_eq!(world.called(), ["a", "b"]);
}

fn of_session(name: &str) -> Ask {
    let spender = Spender {
        sessions: vec![name.into()],
        ..Spender::default()
    };
    Ask { spender, ..ask() }
}

/// As the keeper of the ledger does it before each request.
fn hold(world: &mut World, name: &str, calls: u64) {
    let key = BudgetKey::Session(name.into());
    let of_ledger = world.ledger.iter().filter_map(|entry| match entry {
        LedgerEntry::Settled { spender, usd, .. } => {
            (*spender.sessions == [Arc::from(name)]).then(|| usd.nanos())
        }
        LedgerEntry::Reserved { .. } => None,
    });
    let spent = mainstay_resilience::Spent {
        window_start: mainstay_contract::Timestamp(0),
        amount: usd(of_ledger.sum()),
    };
    let now = world.now;
    world
        .gate
        .hold_session(now, &key, usd(calls * CALL), || spent);
}

#[test]
fn sessions_at_rest_are_forgotten_and_nothing_that_they_spent() {
    let mut world = World::new(one(priced(plain())));
    hold(&mut world, "busy", 1);
    let busy = world.ask(of_session("busy"));
    hold(&mut world, "spent", 1);
    world.ask(of_session("spent"));
    world.answer(world.open[1], tokens(10, 90));
    for at in 0..5_000 {
        hold(&mut world, &format!("s{at}"), 1);
    }
    assert!(world.gate.budgets(world.now).len() <= 1_100);
    // What is under way counts on, and what is over is asked of the ledger.
    for name in ["busy", "spent"] {
        hold(&mut world, name, 1);
    }
    let again = world.ask(of_session("spent"));
    assert!(is_exceeded(&world.error(again).error));
    world.ask(of_session("busy"));
    assert_eq!(world.open.len(), 1, "it waits for the first to settle");
    world.answer(world.only(), tokens(10, 90));
    assert!(world.ended(busy));
    assert!(world.open.is_empty());
}

#[test]
fn a_session_that_may_spend_more_goes_on_with_what_it_spent() {
    let mut world = World::new(one(priced(plain())));
    let asked = |world: &mut World, calls| {
        hold(world, "s", calls);
        world.ask(of_session("s"))
    };
    asked(&mut world, 1);
    asked(&mut world, 1);
    assert_eq!(world.open.len(), 1);
    asked(&mut world, 3);
    assert_eq!(world.open.len(), 3, "who waited goes with who asked");
    while let Some(&attempt) = world.open.first() {
        world.answer(attempt, tokens(10, 90));
    }
    let refused = asked(&mut world, 3);
    assert!(is_exceeded(&world.error(refused).error));
    let refused = asked(&mut world, 2);
    assert!(is_exceeded(&world.error(refused).error));
    asked(&mut world, 4);
    assert_eq!(world.open.len(), 1);
}
