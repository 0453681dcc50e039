//! A rate limit never admits too much, never makes anybody wait too long, and settles exactly.

use mainstay_contract::Timestamp;
use mainstay_resilience::{Rate, RateLimit, Wait};
use proptest::prelude::*;
use std::num::NonZeroU64;
use std::time::Duration;

#[derive(Debug, Clone)]
struct Step {
    pause: u64,
    amount: u64,
    used: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3_000u64, 0..30u64, 0..40u64).prop_map(|(pause, amount, used)| Step {
        pause,
        amount,
        used,
    });
    proptest::collection::vec(step, 1..80)
}

fn limit(per_minute: u64, burst: u64) -> RateLimit {
    RateLimit::new(Rate {
        per_minute: NonZeroU64::MIN.saturating_add(per_minute - 1),
        burst: NonZeroU64::MIN.saturating_add(burst - 1),
    })
}

/// Takes if it can; if it cannot, the wait must be right to the millisecond.
fn take(limit: &mut RateLimit, now: Timestamp, amount: u64) -> Result<bool, TestCaseError> {
    let Err(Wait { after }) = limit.try_take(now, amount) else {
        return Ok(true);
    };
    let then = now.after(after);
    prop_assert_eq!(limit.check(then, amount), Ok(()));
    let after = Duration::from_millis(1);
    prop_assert_eq!(
        limit.check(Timestamp(then.0 - 1), amount),
        Err(Wait { after })
    );
    Ok(false)
}

proptest! {
    #[test]
    fn no_window_sees_too_much_and_no_wait_is_too_long(
        per_minute in 1..2_000u64, burst in 1..50u64, steps in steps(),
    ) {
        let mut limit = limit(per_minute, burst);
        let mut now = Timestamp(1_700_000_000_000);
        let mut admitted: Vec<(u64, u64)> = Vec::new();
        for Step { pause, amount, .. } in steps {
            now = Timestamp(now.0 + pause);
            let amount = amount.min(burst);
            if take(&mut limit, now, amount)? {
                admitted.push((now.0, amount));
            }
        }
        for (index, (from, _)) in admitted.iter().enumerate() {
            let mut sum = 0;
            for (to, amount) in &admitted[index..] {
                sum += amount;
                prop_assert!(sum * 60_000 <= burst * 60_000 + (to - from) * per_minute);
            }
        }
    }

    #[test]
    fn whatever_is_asked_is_admitted_in_the_end_and_paid_for(
        per_minute in 1..2_000u64, burst in 1..50u64, amounts in proptest::collection::vec(1..200u64, 1..40),
    ) {
        let mut limit = limit(per_minute, burst);
        let start = Timestamp(5);
        let mut now = start;
        for amount in &amounts {
            if let Err(Wait { after }) = limit.try_take(now, *amount) {
                now = now.after(after);
                prop_assert_eq!(limit.try_take(now, *amount), Ok(()));
            }
        }
        // All but the last, which may be in debt, came at the rate after the first burst.
        let paid: u64 = amounts[..amounts.len() - 1].iter().sum();
        prop_assert!(paid * 60_000 <= burst * 60_000 + (now.0 - start.0) * per_minute);
    }

    #[test]
    fn settling_leaves_what_was_used(steps in steps(), per_minute in 1..1_000u64) {
        // So much is in use from the start that the bucket never runs empty.
        let mut limit = limit(per_minute, 1 << 20);
        let (mut used_in_all, mut passed) = (1 << 19, 0);
        limit.try_take(Timestamp(7), used_in_all).unwrap();
        for Step { pause, amount, used } in steps {
            passed += pause;
            let now = Timestamp(7 + passed);
            limit.try_take(now, amount).unwrap();
            limit.settle(now, amount, used);
            used_in_all += used;
            let held = used_in_all * 60_000 - passed * per_minute;
            prop_assert_eq!(limit.full_after(now), Duration::from_millis(held.div_ceil(per_minute)));
        }
    }
}
