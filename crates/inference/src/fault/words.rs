//! What a provider says, made fit for an error: no secret, no markup, no control character, not long.

use mainstay_contract::Secret;

/// The most characters of a provider's words that an error repeats.
const CHARACTERS_MAX: usize = 500;

/// Knows the secrets that must not come back.
#[derive(Debug)]
pub struct Cleaner {
    secrets: Vec<Secret>,
}

impl Cleaner {
    /// For these secrets.
    #[must_use]
    pub fn new(mut secrets: Vec<Secret>) -> Self {
        // The longest first: a secret may be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { secrets }
    }

    /// Words fit for an error: one line of at most 500 characters.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let visible: String = text
            .chars()
            .filter(|letter| !is_invisible(*letter))
            .collect();
        let redacted = self.redact(&visible);
        let plain = if is_markup(&redacted) {
            without_markup(&redacted)
        } else {
            redacted
        };
        let words: Vec<&str> = plain
            .split(|letter: char| letter.is_control() || letter.is_whitespace())
            .filter(|word| !word.is_empty())
            .collect();
        // Again: what stood between the parts of a secret may just have been removed.
        let joined = self.redact(&words.join(" "));
        match joined.char_indices().nth(CHARACTERS_MAX) {
            Some((end, _)) => format!("{}…", &joined[..end]),
            None => joined,
        }
    }

    /// The same for bytes whose end was cut off: the start of a secret may stand there.
    #[must_use]
    pub fn clean_cut(&self, bytes: &[u8], is_cut: bool) -> String {
        let text = String::from_utf8_lossy(bytes);
        let text = self.redact(&text);
        let longest = self
            .secrets
            .first()
            .map_or(0, |secret| secret.expose().len());
        let mut end = if is_cut {
            text.len().saturating_sub(longest)
        } else {
            text.len()
        };
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.clean(&text[..end])
    }

    fn redact(&self, text: &str) -> String {
        let redact = |text: String, secret: &Secret| secret.redact(&text);
        self.secrets.iter().fold(text.to_owned(), redact)
    }
}

/// Characters without a width, and those that turn the direction of writing.
const fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn is_markup(text: &str) -> bool {
    let start: String = text
        .chars()
        .take(1000)
        .collect::<String>()
        .to_ascii_lowercase();
    start.trim_start().starts_with('<') || start.contains("<html") || start.contains("<body")
}

/// The text between tags, without scripts and styles.
fn without_markup(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        plain.push_str(&rest[..start]);
        plain.push(' ');
        let tag = &rest[start..];
        let name: String = tag[1..]
            .chars()
            .take(6)
            .collect::<String>()
            .to_ascii_lowercase();
        let end = if name.starts_with("script") {
            "</script"
        } else if name.starts_with("style") {
            "</style"
        } else {
            ""
        };
        let inner = if end.is_empty() {
            Some(0)
        } else {
            tag.to_ascii_lowercase()[1..].find(end).map(|at| at + 1)
        };
        rest = inner
            .and_then(|inner| Some(inner + tag[inner..].find('>')? + 1))
            .map_or("", |end| &tag[end..]);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_words() {
        let page = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title><STYLE>a{}</STYLE><script>evil('<b>')</script></head><body>\n<h1>502</h1>nginx</body>";
        assert_eq!(
            Cleaner::new(vec![]).clean(page),
            "502 Bad Gateway 502 nginx"
        );
        assert_eq!(
            Cleaner::new(vec![]).clean("a < b\u{1b}[31m\u{202e}"),
            "a < b [31m"
        );
    }

    #[test]
    fn secrets_do_not_come_back_in_any_piece() {
        let cleaner = Cleaner::new(vec![Secret::new("sk-12"), Secret::new("sk-1234567890")]);
        let shown = cleaner.clean("key sk-1234567890 and <b>sk-12");
        assert_eq!(shown, "key [secret] and <b>[secret]");
        assert!(!cleaner.clean("sk-12345\u{200b}67890").contains("67890"));
        assert!(
            !cleaner
                .clean_cut(b"<p>was sk-123456", true)
                .contains("3456")
        );
        assert_eq!(cleaner.clean(&"é".repeat(600)).chars().count(), 501);
    }
}
