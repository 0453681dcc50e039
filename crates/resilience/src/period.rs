//! The windows of budgets: hours, days and months in UTC. Months by the integer arithmetic of
//! H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".

use mainstay_contract::Timestamp;
use serde::{Deserialize, Serialize};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Days from 0000-03-01, where counting from March puts the leap day last in its year, to 1970.
const MARCH_ZERO: u64 = 719_468;
const ERA_DAYS: u64 = 146_097;

/// How often a budget begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetPeriod {
    /// At every full hour.
    Hour,
    /// At midnight UTC.
    Day,
    /// At midnight UTC before the first of a month.
    Month,
    /// Never.
    Total,
}

impl BudgetPeriod {
    /// When the window around `now` began.
    #[must_use]
    pub fn start(self, now: Timestamp) -> Timestamp {
        let day = now.0 / DAY_MS;
        Timestamp(match self {
            Self::Hour => now.0 - now.0 % HOUR_MS,
            Self::Day => day * DAY_MS,
            Self::Month => (day + 1 - day_of_month(day)) * DAY_MS,
            Self::Total => 0,
        })
    }

    /// When the window around `now` ends and the next begins, if ever.
    #[must_use]
    pub fn end(self, now: Timestamp) -> Option<Timestamp> {
        let start = self.start(now).0;
        Some(Timestamp(match self {
            Self::Hour => start.saturating_add(HOUR_MS),
            Self::Day => start.saturating_add(DAY_MS),
            Self::Month => {
                // Whatever the month, 31 days after its first lie in the next one.
                let day = start / DAY_MS + 31;
                (day + 1 - day_of_month(day)).saturating_mul(DAY_MS)
            }
            Self::Total => return None,
        }))
    }
}

/// The day of the month, from 1, of a day since 1970-01-01.
fn day_of_month(day: u64) -> u64 {
    let of_era = (day + MARCH_ZERO) % ERA_DAYS;
    let leap_days = of_era / 1_460 + of_era / 146_096 - of_era / 36_524;
    let year = (of_era - leap_days) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    of_year - (153 * month + 2) / 5 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_leap(year: u64) -> bool {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    }

    #[test]
    fn months_are_those_of_the_calendar_for_five_hundred_years() {
        let mut first = 0;
        for year in 1970..2470 {
            let february = if is_leap(year) { 29 } else { 28 };
            for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                let (start, end) = (first * DAY_MS, (first + length) * DAY_MS);
                for now in [start, start + 1, (start + end) / 2, end - 1] {
                    let month = BudgetPeriod::Month;
                    assert_eq!(month.start(Timestamp(now)), Timestamp(start), "{year}");
                    assert_eq!(month.end(Timestamp(now)), Some(Timestamp(end)), "{year}");
                }
                for day in 0..length {
                    assert_eq!(day_of_month(first + day), day + 1, "{year}");
                }
                first += length;
            }
        }
    }

    #[test]
    fn hours_and_days_are_even_and_all_time_has_no_end() {
        let now = Timestamp(1_700_000_000_123);
        let bounds = |period: BudgetPeriod| (period.start(now).0, period.end(now).map(|end| end.0));
        let hour = (1_699_999_200_000, Some(1_700_002_800_000));
        assert_eq!(bounds(BudgetPeriod::Hour), hour);
        let day = (1_699_920_000_000, Some(1_700_006_400_000));
        assert_eq!(bounds(BudgetPeriod::Day), day);
        assert_eq!(bounds(BudgetPeriod::Total), (0, None));
        for period in [BudgetPeriod::Hour, BudgetPeriod::Day, BudgetPeriod::Month] {
            assert!(period.end(Timestamp(u64::MAX)) > Some(Timestamp(u64::MAX - 31 * DAY_MS)));
        }
    }
}
