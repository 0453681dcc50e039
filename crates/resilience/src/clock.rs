//! Time that passed between calls, where the clock that is handed in may be set back.

use mainstay_contract::Timestamp;
use std::time::Duration;

/// How far apart two callers' readings of one clock may lie without meaning that it was set back.
const SKEW: Duration = Duration::from_secs(1);

/// The latest moment that was told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latest(Timestamp);

impl Latest {
    /// The milliseconds since then; none where `now` is earlier.
    pub(crate) fn elapsed_ms(self, now: Timestamp) -> u128 {
        now.since(self.0).as_millis()
    }

    /// Goes on to `now`. A moment slightly earlier changes nothing, so that readings out of order
    /// make no time; one much earlier is believed, or else all would stand still until the clock
    /// is back where it was.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        if now > self.0 || self.0.since(now) > SKEW {
            self.0 = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_out_of_order_make_no_time() {
        let mut latest = Latest(Timestamp(10_000));
        latest.advance(Timestamp(9_000));
        assert_eq!(latest.elapsed_ms(Timestamp(10_001)), 1);
        latest.advance(Timestamp(8_999));
        assert_eq!(latest.elapsed_ms(Timestamp(10_001)), 1_002);
    }
}
