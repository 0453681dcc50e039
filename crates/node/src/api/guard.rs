//! Who may come in. A web page that a browser shows must never reach a node, so TCP callers need a
//! key, a Host that is this node's own, and no foreign Origin.

use super::key::Key;
use super::problem::Problem;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use mainstay_contract::Code;
use mainstay_gateway::Caller;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What is open without a key: it tells no more than that a node answers, and takes requests.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Whether a path is open without a key, and as long as the node answers at all.
pub(super) fn is_open(path: &str) -> bool {
    OPEN.contains(&path)
}

/// The exact name of a host, without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

/// A text that is no host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a host is named like `gw.internal`, without scheme, port or wildcard")]
pub struct NoHostName;

impl FromStr for HostName {
    type Err = NoHostName;

    fn from_str(text: &str) -> Result<Self, NoHostName> {
        match mainstay_manifest::is_host_name(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(NoHostName),
        }
    }
}

/// How callers of one listener are judged.
#[derive(Debug, Clone)]
pub enum Access {
    /// Whoever reaches the listener may do everything: a unix socket guarded by its mode, or a
    /// router within the owner's own process.
    Owner,
    /// Callers show a key and name this address.
    Key {
        /// The key they show.
        key: Key,
        /// Where the listener is.
        address: SocketAddr,
        /// Names that it is reached by as well.
        hosts: Vec<HostName>,
    },
}

impl Access {
    /// Judges a request before anything else looks at it. Says who calls, where it is not the owner:
    /// `callers` knows the keys of those who may use the models.
    pub(super) fn judge(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        callers: impl Fn(&str) -> Option<Caller>,
    ) -> Result<Option<Caller>, Problem> {
        let Self::Key {
            key,
            address,
            hosts,
        } = self
        else {
            return Ok(None);
        };
        let host = host(uri, headers)?;
        let is_named = hosts.iter().any(|name| name.is(without_port(host)));
        if !is_named && !is_ours(host, *address) {
            return Err(Problem::new(
                Code::Forbidden,
                format!("this node is not called `{}`", printable(host)),
            )
            .hint(
                "use the address the node listens on, or localhost, or start it with --allow-host",
            ));
        }
        judge_origin(host, headers)?;
        if is_open(uri.path()) && matches!(*method, Method::GET | Method::HEAD) {
            return Ok(None);
        }
        // Below this path callers may have keys of their own.
        let is_gateway = mainstay_gateway::is_below(uri.path());
        match shown(headers) {
            Some(text) if key.is(text) => Ok(None),
            Some(text) => match callers(text) {
                Some(caller) if is_gateway => Ok(Some(caller)),
                Some(_) => Err(Problem::new(
                    Code::Forbidden,
                    "this key is for models only, below /v1",
                )),
                None => Err(unauthorized("the key is not this node's")),
            },
            None => Err(unauthorized("there is no key in the request")),
        }
    }
}

fn unauthorized(message: &str) -> Problem {
    Problem::new(Code::Unauthorized, message)
        .hint(
            "send `Authorization: Bearer KEY`; the key is in the file `key` of the data directory",
        )
        .header(header::WWW_AUTHENTICATE, "Bearer realm=\"mainstay\"")
}

fn shown(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(key.trim());
    }
    headers.get(API_KEY)?.to_str().ok()
}

/// The one host that a request names.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    let forbidden = |message: &str| Problem::new(Code::Forbidden, message);
    let mut named = headers.get_all(header::HOST).iter();
    let (Some(first), None) = (named.next(), named.next()) else {
        return Err(forbidden("a request names exactly one host"));
    };
    let first = first
        .to_str()
        .map_err(|_| forbidden("the host is not readable"))?;
    match uri.authority() {
        Some(authority) if authority.as_str() != first => Err(forbidden(
            "the request line and the Host header name different hosts",
        )),
        _ => Ok(first),
    }
}

/// Whether a host is a name of ours. Any port is: a tunnel may have another than the listener.
fn is_ours(host: &str, address: SocketAddr) -> bool {
    let name = without_port(host);
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    let Ok(named) = literal.parse::<IpAddr>() else {
        return false;
    };
    // Rebinding needs a name, so every literal address is safe where all addresses are listened on.
    named.is_loopback() || named == address.ip() || address.ip().is_unspecified()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => {
            let is_bare_v6 = name.contains(':') && !name.ends_with(']');
            if is_bare_v6 { host } else { name }
        }
        _ => host,
    }
}

