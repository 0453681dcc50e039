//! Which addresses a request may reach. The name is resolved here, every address is checked, and the
//! connection goes to exactly those: a second lookup cannot answer differently.

use super::target::Target;
use mainstay_contract::Code;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why no address may be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{host} cannot be resolved: {why}")]
    Unresolved { host: String, why: String },
    #[error(
        "{host} is at {address}, which is not a public address; list it under `private` to allow it"
    )]
    Private { host: String, address: IpAddr },
}

impl Refused {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Unresolved { .. } => Code::ToolFailed,
            Self::Private { .. } => Code::ToolNotPermitted,
        }
    }
}

/// The addresses of a target, all of them allowed.
pub(super) async fn resolve(
    target: &Target,
    private: &[String],
) -> Result<Vec<SocketAddr>, Refused> {
    let host = target.bare_host().to_owned();
    let unresolved = |why: String| Refused::Unresolved {
        host: host.clone(),
        why,
    };
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, target.port())],
        Err(_) => tokio::net::lookup_host((host.as_str(), target.port()))
            .await
            .map_err(|error| unresolved(error.to_string()))?
            .collect(),
    };
    if found.is_empty() {
        return Err(unresolved("it has no address".to_owned()));
    }
    let is_listed = |text: &str| {
        private
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(text))
    };
    for found in &found {
        let address = found.ip();
        if !is_public(address) && !is_listed(&host) && !is_listed(&address.to_string()) {
            return Err(Refused::Private { host, address });
        }
    }
    Ok(found)
}

/// Whether an address belongs to the public internet (IANA special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    let segments = address.segments();
    // Global unicast is 2000::/3; all else is reserved, local or multicast.
    let is_global = segments[0] & 0xe000 == 0x2000;
    let is_documentation = segments[0] == 0x2001 && segments[1] == 0x0db8;
    // IETF protocol assignments (RFC 2928), Teredo among them, which carries other addresses.
    let is_protocol = segments[0] == 0x2001 && segments[1] < 0x0200;
    is_global && !is_documentation && !is_protocol
}

/// The IPv4 address inside a mapped, translated (64:ff9b::/96) or 6to4 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let [a, b, c, d] = match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            [a, b, c, d]
        }
        _ => return address.to_ipv4_mapped(),
    };
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001:0:7f00:1::",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "93.184.216.34",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
