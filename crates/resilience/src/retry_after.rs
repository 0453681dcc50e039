//! When the other side says to come back, in the forms that servers of models use.

use mainstay_contract::Timestamp;
use std::time::{Duration, UNIX_EPOCH};

/// The longest wait that is believed; a longer one is reported as this.
const WAIT_MAX: Duration = Duration::from_hours(24 * 365);

const SECOND_NANOS: u128 = 1_000_000_000;

/// What an answer's headers ask for: `retry-after-ms` (Azure, OpenAI) before `retry-after`, which
/// holds seconds, whole (RFC 9110, section 10.2.3) or with decimals, or a date. A date in the past
/// means now; what cannot be read counts as absent, and of several the longest counts. Never more
/// than a year. `header` is asked for all values of a lower-case name.
#[must_use]
pub fn retry_after<'headers, Values>(
    header: impl Fn(&'static str) -> Values,
    now: Timestamp,
) -> Option<Duration>
where
    Values: Iterator<Item = &'headers str>,
{
    let in_ms = header("retry-after-ms");
    let in_ms = in_ms.filter_map(|ms| decimal(ms.trim(), SECOND_NANOS / 1_000));
    let waits = header("retry-after").filter_map(|value| seconds_or_date(value.trim(), now));
    in_ms.max().or_else(|| waits.max())
}

fn seconds_or_date(value: &str, now: Timestamp) -> Option<Duration> {
    decimal(value, SECOND_NANOS).or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        let now = UNIX_EPOCH.checked_add(Duration::from_millis(now.0))?;
        Some(date.duration_since(now).unwrap_or_default().min(WAIT_MAX))
    })
}

/// Reads a duration as in OpenAI's `x-ratelimit-reset-requests` and `x-ratelimit-reset-tokens`:
/// numbers with units, such as `6m0s`, `1h2m3.5s` or `20ms`. A lone number means seconds. Never
/// more than a year.
#[must_use]
pub fn reset_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Some(seconds) = decimal(rest, SECOND_NANOS) {
        return Some(seconds);
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c))?);
        let end = after.find(is_number).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        sum = sum.saturating_add(decimal(number, unit_nanos(unit)?)?);
        rest = after;
    }
    (!text.trim().is_empty()).then(|| sum.min(WAIT_MAX))
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "d" => 24 * 3_600 * SECOND_NANOS,
        "h" => 3_600 * SECOND_NANOS,
        "m" => 60 * SECOND_NANOS,
        "s" => SECOND_NANOS,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1_000,
        "ns" => 1,
        _ => return None,
    })
}

/// A decimal number of units. Nanoseconds that a fraction does not fill are dropped.
fn decimal(text: &str, unit_nanos: u128) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits = |part: &str| {
        part.bytes().fold(0u128, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(u128::from(digit - b'0'))
        })
    };
    // Eighteen decimals of a day still fit, and no unit has more nanoseconds than that.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let power = fraction.bytes().fold(1u128, |power, _| power * 10);
    let nanos = digits(whole)
        .saturating_mul(unit_nanos)
        .saturating_add(digits(fraction) * unit_nanos / power);
    let wait = u64::try_from(nanos).map_or(WAIT_MAX, Duration::from_nanos);
    Some(wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(headers: &[(&str, &str)]) -> Option<u128> {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        let now = now.duration_since(UNIX_EPOCH).unwrap();
        let find = |name: &'static str| {
            let named = headers.iter().filter(move |(known, _)| *known == name);
            named.map(|(_, value)| *value)
        };
        let wait = retry_after(find, Timestamp::default().after(now));
        wait.map(|wait| wait.as_millis())
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(parse(&[("retry-after", "2")]), Some(2_000));
        assert_eq!(parse(&[("retry-after", " 1.5 ")]), Some(1_500));
        assert_eq!(parse(&[("retry-after", ".25")]), Some(250));
        let both = [("retry-after-ms", "137.9"), ("retry-after", "9")];
        assert_eq!(parse(&both), Some(137));
        let twice = [
            ("retry-after", "1"),
            ("retry-after", "3"),
            ("retry-after", "soon"),
            ("retry-after", "2"),
        ];
        assert_eq!(parse(&twice), Some(3_000));
        let unread = [("retry-after-ms", "soon"), ("retry-after", "9")];
        assert_eq!(parse(&unread), Some(9_000));
        let future = [("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")];
        assert_eq!(parse(&future), Some(30_000));
        let past = [("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")];
        assert_eq!(parse(&past), Some(0));
    }

    #[test]
    fn nonsense_is_no_advice_and_the_absurd_is_bounded() {
        for nonsense in [
            "", ".", "-1", "+1", "NaN", "inf", "soon", "1 s", "1e3", "1.2.3", "١",
        ] {
            assert_eq!(parse(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(parse(&[]), None);
        let most = Some(WAIT_MAX.as_millis());
        assert_eq!(parse(&[("retry-after", &"9".repeat(300))]), most);
        let far = [("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")];
        assert_eq!(parse(&far), most);
    }

    #[test]
    fn resets_are_read_with_their_units() {
        let read = |text| reset_duration(text).map(|wait| wait.as_micros());
        assert_eq!(read("6m0s"), Some(360_000_000));
        assert_eq!(read("1s"), Some(1_000_000));
        assert_eq!(read("20ms"), Some(20_000));
        assert_eq!(read("1h2m3.5s"), Some(3_723_500_000));
        assert_eq!(read("1d"), Some(86_400_000_000));
        assert_eq!(read("8.64s"), Some(8_640_000));
        assert_eq!(read("7.66µs"), Some(7));
        assert_eq!(read(" 12 "), Some(12_000_000));
        for nonsense in ["", "s", "1x", "1m2", "-1s", "1 s", "..s", "1..5s"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
        assert_eq!(reset_duration("999999999999d"), Some(WAIT_MAX));
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_readers(text in "[0-9a-zµ. :,+-]{0,40}|\\PC{0,20}") {
            let waits = [reset_duration(&text), retry_after(|_| std::iter::once(&*text), Timestamp(u64::MAX))];
            prop_assert!(waits.into_iter().flatten().all(|wait| wait <= WAIT_MAX));
        }

        #[test]
        fn what_is_written_is_read(hours in 0..99u64, minutes in 0..60u64, ms in 0..60_000u64) {
            let text = format!("{hours}h{minutes}m{}.{:03}s", ms / 1_000, ms % 1_000);
            let wait = Duration::from_millis((hours * 60 + minutes) * 60_000 + ms);
            prop_assert_eq!(reset_duration(&text), Some(wait));
        }
    }
}
