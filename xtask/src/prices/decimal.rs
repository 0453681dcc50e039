//! Decimal texts, moved by six places without a rounding.

use serde_json::Value;

/// A price of one token as the price of a million, in the shortest decimal.
pub(super) fn per_million(value: &Value) -> Result<String, String> {
    let number = value
        .as_f64()
        .ok_or_else(|| format!("{value}: no number"))?;
    // The shortest text that reads as this number is what the source wrote, without its exponent.
    let text = format!("{number}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let digits = whole.chars().chain(rest.chars());
    if number < 0.0 || !digits.clone().all(|c| c.is_ascii_digit()) {
        return Err(format!("{text}: no price"));
    }
    let (moved, kept) = rest.split_at(rest.len().min(6));
    let whole = format!("{whole}{moved:0<6}");
    let whole = whole.trim_start_matches('0');
    let kept = kept.trim_end_matches('0');
    if kept.len() > 9 {
        return Err(format!("{text}: finer than a nano-dollar for a million"));
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    Ok(if kept.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{kept}")
    })
}

/// For comparisons: the amount in nano-dollars.
pub(super) fn nanos(text: &str) -> u128 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{rest:0<9}").parse().unwrap_or_default()
}
