//! Money, exact: whole nano-dollars, written as a decimal string.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

const NANOS: u64 = 1_000_000_000;

/// An amount of US dollars in whole nano-dollars (1 USD = 1e9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Usd {
    nanos: u64,
}

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount in dollars such as `0.25` (at most nine decimals)")]
pub struct UsdError(pub String);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0 };

    /// An amount from nano-dollars.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// The amount in nano-dollars.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.nanos
    }

    /// The price of `tokens` when a million of them cost `self`, rounded up to a nano-dollar.
    #[must_use]
    pub fn per_million(self, tokens: u64) -> Self {
        let nanos = (u128::from(self.nanos) * u128::from(tokens)).div_ceil(1_000_000);
        Self {
            nanos: u64::try_from(nanos).unwrap_or(u64::MAX),
        }
    }

    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_add(other.nanos),
        }
    }

    /// What is left after `other` is taken away; nothing where `other` is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_sub(other.nanos),
        }
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.nanos / NANOS, self.nanos % NANOS);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let (mut digits, mut width) = (rest, 9);
        while digits % 10 == 0 {
            (digits, width) = (digits / 10, width - 1);
        }
        write!(f, "{whole}.{digits:0width$}")
    }
}

impl FromStr for Usd {
    type Err = UsdError;

    fn from_str(text: &str) -> Result<Self, UsdError> {
        let refuse = || UsdError(text.to_owned());
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(rest) || rest.len() > 9 {
            return Err(refuse());
        }
        let whole: u64 = whole.parse().map_err(|_| refuse())?;
        let rest: u64 = format!("{rest:0<9}").parse().map_err(|_| refuse())?;
        let nanos = whole
            .checked_mul(NANOS)
            .and_then(|n| n.checked_add(rest))
            .ok_or_else(refuse)?;
        Ok(Self { nanos })
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Usd;

    #[test]
    fn amounts_round_trip_and_prices_round_up() {
        for text in ["0", "1", "0.4", "12.000000001"] {
            assert_eq!(text.parse::<Usd>().unwrap().to_string(), text);
        }
        for text in [
            "",
            ".",
            "1.",
            "-1",
            "1e3",
            "0.0000000001",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Usd>().is_err(), "{text}");
        }
        let price: Usd = "0.4".parse().unwrap();
        assert_eq!(price.per_million(1).nanos(), 400);
        assert_eq!(Usd::from_nanos(1).per_million(1).nanos(), 1);
    }

    #[test]
    fn a_difference_ends_at_nothing() {
        let (less, more) = (Usd::from_nanos(2), Usd::from_nanos(5));
        assert_eq!(more.minus(less), Usd::from_nanos(3));
        assert_eq!(less.minus(more), Usd::ZERO);
    }
}
