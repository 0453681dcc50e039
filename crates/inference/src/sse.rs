//! Server-sent events (WHATWG HTML, section 9.2), read from bytes as they arrive.

/// One event. Comments, ids and retry times are not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sse<'a> {
    /// What `event` says; empty where nothing does.
    pub name: &'a str,
    /// The lines of `data`, joined.
    pub data: &'a str,
}
