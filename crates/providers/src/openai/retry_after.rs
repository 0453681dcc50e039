//! When the provider says to come back: `retry-after-ms`, `retry-after` in seconds or as a date.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// The longest wait that is believed; a longer one is reported as this.
const WAIT_MAX: Duration = Duration::from_hours(24 * 365);

/// What the headers ask for. A date in the past means now; what cannot be read counts as absent.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(wait) = text("retry-after-ms").and_then(|ms| seconds(ms, 0.001)) {
        return Some(wait);
    }
    let value = text(RETRY_AFTER.as_str())?;
    seconds(value, 1.0).or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(now).unwrap_or_default().min(WAIT_MAX))
    })
}

fn seconds(text: &str, unit: f64) -> Option<Duration> {
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let number: f64 = text.parse().ok().filter(|_| is_number)?;
    Some(
        Duration::try_from_secs_f64(number * unit)
            .unwrap_or(WAIT_MAX)
            .min(WAIT_MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn parse(headers: &[(&'static str, &str)]) -> Option<u128> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            map.insert(HeaderName::from_static(name), value);
        }
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        retry_after(&map, now).map(|wait| wait.as_millis())
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(parse(&[("retry-after", "2")]), Some(2000));
        assert_eq!(parse(&[("retry-after", "0.25")]), Some(250));
        assert_eq!(
            parse(&[("retry-after-ms", "137"), ("retry-after", "9")]),
            Some(137)
        );
        assert_eq!(
            parse(&[("retry-after-ms", "soon"), ("retry-after", "9")]),
            Some(9000)
        );
        let future = [("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")];
        assert_eq!(parse(&future), Some(30_000));
        let past = [("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")];
        assert_eq!(parse(&past), Some(0));
    }

    #[test]
    fn nonsense_is_no_advice_and_the_absurd_is_bounded() {
        for nonsense in ["", "-1", "NaN", "inf", "soon", "1 s"] {
            assert_eq!(parse(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(
            parse(&[("retry-after", "1e300")]),
            Some(WAIT_MAX.as_millis())
        );
        assert_eq!(parse(&[]), None);
    }
}
