//! Where a request goes, parsed once: what is checked is what is sent.

use mainstay_manifest::{AllowRule, Method, Scheme};
use reqwest::Url;

/// A URL that holds nothing but scheme, host, port, path and query.
#[derive(Debug, Clone)]
pub(super) struct Target {
    url: Url,
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.contains(['\\', '\t', '\n', '\r', ' ']) {
            return Err("The URL holds characters that do not belong there.".to_owned());
        }
        // The parser resolves dot segments; a URL that needs that is refused as it stands.
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let lower = path.to_ascii_lowercase();
        let is_dotted = |part: &str| matches!(part.replace("%2e", ".").as_str(), "." | "..");
        if lower.split('/').any(is_dotted) || lower.contains("%2f") || lower.contains("%5c") {
            return Err("The URL's path holds dot segments or encoded slashes.".to_owned());
        }
        let mut url =
            Url::parse(text).map_err(|error| format!("The URL cannot be used: {error}."))?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(format!("The scheme {other} is not HTTP.")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("The URL carries a user name or password.".to_owned());
        }
        url.set_fragment(None);
        let host = url.host_str().ok_or("The URL has no host.")?.to_owned();
        let port = url.port_or_known_default().ok_or("The URL has no port.")?;
        Ok(Self {
            url,
            scheme,
            host,
            port,
        })
    }

    pub(super) fn is_allowed(&self, rule: &AllowRule, method: Method) -> bool {
        rule.is_match(method, self.scheme, &self.host, self.port, self.url.path())
    }

    pub(super) fn is_host(&self, host: &str) -> bool {
        self.bare_host()
            .eq_ignore_ascii_case(host.trim_matches(['[', ']']))
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> Url {
        self.url.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for url in [
            "ftp://h/",
            "http://user@h/",
            "http://h/a/../b",
            "http://h/a/%2e%2e/b",
            "http://h/a%2fb",
            "http://h\\@evil/",
            "http:///",
            "//h/",
            "http://h/ a",
            "http://h/.%2E/x",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
        let target = Target::parse("https://EXAMPLE.com/a?q=%2f#frag").unwrap();
        assert_eq!((target.host(), target.port()), ("example.com", 443));
        assert_eq!(target.url().as_str(), "https://example.com/a?q=%2f");
    }
}
