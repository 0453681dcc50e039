//! Retries stay within their share of the calls, and are not refused while some are left.

use mainstay_contract::Timestamp;
use mainstay_resilience::{RetryBudget, RetryBudgetConfig};
use proptest::prelude::*;

#[test]
fn calls_and_time_both_pay_for_retries() {
    let mut budget = RetryBudget::new(RetryBudgetConfig {
        ratio_thousandths: 200,
        reserve_per_second: 1,
        saved_max: 2,
    });
    let now = Timestamp(5_000);
    let retries = |budget: &mut RetryBudget, now| (0..9).filter(|_| budget.try_retry(now)).count();
    assert_eq!(retries(&mut budget, now), 2);
    (0..4).for_each(|_| budget.deposit(now));
    assert_eq!(retries(&mut budget, now), 0);
    budget.deposit(now);
    assert_eq!(retries(&mut budget, now), 1);
    assert_eq!(retries(&mut budget, Timestamp(5_999)), 0);
    assert_eq!(retries(&mut budget, Timestamp(6_000)), 1);
    assert_eq!(budget.left(Timestamp(3_600_000)), 2);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Pass(u64),
    Call,
    Retry,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..500u64).prop_map(Step::Pass),
        3 => Just(Step::Call),
        6 => Just(Step::Retry),
    ]
}

proptest! {
    #[test]
    fn retries_stay_within_their_share(
        ratio in 0..1_500u32, reserve in 0..5u32, saved in 0..10u32,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let config = RetryBudgetConfig {
            ratio_thousandths: ratio,
            reserve_per_second: reserve,
            saved_max: saved,
        };
        let mut budget = RetryBudget::new(config);
        let mut now = Timestamp(1_000_000);
        // In millionths of a retry, as the model of what was paid and made since each step.
        let mut balances: Vec<i128> = Vec::new();
        let mut level = i128::from(saved) * 1_000_000;
        for step in steps {
            balances.push(0);
            let paid = match step {
                Step::Pass(ms) => {
                    now = Timestamp(now.0 + ms);
                    i128::from(reserve) * i128::from(ms) * 1_000
                }
                Step::Call => {
                    budget.deposit(now);
                    i128::from(ratio) * 1_000
                }
                Step::Retry => {
                    let left = budget.left(now);
                    let is_granted = budget.try_retry(now);
                    prop_assert_eq!(is_granted, left > 0);
                    prop_assert_eq!(is_granted, level >= 1_000_000);
                    if is_granted { -1_000_000 } else { 0 }
                }
            };
            level = (level + paid).min(i128::from(saved) * 1_000_000);
            for balance in &mut balances {
                *balance += paid;
                prop_assert!(*balance >= -i128::from(saved) * 1_000_000);
            }
        }
    }
}
