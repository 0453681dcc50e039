//! Days of the calendar, in UTC.

use mainstay_contract::Timestamp;
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

const DAY_MS: u64 = 86_400_000;

/// A day, written as `2026-11-21`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    year: u64,
    month: u64,
    day: u64,
}

/// A text is no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a day is written like 2026-11-21")]
pub struct NoDay;

impl Day {
    /// The day of a moment.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let mut left = at.0 / DAY_MS;
        let mut year = 1970;
        while left >= days_of_year(year) {
            left -= days_of_year(year);
            year += 1;
        }
        let mut month = 1;
        while left >= days_of_month(year, month) {
            left -= days_of_month(year, month);
            month += 1;
        }
        let day = left + 1;
        Self { year, month, day }
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day } = self;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let mut parts = text.split('-');
        let mut number = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length)?;
            let is_digits = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| is_digits)
        };
        let (year, month, day) = (number(4), number(2), number(2));
        let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else {
            return Err(NoDay);
        };
        let is_day = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
        is_day.then_some(Self { year, month, day }).ok_or(NoDay)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_days() {
        for (at, day) in [
            (0, "1970-01-01"),
            (DAY_MS - 1, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (1_709_251_200_000, "2024-03-01"),
            (1_795_219_199_999, "2026-11-20"),
            (1_795_219_200_000, "2026-11-21"),
            (4_107_542_400_000, "2100-03-01"),
        ] {
            assert_eq!(Day::of(Timestamp(at)).to_string(), day);
            assert_eq!(day.parse(), Ok(Day::of(Timestamp(at))));
        }
    }

    #[test]
    fn only_days_are_read() {
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-11-21-",
            "2026-1-21",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2026-11-31",
            "+026-11-21",
            "2026-11-2x",
            "yesterday",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NoDay), "{text}");
        }
        let read = |text: &str| text.parse::<Day>().unwrap();
        assert!(read("2025-12-31") < read("2026-01-01"));
    }
}
