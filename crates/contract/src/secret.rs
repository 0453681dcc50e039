//! Values that must never be shown.

use std::fmt;

/// A secret in memory. It prints as `[secret]` and has no serialised form.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What stands where a secret stood.
pub const REDACTED: &str = "[secret]";

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text with every occurrence of the secret replaced, also as JSON and as URLs write it.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let json = serde_json::Value::from(self.0.as_str()).to_string();
        let forms = [self.0.as_str(), json.trim_matches('"'), &percent(&self.0)];
        let replace = |text: String, form: &&str| text.replace(form, REDACTED);
        forms.iter().fold(text.to_owned(), replace)
    }

    /// How much of a text's end, in bytes, may be the beginning of the secret: what to leave out where
    /// a text was cut.
    #[must_use]
    pub fn begun_at_end_of(&self, text: &str) -> usize {
        let ends = self.0.char_indices().map(|(at, _)| at).skip(1);
        let begun = |at: &usize| text.ends_with(&self.0[..*at]);
        ends.filter(begun).last().unwrap_or(0)
    }
}

fn percent(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match is_plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_secret_is_left() {
        let secret = Secret::new("p\"w/d ä");
        for text in ["x p\"w/d ä y", "x p\\\"w/d ä y", "x p%22w%2Fd%20%C3%A4 y"] {
            assert_eq!(secret.redact(text), "x [secret] y");
        }
        assert_eq!(format!("{secret:?}"), REDACTED);
        assert_eq!(Secret::new("").redact("as it is"), "as it is");
    }

    #[test]
    fn the_beginning_of_a_secret_is_seen_at_the_end() {
        let secret = Secret::new("äbcb");
        for (text, begun) in [
            ("x", 0),
            ("xä", 2),
            ("xäb", 3),
            ("xäbc", 4),
            ("b", 0),
            ("", 0),
        ] {
            assert_eq!(secret.begun_at_end_of(text), begun, "{text}");
        }
    }
}
