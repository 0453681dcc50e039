//! The small part of URLs that rules need.

use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The scheme as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The parts of an http or https URL that rules need.
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path, query and fragment as written.
    pub(crate) rest: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let is_allowed = |c: char| c.is_ascii_graphic();
        if !text.chars().all(is_allowed) {
            return Err(
                "use ASCII without spaces: percent-encode paths, write hosts in punycode".into(),
            );
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("start with `https://` or `http://`")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err("start with `https://` or `http://`".into()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err("leave user and password out; use a secret".into());
        }
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => {
                let is_digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let number = port.parse().ok().filter(|&n: &u16| n > 0 && is_digits);
                (name, number.ok_or("a port is a number from 1 to 65535")?)
            }
            _ => (authority, scheme.port()),
        };
        Ok(Self {
            scheme,
            host: host(name)?,
            port,
            rest: rest.to_owned(),
        })
    }
}

/// A host name or address in its one spelling: lower case, no brackets, no short forms of addresses.
pub(crate) fn host(text: &str) -> Result<String, Refusal> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = inner.unwrap_or(text).parse::<Ipv6Addr>() {
        return Ok(address.to_string());
    }
    let lower = text.to_ascii_lowercase();
    if lower.contains('*') {
        return Err("name each host; `*` is for paths".into());
    }
    if !is_host_name(&lower) {
        return Err("the host is no name or address".into());
    }
    let last = lower.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && lower.parse::<Ipv4Addr>().is_err() {
        return Err("write addresses in full, such as `127.0.0.1`".into());
    }
    Ok(lower)
}

/// Whether a text is a host's name, without scheme, port, brackets or wildcard: labels of at most 63 bytes, at most 253
/// bytes in all (RFC 1123), `_` among the letters as the names of services have it.
#[must_use]
pub fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(is_known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
