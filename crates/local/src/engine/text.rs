//! From the bytes of tokens to pieces of text: whole characters only, and nothing that may still turn out to be
//! a stop word.

/// Puts an answer's text together.
#[derive(Debug, Default)]
pub(super) struct Text {
    stops: Vec<String>,
    /// The beginning of a character whose end has not come yet.
    partial: Vec<u8>,
    /// Whole characters that may begin a stop word.
    held: String,
}

/// What can be told after some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The answer goes on after this.
    More(String),
    /// A stop word follows this.
    Stopped(String),
}

impl Text {
    pub(super) fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.to_vec(),
            ..Self::default()
        }
    }

    /// Takes the bytes of a token.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Piece {
        self.partial.extend_from_slice(bytes);
        self.take_whole_characters();
        let found = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()));
        if let Some(at) = found.min() {
            self.held.truncate(at);
            return Piece::Stopped(std::mem::take(&mut self.held));
        }
        let kept = self.possible_stop();
        let rest = self.held.split_off(self.held.len() - kept);
        Piece::More(std::mem::replace(&mut self.held, rest))
    }

    /// What is left at the end of an answer. A character that never became whole is replaced.
    pub(super) fn finish(mut self) -> String {
        if !self.partial.is_empty() {
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        self.held
    }

    fn take_whole_characters(&mut self) {
        loop {
            match std::str::from_utf8(&self.partial) {
                Ok(text) => {
                    self.held.push_str(text);
                    self.partial.clear();
                    return;
                }
                Err(error) => {
                    let (whole, rest) = self.partial.split_at(error.valid_up_to());
                    self.held.push_str(&String::from_utf8_lossy(whole));
                    let Some(wrong) = error.error_len() else {
                        self.partial = rest.to_vec();
                        return;
                    };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    self.partial = rest[wrong..].to_vec();
                }
            }
        }
    }

    /// How many bytes at the end may begin a stop word.
    fn possible_stop(&self) -> usize {
        let begins = |stop: &String| {
            let longest = self.held.len().min(stop.len().saturating_sub(1));
            (1..=longest)
                .rev()
                .find(|length| self.held.as_bytes().ends_with(&stop.as_bytes()[..*length]))
        };
        self.stops.iter().filter_map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(stops: &[&str], pieces: &[&[u8]]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut text = Text::new(&stops);
        let mut all = String::new();
        for piece in pieces {
            match text.push(piece) {
                Piece::More(more) => all.push_str(&more),
                Piece::Stopped(last) => return (all + &last, true),
            }
        }
        (all + &text.finish(), false)
    }

    #[test]
    fn a_stop_word_over_several_tokens_never_leaks() {
        assert_eq!(
            told(&["STOP"], &[b"a S", b"TO", b"P b"]),
            ("a ".to_owned(), true)
        );
        assert_eq!(
            told(&["STOP"], &[b"a S", b"TO", b"Y"]),
            ("a STOY".to_owned(), false)
        );
        assert_eq!(
            told(&["aab"], &[b"a", b"a", b"a", b"b"]),
            ("a".to_owned(), true)
        );
        assert_eq!(told(&["x", "abc"], &[b"ab", b"x"]), ("ab".to_owned(), true));
        assert_eq!(
            told(&["é!"], &[b"\xc3", b"\xa9", b"?"]),
            ("é?".to_owned(), false)
        );
    }

    #[test]
    fn characters_come_whole() {
        let mut text = Text::new(&[]);
        assert_eq!(text.push(b"\xf0\x9f"), Piece::More(String::new()));
        assert_eq!(text.push(b"\x98\x80!"), Piece::More("😀!".to_owned()));
        assert_eq!(
            told(&[], &[b"a\xff", b"b\xe2\x82"]),
            ("a\u{fffd}b\u{fffd}".to_owned(), false)
        );
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_text_before_the_first_stop_word_is_told(
            text in "[abé😀]{0,30}", stop in "[abé]{1,3}", cuts in prop::collection::vec(1..4_usize, 0..60),
        ) {
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            pieces.push(rest);
            let (all, stopped) = told(&[&stop], &pieces);
            let expected = text.split(stop.as_str()).next().unwrap_or_default();
            prop_assert_eq!(stopped, text.contains(&stop));
            prop_assert_eq!(all, expected);
        }
    }
}
