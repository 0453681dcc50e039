//! What the `http` tool may request, in one spelling.
//!
//! Rules are matched against what is really sent: lower-case host, explicit port, and a path in which
//! nothing can climb or hide (no dot segments, no backslash, no encoded slash).

use crate::refusal::Refusal;
use crate::url::{Scheme, Url};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the headers only.
    Head,
    /// Asks what is possible.
    Options,
    /// Does something.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 7] = [
        Self::Get,
        Self::Head,
        Self::Options,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
    ];

    /// The method on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Reads a method, in upper case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    /// Whether it only reads (`GET`, `HEAD`).
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that may be requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowRule {
    /// The method.
    pub method: Method,
    /// The scheme.
    pub scheme: Scheme,
    /// The host: a lower-case name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path: `*` stands for anything in one segment, at the end for anything below; `**` for
    /// anything anywhere.
    pub path: String,
}

impl AllowRule {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let Some((method, url)) = text.split_once(' ') else {
            let methods = Method::ALL.map(Method::as_str).join(", ");
            return Err(format!("put the method before the URL: {methods}").into());
        };
        let Some(method) = Method::parse(method) else {
            let methods = Method::ALL.map(Method::as_str).join(", ");
            return Err(format!("the methods are {methods}, in upper case").into());
        };
        let url = Url::parse(url.trim_start())?;
        if url.rest.is_empty() {
            return Err("add a path: `/` for the root, `/**` for everything".into());
        }
        if url.rest.contains(['?', '#']) {
            return Err("leave query and fragment out; a rule allows every query".into());
        }
        if !is_plain_path(&url.rest) {
            return Err("leave `.`, `..`, backslashes and encoded slashes out of the path".into());
        }
        Ok(Self {
            method,
            scheme: url.scheme,
            host: url.host,
            port: url.port,
            path: url.rest,
        })
    }

    /// Whether a request is this thing. `host` is compared without regard to case; `path` is the path
    /// as it is sent, without query.
    #[must_use]
    pub fn is_match(
        &self,
        method: Method,
        scheme: Scheme,
        host: &str,
        port: u16,
        path: &str,
    ) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.method == method
            && self.scheme == scheme
            && self.port == port
            && self.host.eq_ignore_ascii_case(host)
            && is_plain_path(path)
            && glob(&self.path, path)
    }
}

impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method, host, path, ..
        } = self;
        let scheme = self.scheme.as_str();
        let (open, close) = if host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "{method} {scheme}://{open}{host}{close}")?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(path)
    }
}

/// Whether nothing in a path can climb or hide.
fn is_plain_path(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_dots = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    path.starts_with('/')
        && !path.contains(['\\', ' ', '\t', '\r', '\n'])
        && !lower.contains("%2f")
        && !lower.contains("%5c")
        && !lower.contains("%00")
        && !lower.split('/').any(is_dots)
}

/// Matches in time proportional to the product of both lengths, whatever the pattern.
fn glob(pattern: &str, path: &str) -> bool {
    enum Token {
        Byte(u8),
        Segment,
        Anything,
    }
    let mut tokens = Vec::new();
    let mut rest = pattern.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (token, after) = match (first, after) {
            (b'*', [b'*', after @ ..]) => (Token::Anything, after),
            (b'*', []) => (Token::Anything, after),
            (b'*', after) => (Token::Segment, after),
            (byte, after) => (Token::Byte(byte), after),
        };
        tokens.push(token);
        rest = after;
    }
    let path = path.as_bytes();
    // `reached[i]`: the tokens so far can match the first `i` bytes.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for token in tokens {
        let mut next = vec![false; path.len() + 1];
        for end in 0..=path.len() {
            let last = end.checked_sub(1);
            next[end] = match (&token, last) {
                (Token::Byte(_), None) => false,
                (Token::Byte(byte), Some(last)) => reached[last] && path[last] == *byte,
                (_, None) => reached[0],
                (Token::Segment, Some(last)) => reached[end] || (next[last] && path[last] != b'/'),
                (Token::Anything, Some(last)) => reached[end] || next[last],
            };
        }
        reached = next;
    }
    reached[path.len()]
}

