//! Cutting text into words, as the vocabularies of models were trained.
//!
//! The published patterns end in "white space not followed by anything else", which needs to look ahead. Here a run of
//! white space is matched whole, and gives its last character back where something follows.

use regex::Regex;

/// GPT-2's words. Its `\s+(?!\S)|\s+` is the last alternative here.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";

/// Llama 3's words: digits in threes, and line ends apart.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";

/// Qwen 2's words: as Llama 3's, and digits one by one.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";

#[derive(Debug)]
pub(super) struct Splitter {
    words: Regex,
    /// Whether digits are cut out one by one before everything else.
    digits_apart: bool,
    /// Whether line ends end a run of white space.
    lines_apart: bool,
}

impl Splitter {
    /// The splitter of this name in the format; none where it is not known.
    pub(super) fn new(name: &str) -> Option<Self> {
        let (words, digits_apart, lines_apart) = match name {
            "smollm" | "refact" | "starcoder" | "command-r" => (GPT2, true, false),
            "gpt-2" | "gpt2" => (GPT2, false, false),
            "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe" => (LLAMA3, false, true),
            "qwen2" => (QWEN2, false, true),
            _ => return None,
        };
        Some(Self {
            words: Regex::new(words).ok()?,
            digits_apart,
            lines_apart,
        })
    }

    /// Tells the words of a text one after the other; together they are the text.
    pub(super) fn split(&self, text: &str, mut tell: impl FnMut(&str)) {
        if !self.digits_apart {
            return self.split_part(text, &mut tell);
        }
        let mut start = 0;
        for (at, digit) in text.match_indices(char::is_numeric) {
            self.split_part(&text[start..at], &mut tell);
            tell(digit);
            start = at + digit.len();
        }
        self.split_part(&text[start..], &mut tell);
    }

    fn split_part(&self, text: &str, tell: &mut impl FnMut(&str)) {
        let mut at = 0;
        while let Some(found) = self.words.find_at(text, at) {
            if found.start() > at {
                tell(&text[at..found.start()]);
            }
            let end = found.end() - self.given_back(found.as_str(), &text[found.end()..]);
            tell(&text[found.start()..end]);
            at = end;
        }
        if at < text.len() {
            tell(&text[at..]);
        }
    }

    /// How many bytes a run of white space gives back to the word that follows it.
    fn given_back(&self, word: &str, rest: &str) -> usize {
        let is_space = word.chars().all(char::is_whitespace);
        let ends_line = self.lines_apart && word.ends_with(['\r', '\n']);
        let Some((last, _)) = word.char_indices().next_back() else {
            return 0;
        };
        if is_space && !ends_line && last > 0 && !rest.is_empty() {
            word.len() - last
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(name: &str, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        Splitter::new(name)
            .unwrap()
            .split(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn words_are_cut_as_published() {
        let text = "I'll  pay 12345€\n\n now";
        let gpt2 = ["I", "'ll", " ", " pay", " 12345", "€", "\n\n", " now"];
        assert_eq!(words("gpt-2", text), gpt2);
        let smollm = [
            "I", "'ll", " ", " pay", " ", "1", "2", "3", "4", "5", "€", "\n\n", " now",
        ];
        assert_eq!(words("smollm", text), smollm);
        let llama = ["I", "'ll", " ", " pay", " ", "123", "45", "€\n\n", " now"];
        assert_eq!(words("llama-bpe", text), llama);
        assert_eq!(words("gpt-2", "a   "), ["a", "   "]);
        assert_eq!(words("gpt-2", "a\n b"), ["a", "\n", " b"]);
        assert_eq!(words("llama-bpe", "a \n b"), ["a", " \n", " b"]);
        assert!(Splitter::new("unheard-of").is_none());
    }

    proptest! {
        #[test]
        fn words_together_are_the_text(text in any::<String>(), spaced in "[ \n\ta1']{0,40}") {
            for name in ["smollm", "gpt-2", "llama-bpe", "qwen2"] {
                prop_assert_eq!(words(name, &text).concat(), text.clone());
                prop_assert_eq!(words(name, &spaced).concat(), spaced.clone());
                prop_assert!(words(name, &text).iter().all(|word| !word.is_empty()));
            }
        }
    }
}
