//! Waits keep within their bounds, whatever is configured and advised.

use mainstay_resilience::RetryPolicy;
use proptest::prelude::*;
use std::time::Duration;

proptest! {
    #[test]
    fn a_wait_is_no_shorter_than_advised_and_no_longer_than_the_cap(
        retries_max in any::<u32>(), base_ms in any::<u64>(), cap_ms in any::<u64>(),
        failures in any::<u32>(), advised in proptest::option::of(0..20_000u64),
        random in any::<u32>(), left in 0..20_000u64,
    ) {
        let policy = RetryPolicy { retries_max, base_ms, cap_ms };
        let advised = advised.map(Duration::from_millis);
        let wait = policy.wait(failures, advised, random);
        if let Some(wait) = wait {
            prop_assert!(failures <= retries_max);
            prop_assert!(wait >= advised.unwrap_or_default());
            prop_assert!(wait <= Duration::from_millis(cap_ms));
        }
        let left = Duration::from_millis(left);
        let until = policy.wait_until(failures, advised, random, Some(left));
        prop_assert_eq!(until, wait.filter(|wait| *wait < left));
    }
}