fn judge_origin(host: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let origins = headers.get_all(header::ORIGIN);
    for origin in origins {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        if authority.is_none_or(|authority| !authority.eq_ignore_ascii_case(host)) {
            return Err(Problem::new(
                Code::Forbidden,
                format!("pages of `{}` may not use this node", printable(origin)),
            ));
        }
    }
    Ok(())
}

/// A caller's text, safe and short enough to be repeated.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_names_of_the_listener_are_ours() {
        let local = address("127.0.0.1:7447");
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:7447",
            "127.0.0.1",
            "[::1]:7447",
            "[::1]",
        ] {
            assert!(is_ours(host, local), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:7447",
            "10.0.0.1",
            "evil.example:7447",
            "[::1",
            "127.0.0.1:x",
            "0x7f.1",
        ] {
            assert!(!is_ours(host, local), "{host}");
        }
        assert!(is_ours("10.1.2.3:7447", address("10.1.2.3:7447")));
        assert!(is_ours("10.1.2.3:7447", address("0.0.0.0:7447")));
        assert!(!is_ours("node.lan:7447", address("0.0.0.0:7447")));
    }

    #[test]
    fn the_key_comes_in_either_header() {
        let access = Access::Key {
            key: Key::new("k3y"),
            address: address("127.0.0.1:1"),
            hosts: vec!["gw.internal".parse().unwrap()],
        };
        let judge = |pairs: &[(HeaderName, &'static str)], path: &'static str| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name, value.parse().unwrap());
            }
            access
                .judge(&Method::GET, &Uri::from_static(path), &headers, |_| None)
                .is_ok()
        };
        let host = (header::HOST, "localhost:1");
        assert!(judge(
            &[host.clone(), (header::AUTHORIZATION, "Bearer k3y")],
            "/x"
        ));
        for (name, is_ours) in [
            ("gw.internal", true),
            ("GW.internal:80", true),
            ("gw.internal.evil.example", false),
            ("x.gw.internal", false),
            ("gw.internal:80:80", false),
        ] {
            let named = [(header::HOST, name), (API_KEY, "k3y")];
            assert_eq!(judge(&named, "/x"), is_ours, "{name}");
        }
        assert!(judge(
            &[host.clone(), (header::AUTHORIZATION, "bearer k3y")],
            "/x"
        ));
        assert!(judge(&[host.clone(), (API_KEY, "k3y")], "/x"));
        assert!(judge(std::slice::from_ref(&host), "/healthz"));
        assert!(!judge(std::slice::from_ref(&host), "/x"));
        assert!(!judge(
            &[host.clone(), (header::AUTHORIZATION, "Basic k3y")],
            "/x"
        ));
        assert!(!judge(
            &[host.clone(), (header::AUTHORIZATION, "Bearer k3")],
            "/x"
        ));
        assert!(!judge(&[(header::AUTHORIZATION, "Bearer k3y")], "/x"));
        assert!(!judge(
            &[host.clone(), host.clone(), (API_KEY, "k3y")],
            "/x"
        ));
        assert!(judge(
            &[
                host.clone(),
                (API_KEY, "k3y"),
                (header::ORIGIN, "http://localhost:1")
            ],
            "/x"
        ));
        for origin in ["null", "http://localhost:2", "http://evil.example", ""] {
            assert!(!judge(
                &[host.clone(), (API_KEY, "k3y"), (header::ORIGIN, origin)],
                "/x"
            ));
        }
    }

    #[test]
    fn only_names_of_hosts_are_taken() {
        for name in ["gw", "gw.internal", "a-b_c.svc.cluster.local", "10.0.0.1"] {
            assert!(name.parse::<HostName>().is_ok(), "{name}");
        }
        for name in [
            "",
            "gw:80",
            "http://gw",
            "*.internal",
            "gw.",
            "a b",
            "-a",
            "[::1]",
        ] {
            assert_eq!(name.parse::<HostName>(), Err(NoHostName), "{name}");
        }
    }
}