/// HTTP statuses from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl StatusRange {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let status = |text: &str| {
            let is_digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            let number: u16 = text.parse().ok()?;
            (is_digits && (100..=599).contains(&number)).then_some(number)
        };
        let (first, last) = (status(first)?, status(last)?);
        (first <= last).then_some(Self { first, last })
    }

    /// Whether a status lies in it.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> AllowRule {
        let Ok(rule) = AllowRule::parse(text) else {
            panic!("{text}");
        };
        rule
    }

    #[test]
    fn rules_have_one_spelling_and_print_it() {
        for (text, printed) in [
            (
                "GET https://API.example/v1/**",
                "GET https://api.example/v1/**",
            ),
            ("POST http://[::1]:8080/x", "POST http://[::1]:8080/x"),
            ("GET https://a.example:443/", "GET https://a.example/"),
            ("DELETE HTTP://127.0.0.1/*", "DELETE http://127.0.0.1/*"),
        ] {
            assert_eq!(rule(text).to_string(), printed);
        }
    }

    #[test]
    fn unclear_rules_are_refused() {
        for text in [
            "https://a.example/",
            "get https://a.example/",
            "GET a.example/",
            "GET ftp://a.example/",
            "GET https://a.example",
            "GET https://*.example/",
            "GET https://user:pw@a.example/",
            "GET https://a.example:0/",
            "GET https://a.example:99999/",
            "GET https://a.example/?q=1",
            "GET https://a.example/x/../y",
            "GET https://a.example/%2e%2E/y",
            "GET https://127.1/",
            "GET https://0x7f000001/",
            "GET https://2130706433/",
            "GET https://-a.example/",
            "GET https:///x",
            "GET https://bücher.example/",
            "GET https://[::1/",
            "",
        ] {
            assert!(AllowRule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_match_by_segment_and_cannot_climb() {
        let is_match = |pattern: &str, path: &str| {
            rule(&format!("GET https://a.example{pattern}")).is_match(
                Method::Get,
                Scheme::Https,
                "A.example",
                443,
                path,
            )
        };
        for (pattern, path) in [
            ("/", "/"),
            ("/*", "/"),
            ("/*", "/x"),
            ("/*", "/x/y"),
            ("/a/*", "/a/b/c"),
            ("/a/*/c", "/a/b/c"),
            ("/**", "/"),
            ("/**", "/a/b"),
            ("/a/**/z", "/a/b/c/z"),
            ("/v*/x", "/v12/x"),
        ] {
            assert!(is_match(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/", "/x"),
            ("/a/*", "/ab"),
            ("/a/*/c", "/a/b/b/c"),
            ("/a/**", "/ab"),
            ("/a/**", "/b/a/c"),
            ("/a/**", "/a/../b"),
            ("/a/**", "/a/%2E%2e/b"),
            ("/a/*", "/a/x%2Fy"),
            ("/a/**", "/a\\..\\b"),
            ("/**", "relative"),
            ("/**", ""),
        ] {
            assert!(!is_match(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let pattern = "/".to_owned() + &"*a".repeat(500);
        let path = "/".to_owned() + &"a".repeat(2000) + "b";
        assert!(!glob(&pattern, &path));
    }

    #[test]
    fn method_scheme_host_and_port_count() {
        let rule = rule("POST https://a.example/x");
        assert!(rule.is_match(Method::Post, Scheme::Https, "a.example", 443, "/x"));
        assert!(!rule.is_match(Method::Put, Scheme::Https, "a.example", 443, "/x"));
        assert!(!rule.is_match(Method::Post, Scheme::Http, "a.example", 443, "/x"));
        assert!(!rule.is_match(Method::Post, Scheme::Https, "b.example", 443, "/x"));
        assert!(!rule.is_match(Method::Post, Scheme::Https, "a.example", 8443, "/x"));
    }

    #[test]
    fn statuses_are_numbers_and_ranges() {
        assert!(StatusRange::parse("404").is_some_and(|range| range.contains(404)));
        assert!(StatusRange::parse("200..299").is_some_and(|range| range.contains(250)));
        for text in [
            "",
            "99",
            "600",
            "299..200",
            "2xx",
            "200..",
            "200...299",
            "+20",
        ] {
            assert!(StatusRange::parse(text).is_none(), "{text}");
        }
    }
}
