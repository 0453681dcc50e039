//! The queue by hand, and on random schedules beside a plain list.

use mainstay_contract::Timestamp;
use mainstay_resilience::{AdmissionQueue, Entered, Priority, QueueConfig};
use proptest::prelude::*;
use std::time::Duration;

fn config(concurrency: usize, queued: usize, timeout_ms: u64) -> QueueConfig {
    QueueConfig {
        concurrency_max: Some(concurrency),
        queued_max: queued,
        queue_timeout: Some(Duration::from_millis(timeout_ms)),
    }
}

#[test]
fn a_higher_priority_goes_first_but_nobody_starves() {
    let mut queue = AdmissionQueue::new(config(1, 10, 60_000));
    assert_eq!(
        queue.enter(Timestamp(0), 0, Priority::Low),
        Entered::Admitted
    );
    assert_eq!(queue.enter(Timestamp(0), 1, Priority::Low), Entered::Queued);
    queue.enter(Timestamp(5), 2, Priority::Normal);
    queue.enter(Timestamp(6), 3, Priority::High);
    queue.enter(Timestamp(6), 4, Priority::High);
    queue.enter(Timestamp(20_001), 5, Priority::High);
    let order: Vec<i32> = (0..)
        .scan((), |(), id| queue.leave(&[0, 3, 4, 2, 1, 5][id]))
        .collect();
    assert_eq!(order, [3, 4, 2, 1, 5]);
}

#[test]
fn a_full_queue_turns_away_and_a_long_wait_ends() {
    let mut queue = AdmissionQueue::new(config(1, 1, 100));
    let normal = Priority::Normal;
    assert_eq!(queue.enter(Timestamp(0), 'a', normal), Entered::Admitted);
    assert_eq!(queue.enter(Timestamp(1), 'b', normal), Entered::Queued);
    assert_eq!(queue.enter(Timestamp(2), 'b', normal), Entered::Queued);
    assert_eq!(queue.enter(Timestamp(2), 'c', normal), Entered::Full);
    assert_eq!(queue.poll_timeout(), Some(Timestamp(101)));
    assert_eq!(queue.expire(Timestamp(100)), []);
    assert_eq!(queue.expire(Timestamp(101)), ['b']);
    assert_eq!(queue.poll_timeout(), None);
    assert_eq!(queue.leave(&'a'), None);
    assert_eq!((queue.admitted(), queue.queued()), (0, 0));
}

#[test]
fn without_a_limit_all_work_and_a_raised_one_admits() {
    let unlimited = QueueConfig {
        concurrency_max: None,
        ..config(0, 0, 1)
    };
    let mut queue = AdmissionQueue::new(unlimited);
    for id in 0..100 {
        assert_eq!(
            queue.enter(Timestamp(0), id, Priority::Low),
            Entered::Admitted
        );
    }
    let mut queue = AdmissionQueue::new(config(0, 5, 1_000));
    for id in 0..4 {
        assert_eq!(
            queue.enter(Timestamp(0), id, Priority::Low),
            Entered::Queued
        );
    }
    assert_eq!(queue.set_config(config(3, 5, 1_000)), [0, 1, 2]);
}

/// Who is here: number, priority, when it came, whether it works. In the order of coming.
#[derive(Default)]
struct Model(Vec<(u8, Priority, u64, bool)>);

impl Model {
    fn admit(&mut self, concurrency: usize) -> Option<u8> {
        let is_full = self.0.iter().filter(|here| here.3).count() >= concurrency;
        let waiting = self.0.iter_mut().filter(|here| !here.3 && !is_full);
        let first = waiting.min_by_key(|here| here.2 + 10_000 * here.1 as u64)?;
        first.3 = true;
        Some(first.0)
    }

    fn enter(&mut self, now: u64, id: u8, priority: Priority, config: &QueueConfig) -> Entered {
        let known = self.0.iter().find(|here| here.0 == id).map(|here| here.3);
        let queued = self.0.iter().filter(|here| !here.3).count();
        let working = self.0.len() - queued;
        let works = known.unwrap_or(working < config.concurrency_max.unwrap_or(usize::MAX));
        if known.is_none() && !works && queued >= config.queued_max {
            return Entered::Full;
        }
        if known.is_none() {
            self.0.push((id, priority, now, works));
        }
        if works {
            Entered::Admitted
        } else {
            Entered::Queued
        }
    }

    fn expire(&mut self, now: u64, timeout: u64) -> Vec<u8> {
        let is_over = |here: &(u8, Priority, u64, bool)| !here.3 && here.2 + timeout <= now;
        let over = self.0.extract_if(.., |here| is_over(here));
        over.map(|here| here.0).collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Enter(u8, Priority),
    Leave(u8),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let priority = prop_oneof![
        Just(Priority::High),
        Just(Priority::Normal),
        Just(Priority::Low)
    ];
    prop_oneof![
        2 => (0..8_000u64).prop_map(Step::Pass),
        4 => (0..20u8, priority).prop_map(|(id, priority)| Step::Enter(id, priority)),
        3 => (0..20u8).prop_map(Step::Leave),
        1 => Just(Step::Expire),
    ]
}

proptest! {
    #[test]
    fn it_follows_the_list(
        concurrency in 0..4usize, queued in 0..8usize, timeout in 0..40_000u64,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let config = config(concurrency, queued, timeout);
        let (mut queue, mut model) = (AdmissionQueue::new(config), Model::default());
        let mut now = 1_000;
        for step in steps {
            match step {
                Step::Pass(ms) => now += ms,
                Step::Enter(id, priority) => {
                    let entered = model.enter(now, id, priority, &config);
                    prop_assert_eq!(queue.enter(Timestamp(now), id, priority), entered);
                }
                Step::Leave(id) => {
                    model.0.retain(|here| here.0 != id);
                    prop_assert_eq!(queue.leave(&id), model.admit(concurrency));
                }
                Step::Expire => {
                    prop_assert_eq!(queue.expire(Timestamp(now)), model.expire(now, timeout));
                }
            }
            let working = model.0.iter().filter(|here| here.3).count();
            prop_assert_eq!(queue.admitted(), working);
            prop_assert!(working <= concurrency);
            prop_assert_eq!(queue.queued(), model.0.len() - working);
            let next = model.0.iter().find(|here| !here.3).map(|here| Timestamp(here.2 + timeout));
            prop_assert_eq!(queue.poll_timeout(), next);
        }
    }
}
