//! As much of HTTP/1.1 as both ends of the measurement need: heads, and bodies by length or in chunks.

use std::io;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The head of a request or a response.
pub(crate) struct Head {
    /// Its bytes, with the empty line.
    pub(crate) length: usize,
    /// The status, of a response.
    pub(crate) status: u16,
    /// The bytes of the body, where it says so.
    pub(crate) content_length: Option<usize>,
    /// Whether the body comes in chunks.
    pub(crate) is_chunked: bool,
}

pub(crate) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut at = 0;
    while let Some(skipped) = text.get(at..)?.iter().position(|byte| byte == first) {
        at += skipped;
        if text[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Reads on; an end is an error.
pub(crate) async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Reads until a head is whole at the beginning of the buffer.
pub(crate) async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Head> {
    loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            return Ok(read_head(&buffer[..end + 4]));
        }
        more(stream, buffer).await?;
    }
}

fn read_head(bytes: &[u8]) -> Head {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.next().unwrap_or_default();
    let status = first.split(|byte| *byte == b' ').nth(1);
    let mut head = Head {
        length: bytes.len(),
        status: status.and_then(number).unwrap_or(0),
        content_length: None,
        is_chunked: false,
    };
    for line in lines {
        if let Some(value) = value(line, b"content-length:") {
            head.content_length = number(value);
        } else if let Some(value) = value(line, b"transfer-encoding:") {
            head.is_chunked = value.eq_ignore_ascii_case(b"chunked");
        }
    }
    head
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// Reads until the body behind a head is whole; answers where it ends in the buffer.
pub(crate) async fn body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: &Head,
) -> io::Result<usize> {
    loop {
        let whole = match head.is_chunked {
            true => find(&buffer[head.length..], b"0\r\n\r\n").map(|at| head.length + at + 5),
            false => Some(head.length + head.content_length.unwrap_or(0)),
        };
        if let Some(end) = whole.filter(|end| *end <= buffer.len()) {
            return Ok(end);
        }
        more(stream, buffer).await?;
    }
}
