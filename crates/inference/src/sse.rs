//! Server-sent events (WHATWG HTML, section 9.2), read from bytes as they arrive.
//!
//! Every event comes with the bytes that it was, so that a stream can be handed on unchanged.

/// One event. Comments, ids and retry times are not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sse<'a> {
    /// What `event` says; empty where nothing does.
    pub name: &'a str,
    /// The lines of `data`, joined.
    pub data: &'a str,
}

/// A piece of a stream up to a blank line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its event; absent where it holds comments alone.
    pub sse: Option<Sse<'a>>,
    /// Its bytes, the blank line included.
    pub raw: &'a [u8],
}

/// Why bytes are no event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is larger than accepted.
    #[error("an event is larger than accepted")]
    TooLarge,
    /// An event is not UTF-8.
    #[error("an event is not UTF-8")]
    NotUtf8,
}

/// Takes bytes in, gives frames out.
#[derive(Debug)]
pub struct SseReader {
    bytes: Vec<u8>,
    /// Where the frame that is being read begins.
    start: usize,
    /// How far it was looked through: the beginning of a line.
    line: usize,
    /// Whether a line feed that comes next belongs to a line that ended already.
    skips_line_feed: bool,
    is_beginning: bool,
    frame_bytes_max: usize,
    joined: String,
}

/// Where the line that begins at `from` ends, and where the next one begins.
fn line_end(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let at = from
        + bytes
            .get(from..)?
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))?;
    let is_pair = bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n');
    Some((at, at + 1 + usize::from(is_pair)))
}

impl SseReader {
    /// A reader that refuses frames of more than so many bytes.
    #[must_use]
    pub const fn new(frame_bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            line: 0,
            skips_line_feed: false,
            is_beginning: true,
            frame_bytes_max,
            joined: String::new(),
        }
    }

    /// Takes bytes in.
    pub fn push(&mut self, piece: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.line -= self.start;
            self.start = 0;
        }
        let mut piece = piece;
        if self.skips_line_feed && !piece.is_empty() {
            self.skips_line_feed = false;
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        self.bytes.extend_from_slice(piece);
    }

    /// The next whole frame, where one is there.
    ///
    /// # Errors
    /// [`SseError`]; nothing can be read after it.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SseError> {
        loop {
            let Some((end, next)) = line_end(&self.bytes, self.line) else {
                if self.bytes.len() - self.start > self.frame_bytes_max {
                    return Err(SseError::TooLarge);
                }
                return Ok(None);
            };
            let is_blank = end == self.line;
            self.line = next;
            if next == self.bytes.len() && self.bytes[end] == b'\r' {
                self.skips_line_feed = true;
            }
            if !is_blank {
                continue;
            }
            let (start, end) = (std::mem::replace(&mut self.start, next), next);
            if end - start > self.frame_bytes_max {
                return Err(SseError::TooLarge);
            }
            return self.frame(start, end).map(Some);
        }
    }

    /// The data of an event that the end of the stream left without its blank line. What stands there
    /// may be cut: only a caller who knows the exact text may believe it.
    #[must_use]
    pub fn unfinished(mut self) -> Option<String> {
        self.bytes.push(b'\n');
        let (start, end) = (self.start, self.bytes.len());
        let frame = self.frame(start, end).ok()?;
        frame.sse.map(|sse| sse.data.to_owned())
    }

    fn frame(&mut self, start: usize, end: usize) -> Result<Frame<'_>, SseError> {
        let mut text_start = start;
        if std::mem::take(&mut self.is_beginning)
            && self.bytes[start..].starts_with(b"\xEF\xBB\xBF")
        {
            text_start += 3;
        }
        let text =
            std::str::from_utf8(&self.bytes[text_start..end]).map_err(|_| SseError::NotUtf8)?;
        let (mut name, mut first, mut lines) = ("", "", 0usize);
        self.joined.clear();
        let mut at = 0;
        while let Some((line_stop, next)) = line_end(text.as_bytes(), at) {
            let line = &text[at..line_stop];
            at = next;
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    if lines == 0 {
                        first = value;
                    } else {
                        if lines == 1 {
                            self.joined.push_str(first);
                        }
                        self.joined.push('\n');
                        self.joined.push_str(value);
                    }
                    lines += 1;
                }
                "event" => name = value,
                _ => {}
            }
        }
        let data = if lines > 1 {
            self.joined.as_str()
        } else {
            first
        };
        Ok(Frame {
            sse: (lines > 0).then_some(Sse { name, data }),
            raw: &self.bytes[start..end],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = Result<Vec<(String, String)>, SseError>;

    fn read(pieces: &[&[u8]]) -> Read {
        let mut reader = SseReader::new(1 << 20);
        let mut events = Vec::new();
        for piece in pieces {
            reader.push(piece);
            while let Some(frame) = reader.next_frame()? {
                events.extend(
                    frame
                        .sse
                        .map(|sse| (sse.name.to_owned(), sse.data.to_owned())),
                );
            }
        }
        Ok(events)
    }

    #[test]
    fn every_line_end_comments_names_and_many_lines_of_data() {
        let stream = "\u{feff}data: a\r\n\r\n: keepalive\n\ndata:b\ndata\ndata:  c\n\nevent: x\nid: 1\rdata: é\r\rdata: cut";
        let events = read(&[stream.as_bytes()]).unwrap();
        let told: Vec<_> = events
            .iter()
            .map(|(name, data)| (name.as_str(), data.as_str()))
            .collect();
        assert_eq!(told, [("", "a"), ("", "b\n\n c"), ("x", "é")]);
    }

    #[test]
    fn frames_are_bounded_and_text() {
        let mut reader = SseReader::new(8);
        reader.push(b"data: 12345");
        assert_eq!(reader.next_frame(), Err(SseError::TooLarge));
        assert_eq!(read(&[b"data: \xff\n\n"]), Err(SseError::NotUtf8));
    }

    #[test]
    fn what_is_left_at_the_end_is_told_apart() {
        let mut reader = SseReader::new(100);
        reader.push(b"data: a\n\ndata: [DONE]");
        assert!(reader.next_frame().unwrap().is_some());
        assert!(reader.next_frame().unwrap().is_none());
        assert_eq!(reader.unfinished().as_deref(), Some("[DONE]"));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "(data: [a-zé]{0,5}|event: x|:c|)(\r\n|\n|\r)|.{0,3}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6), times in 1usize..8) {
            let text = text.repeat(times);
            let bytes = text.as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for place in places {
                pieces.push(&bytes[from..place]);
                from = place;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(read(&pieces), read(&[bytes]));
        }

        #[test]
        fn raw_frames_are_the_stream(pieces in prop::collection::vec("(data: [a-z]{0,5}\n)|\n|:c\n", 0..12)) {
            let mut reader = SseReader::new(1 << 20);
            let mut raw = Vec::new();
            for piece in &pieces {
                reader.push(piece.as_bytes());
                while let Some(frame) = reader.next_frame().unwrap() {
                    raw.extend_from_slice(frame.raw);
                }
            }
            let whole = pieces.concat();
            prop_assert!(whole.as_bytes().starts_with(&raw));
        }
    }
}
