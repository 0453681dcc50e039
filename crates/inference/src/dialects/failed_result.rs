//! Results of tools that failed, on wires without a word for it.

use std::borrow::Cow;

/// What a failed tool said, so that it reads as a failure.
pub(super) fn as_failure(text: Cow<'_, str>) -> Cow<'_, str> {
    const WORD: &str = "error";
    let said = text.trim_start();
    let begins = said.get(..WORD.len());
    if said.is_empty() {
        Cow::Borrowed("Error")
    } else if begins.is_some_and(|begins| begins.eq_ignore_ascii_case(WORD)) {
        text
    } else {
        Cow::Owned(format!("Error: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once() {
        for (said, told) in [
            ("disk full", "Error: disk full"),
            ("", "Error"),
            (" \n", "Error"),
            ("ERROR 5", "ERROR 5"),
            ("err\u{f6}r", "Error: err\u{f6}r"),
        ] {
            assert_eq!(as_failure(Cow::Borrowed(said)), told);
        }
    }
}
