//! Numbers with a unit, as they stand on the command line.

use std::time::Duration;

/// Reads how long requests may take to end, such as `25s`.
pub(crate) fn read_drain(text: &str) -> Result<Duration, String> {
    let millis = quantity(text, "write it like 500ms, 25s or 2m", |unit| match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    });
    millis.map(Duration::from_millis)
}

/// Reads a size such as `512MiB`, in bytes.
pub(crate) fn read_size(text: &str) -> Result<u64, String> {
    quantity(text, "write it like 512MiB or 10GiB", |unit| match unit {
        "" | "B" => Some(1),
        "KiB" | "K" => Some(1 << 10),
        "MiB" | "M" => Some(1 << 20),
        "GiB" | "G" => Some(1 << 30),
        "TiB" | "T" => Some(1 << 40),
        _ => None,
    })
}

/// Reads an age such as `7d`, in seconds.
pub(crate) fn read_age(text: &str) -> Result<u64, String> {
    quantity(text, "write it like 12h or 30d", |unit| match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    })
}

/// Reads a number and its unit.
fn quantity(text: &str, hint: &str, unit: impl Fn(&str) -> Option<u64>) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
    let (number, word) = text.split_at(digits);
    let unit = unit(word).ok_or_else(|| hint.to_owned())?;
    let count: u64 = number.parse().map_err(|_| "that is no number".to_owned())?;
    let whole = count.checked_mul(unit);
    whole.ok_or_else(|| "that is too much".to_owned())
}
