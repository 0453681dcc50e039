//! Server-sent events out of bytes that arrive in any pieces (WHATWG HTML, section 9.2.6).

/// Takes bytes in, gives the data of whole events out.
#[derive(Debug)]
pub(super) struct SseParser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    is_first_line: bool,
    after_carriage_return: bool,
    event_bytes_max: usize,
}

/// Why the bytes are no event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SseError {
    /// One event is larger than accepted.
    TooLarge,
    /// An event is not UTF-8.
    NotUtf8,
}

impl SseParser {
    pub(super) const fn new(event_bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            is_first_line: true,
            after_carriage_return: false,
            event_bytes_max,
        }
    }

    /// Reads a piece; whole events are appended to `events`.
    pub(super) fn push(&mut self, piece: &[u8], events: &mut Vec<String>) -> Result<(), SseError> {
        for &byte in piece {
            let ends_carriage_return = std::mem::take(&mut self.after_carriage_return);
            match byte {
                b'\n' if ends_carriage_return => {}
                b'\n' => self.end_line(events)?,
                b'\r' => {
                    self.after_carriage_return = true;
                    self.end_line(events)?;
                }
                _ => {
                    if self.line.len() + self.data.len() >= self.event_bytes_max {
                        return Err(SseError::TooLarge);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(())
    }

    /// The data of an event that the end of the stream left without its blank line. What stands there
    /// may be cut: only a caller who knows the exact text may believe it.
    pub(super) fn unfinished(mut self) -> Option<String> {
        self.take_line();
        String::from_utf8(std::mem::take(&mut self.data))
            .ok()
            .filter(|_| self.has_data)
    }

    fn end_line(&mut self, events: &mut Vec<String>) -> Result<(), SseError> {
        if !self.line.is_empty() {
            self.take_line();
            return Ok(());
        }
        self.is_first_line = false;
        if std::mem::take(&mut self.has_data) {
            let data = std::mem::take(&mut self.data);
            events.push(String::from_utf8(data).map_err(|_| SseError::NotUtf8)?);
        }
        Ok(())
    }

    fn take_line(&mut self) {
        let mut line = self.line.as_slice();
        if std::mem::take(&mut self.is_first_line) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        if field == b"data" {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(pieces: &[&[u8]]) -> Result<Vec<String>, SseError> {
        let mut parser = SseParser::new(1 << 20);
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece, &mut events)?;
        }
        Ok(events)
    }

    #[test]
    fn reads_every_line_end_comments_and_many_lines_of_data() {
        let stream = "\u{feff}data: a\r\n\r\n: keepalive\n\ndata:b\ndata\ndata:  c\n\nevent: x\nid: 1\rdata: é\r\rdata: cut";
        let events = parse(&[stream.as_bytes()]).unwrap();
        assert_eq!(events, ["a", "b\n\n c", "é"]);
    }

    #[test]
    fn an_endless_event_and_broken_text_are_refused() {
        let mut parser = SseParser::new(100);
        let endless = parser.push(&[b'x'; 101], &mut Vec::new());
        assert_eq!(endless, Err(SseError::TooLarge));
        assert_eq!(parse(&[b"data: \xff\n\n"]), Err(SseError::NotUtf8));
    }

    #[test]
    fn what_the_end_left_open_is_kept_apart() {
        let mut parser = SseParser::new(100);
        parser.push(b"data: [DONE]", &mut Vec::new()).unwrap();
        assert_eq!(parser.unfinished().as_deref(), Some("[DONE]"));
        assert_eq!(SseParser::new(100).unfinished(), None);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            lines in proptest::collection::vec("(data|event|id|:|d)?(: ?)?[a-zé漢🦀 :]{0,12}(\n|\r|\r\n|\n\n|\r\n\r\n)", 0..20),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream = lines.concat().into_bytes();
            let whole = parse(&[&stream]);
            let single: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(&parse(&single), &whole);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&pieces), whole);
        }
    }
}
