//! Finds the blobs that content names: runs of 64 hexadecimal digits, wherever they stand. Content is
//! opaque here, so whatever may be a name is taken for one: too much is kept rather than too little.

use mainstay_contract::Digest;
use std::collections::HashSet;
use std::io::{self, Write};

const DIGITS: usize = 64;

/// A place to write content to. Only names of `known` blobs are noted, each once.
pub(crate) struct Names<'a> {
    pub(crate) known: &'a HashSet<Digest>,
    /// All that were named so far.
    pub(crate) named: HashSet<Digest>,
    /// Those of them whose own content was not looked at yet.
    pub(crate) todo: Vec<Digest>,
    /// The digits read last: the first and the last 64 of them are always there.
    run: Vec<u8>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(known: &'a HashSet<Digest>) -> Self {
        Self {
            known,
            named: HashSet::new(),
            todo: Vec::new(),
            run: Vec::with_capacity(3 * DIGITS),
        }
    }

    /// Looks at one text.
    pub(crate) fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.byte(byte));
        self.end();
    }

    /// The content that was being written is complete.
    pub(crate) fn end(&mut self) {
        if self.run.len() >= DIGITS {
            // An escape such as `\u000b` may end in digits just before a name.
            let run = std::mem::take(&mut self.run);
            self.note(&run[..DIGITS]);
            self.note(&run[run.len() - DIGITS..]);
            self.run = run;
        }
        self.run.clear();
    }

    fn byte(&mut self, byte: u8) {
        if !byte.is_ascii_hexdigit() {
            if !self.run.is_empty() {
                self.end();
            }
            return;
        }
        if self.run.len() == 3 * DIGITS {
            self.run.drain(DIGITS..2 * DIGITS);
        }
        self.run.push(byte);
    }

    fn note(&mut self, digits: &[u8]) {
        let text = std::str::from_utf8(digits).unwrap_or_default();
        if let Ok(digest) = text.parse::<Digest>()
            && self.known.contains(&digest)
            && self.named.insert(digest)
        {
            self.todo.push(digest);
        }
    }
}

impl Write for Names<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bytes.iter().for_each(|byte| self.byte(*byte));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, known: &[Digest]) -> Vec<Digest> {
        let known = known.iter().copied().collect();
        let mut names = Names::new(&known);
        // In pieces, as a stream comes.
        for piece in text.as_bytes().chunks(7) {
            names.write_all(piece).unwrap();
        }
        names.end();
        names.todo
    }

    #[test]
    fn a_name_is_found_wherever_it_stands() {
        let a = mainstay_sessions::digest(b"a");
        let b = mainstay_sessions::digest(b"b");
        for text in [
            format!("{{\"digest\":\"{a}\"}}"),
            format!("[all of it is stored as {a}]"),
            format!("{a}"),
            format!("\\f{a}"),
            format!("\\u000b{a}"),
            format!("{a}abc"),
            format!("{}{a}", "0".repeat(1000)),
        ] {
            assert_eq!(found(&text, &[a, b]), [a], "{text}");
        }
        assert_eq!(found(&format!("{a} {b} {a}"), &[a, b]), [a, b]);
        assert_eq!(found(&format!("{a}"), &[b]), []);
        assert_eq!(found(&a.to_string()[1..], &[a]), []);
    }
}
