//! Many reservations over many budgets: all or nothing, never above a limit, never refused wrongly,
//! beside a model that adds up a list of everything that was ever reserved.

use mainstay_contract::{Timestamp, Usd};
use mainstay_resilience::{BudgetPeriod, BudgetTree, ReservationId, Spent};
use proptest::prelude::*;

const HOUR: u64 = 3_600_000;
const KEYS: u8 = 5;

#[test]
fn of_all_that_refuse_the_one_that_resets_last_is_named() {
    let mut tree = BudgetTree::default();
    tree.set("agent", Usd::from_nanos(5), BudgetPeriod::Total);
    tree.set("key", Usd::from_nanos(5), BudgetPeriod::Month);
    tree.set("model", Usd::from_nanos(9), BudgetPeriod::Hour);
    let refused = tree.reserve(Timestamp(0), ["model", "key", "agent"], Usd::from_nanos(6));
    let refused = refused.unwrap_err();
    assert_eq!((refused.key, refused.exceeded.resets_at), ("agent", None));
    let text = "budget `agent` is exceeded: 0.000000006 USD asked for, 0 spent and 0 reserved of 0.000000005";
    assert_eq!(refused.to_string(), text);
    let held = tree.reserve(
        Timestamp(0),
        ["model", "model", "unknown"],
        Usd::from_nanos(6),
    );
    assert!(tree.release(Timestamp(1), held.unwrap()));
}

#[test]
fn a_budget_declared_anew_is_not_touched_by_what_was_reserved_before() {
    let mut tree = BudgetTree::default();
    let (now, limit) = (Timestamp(0), Usd::from_nanos(100));
    tree.set('a', limit, BudgetPeriod::Total);
    let old = tree.reserve(now, ['a'], Usd::from_nanos(80)).unwrap();
    tree.set('a', limit, BudgetPeriod::Total);
    assert_eq!(tree.get(&'a').unwrap().left(now), Usd::from_nanos(20));
    let spent = Spent {
        window_start: now,
        amount: Usd::from_nanos(30),
    };
    tree.restore('a', limit, BudgetPeriod::Total, spent);
    let new = tree.reserve(now, ['a'], Usd::from_nanos(70)).unwrap();
    assert!(tree.settle(now, old, Usd::from_nanos(80)));
    assert!(!tree.settle(now, old, Usd::from_nanos(80)));
    assert!(tree.reserve(now, ['a'], Usd::from_nanos(1)).is_err());
    assert!(tree.settle(now, new, Usd::from_nanos(60)));
    assert_eq!(tree.snapshot(now)[0].1.amount, Usd::from_nanos(90));
}

/// What was once reserved: when, from what, how much, and what was used in the end.
struct Entry {
    id: ReservationId,
    at: Timestamp,
    keys: Vec<u8>,
    reserved: u64,
    used: Option<u64>,
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Reserve(Vec<u8>, u64),
    Settle(prop::sample::Index, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let keys = proptest::collection::vec(0..KEYS + 1, 0..4);
    prop_oneof![
        1 => (0..HOUR).prop_map(Step::Pass),
        4 => (keys, 0..60u64).prop_map(|(keys, amount)| Step::Reserve(keys, amount)),
        3 => (any::<prop::sample::Index>(), 0..120u64).prop_map(|(which, used)| Step::Settle(which, used)),
    ]
}

fn period(key: u8) -> BudgetPeriod {
    match key {
        0 | 1 => BudgetPeriod::Hour,
        2 => BudgetPeriod::Day,
        3 => BudgetPeriod::Month,
        _ => BudgetPeriod::Total,
    }
}

/// What is spent and reserved of a budget in the window around `now`.
fn sums(entries: &[Entry], key: u8, now: Timestamp) -> (u64, u64) {
    let start = period(key).start(now);
    let here = entries
        .iter()
        .filter(|entry| entry.at >= start && entry.keys.contains(&key));
    here.fold((0, 0), |(spent, reserved), entry| match entry.used {
        Some(used) => (spent + used, reserved),
        None => (spent, reserved + entry.reserved),
    })
}

proptest! {
    #[test]
    fn no_limit_is_passed_and_nothing_that_fits_is_refused(
        is_honest in any::<bool>(),
        limits in proptest::collection::vec(0..200u64, usize::from(KEYS)),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut tree = BudgetTree::default();
        for (key, limit) in (0u8..).zip(&limits) {
            tree.set(key, Usd::from_nanos(*limit), period(key));
        }
        let mut now = Timestamp(1_700_000_000_000);
        let mut entries: Vec<Entry> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ms) => now = Timestamp(now.0 + ms),
                Step::Reserve(keys, reserved) => {
                    let fits = |key: &u8| limits.get(usize::from(*key)).is_none_or(|limit| {
                        let (spent, held) = sums(&entries, *key, now);
                        reserved == 0 || spent + held + reserved <= *limit
                    });
                    let fits = keys.iter().all(fits);
                    let got = tree.reserve(now, keys.clone(), Usd::from_nanos(reserved));
                    prop_assert_eq!(got.is_ok(), fits);
                    if let Ok(id) = got {
                        entries.push(Entry { id, at: now, keys, reserved, used: None });
                    }
                }
                Step::Settle(_, _) if entries.is_empty() => {}
                Step::Settle(which, used) => {
                    let entry = which.get(&entries).id;
                    let entry = entries.iter_mut().find(|known| known.id == entry);
                    let Some(entry) = entry else { continue };
                    let used = if is_honest { used.min(entry.reserved) } else { used };
                    let settled = tree.settle(now, entry.id, Usd::from_nanos(used));
                    prop_assert_eq!(settled, entry.used.is_none());
                    entry.used.get_or_insert(used);
                }
            }
            for (key, limit) in (0..KEYS).zip(&limits) {
                let Some(budget) = tree.get(&key) else { continue };
                let (spent, held) = sums(&entries, key, now);
                prop_assert_eq!(budget.spent(now).amount.nanos(), spent);
                prop_assert_eq!(budget.reserved(now).nanos(), held);
                prop_assert!(!is_honest || spent + held <= *limit);
            }
        }
    }
}
