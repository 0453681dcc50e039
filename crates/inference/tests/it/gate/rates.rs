//! Requests and tokens a minute.

use super::given::*;
use super::world::*;
use mainstay_inference::{Ask, Limits};
use mainstay_resilience::Priority;

fn paced(queue: usize) -> Limits {
    Limits {
        requests: rate(60, 2),
        queue,
        queue_timeout: secs(5),
        ..Limits::default()
    }
}

#[test]
fn requests_a_minute_are_waited_for_in_turn() {
    let mut world = World::new(one(limited(paced(10))));
    let asked = world.ask_many(&ask(), 12);
    assert_eq!(world.calls.len(), 2);
    // The eighth would have to wait for six seconds.
    for flight in &asked[7..] {
        assert_eq!(world.error(*flight).error.retry_after(), Some(secs(6)));
    }
    world.pass(10_000);
    let times: Vec<_> = world.calls.iter().map(|call| call.at).collect();
    assert_eq!(times, [0, 0, 1_000, 2_000, 3_000, 4_000, 5_000]);
    let order: Vec<_> = world.calls.iter().map(|call| call.attempt.flight).collect();
    assert_eq!(order, asked[..7]);
    world.answer_all();
    world.assert_idle();
}

#[test]
fn no_more_wait_than_may() {
    let mut world = World::new(one(limited(paced(2))));
    let asked = world.ask_many(&ask(), 6);
    assert!(asked[4..].iter().all(|flight| world.ended(*flight)));
    assert!(!world.ended(asked[3]));
    let mut world = World::new(one(limited(paced(0))));
    let asked = world.ask_many(&ask(), 3);
    assert_eq!(world.error(asked[2]).error.retry_after(), Some(secs(1)));
}

#[test]
fn the_urgent_go_first_and_whoever_leaves_is_passed_by() {
    let mut world = World::new(one(limited(paced(10))));
    world.ask_many(&ask(), 2);
    let normal = world.ask(ask());
    let gone = world.ask(ask());
    let high = world.ask(Ask {
        priority: Priority::High,
        ..ask()
    });
    world.leave(gone);
    world.pass(2_000);
    let order: Vec<_> = world.calls.iter().map(|call| call.attempt.flight).collect();
    assert_eq!(order[2..], [high, normal]);
    world.answer_all();
    world.assert_idle();
}

#[test]
fn tokens_are_reserved_and_settled() {
    let mut world = World::new(one(limited(Limits {
        tokens: rate(6_000, 200),
        queue: 10,
        queue_timeout: secs(60),
        ..Limits::default()
    })));
    let asked = world.ask_many(&ask(), 4);
    assert_eq!(world.calls.len(), 2);
    // Of a hundred reserved tokens twenty were used: there is room for most of another.
    world.answer(world.open[0], tokens(10, 10));
    world.pass(199);
    assert_eq!(world.calls.len(), 2);
    world.pass(1);
    assert_eq!(world.calls.len(), 3);
    // What was used beyond the reservation is a debt.
    world.answer(world.open[0], tokens(10, 390));
    world.pass(3_999);
    assert_eq!(world.calls.len(), 3);
    world.pass(1);
    assert_eq!(world.calls.len(), 4);
    world.answer_all();
    assert!(asked.iter().all(|flight| world.ended(*flight)));
    world.assert_idle();
}

#[test]
fn what_becomes_free_by_settling_is_used_at_once() {
    let mut world = World::new(one(limited(Limits {
        tokens: rate(60, 100),
        queue: 10,
        queue_timeout: secs(100),
        ..Limits::default()
    })));
    world.ask(ask());
    let waiting = world.ask(ask());
    world.answer(world.only(), tokens(0, 0));
    assert_eq!(world.only().flight, waiting);
}

#[test]
fn ten_thousand_who_wait_cost_no_more_than_one() {
    let mut world = World::new(one(limited(Limits {
        requests: rate(60_000, 1),
        queue: 20_000,
        queue_timeout: secs(60),
        ..Limits::default()
    })));
    world.ask_many(&ask(), 10_001);
    let begun = std::time::Instant::now();
    let mut rings = 0;
    while world.calls.len() < 10_001 {
        world.now = world.gate.poll_timeout().unwrap();
        world.pass(0);
        rings += 1;
    }
    assert_eq!(rings, 10_000);
    // Many times what it takes, and a hundredth of what it would take if all were woken each time.
    assert!(begun.elapsed() < secs(5), "{:?}", begun.elapsed());
}
