//! How a client is set up.

use super::RemoteError;
use crate::signature::SigningKey;
use http::Uri;
use http::uri::Authority;
use std::fmt;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};

/// How a client is set up.
#[derive(Clone)]
pub struct RemoteOptions {
    /// `grpc://host:port`, `grpcs://`, `http://` or `https://`.
    pub url: String,
    /// The instance of the cache; often empty.
    pub instance: String,
    /// Sent as a bearer token.
    pub token: Option<String>,
    /// Certificates in PEM that are trusted beside the usual ones, as for a cache with an authority of
    /// its own.
    pub certificates: Option<Vec<u8>>,
    /// Signs what is put, and lets nothing else in.
    pub signing_key: Option<SigningKey>,
    /// How long a connection may take.
    pub connect: Duration,
    /// How long an answer may take; blobs have a second more for each MiB.
    pub call: Duration,
}

impl RemoteOptions {
    /// A remote at this address: no token, 1 s to connect, 10 s for a call.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            instance: String::new(),
            token: None,
            certificates: None,
            signing_key: None,
            connect: Duration::from_secs(1),
            call: Duration::from_secs(10),
        }
    }

    /// The address in HTTP's terms.
    pub(super) fn origin(&self) -> Result<Uri, RemoteError> {
        let wrong = |reason| RemoteError::Address {
            url: self.url.clone(),
            reason,
        };
        let known = [
            ("grpc://", "http"),
            ("grpcs://", "https"),
            ("http://", "http"),
            ("https://", "https"),
        ];
        let (authority, scheme) = known
            .iter()
            .find_map(|(prefix, scheme)| Some((self.url.strip_prefix(prefix)?, *scheme)))
            .ok_or_else(|| wrong("it begins with none of grpc://, grpcs://, http://, https://"))?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(wrong("only a host and a port may follow"));
        }
        let wrong_host = || wrong("the host or the port is wrong");
        let authority: Authority = authority.parse().map_err(|_| wrong_host())?;
        // A port that is no number is let through until here, and would mean the usual one.
        if authority.host().len() != authority.as_str().len() && authority.port_u16().is_none() {
            return Err(wrong_host());
        }
        let origin = Uri::builder().scheme(scheme).authority(authority);
        let origin = origin.path_and_query("/").build();
        origin.map_err(|_| wrong_host())
    }

    pub(super) fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, RemoteError> {
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let value = format!("Bearer {token}").parse();
        let mut value: MetadataValue<Ascii> = value.map_err(|_| RemoteError::Token)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl fmt::Debug for RemoteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteOptions")
            .field("url", &self.url)
            .field("instance", &self.instance)
            .field("has_token", &self.token.is_some())
            .field("has_certificates", &self.certificates.is_some())
            .field("is_signing", &self.signing_key.is_some())
            .field("connect", &self.connect)
            .field("call", &self.call)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_others_refused() {
        for (url, origin) in [
            ("grpc://127.0.0.1:7", "http://127.0.0.1:7/"),
            ("grpcs://cache.example", "https://cache.example/"),
            ("http://[::1]:7/", "http://[::1]:7/"),
            ("https://cache.example:7", "https://cache.example:7/"),
        ] {
            let read = RemoteOptions::new(url).origin().unwrap();
            assert_eq!(read.to_string(), origin);
        }
        for url in [
            "",
            "127.0.0.1:7",
            "ftp://x",
            "grpc://",
            "grpc://x/path",
            "grpc://user:secret@x",
            "grpc://x:port",
        ] {
            assert!(RemoteOptions::new(url).origin().is_err(), "{url}");
        }
    }

    #[test]
    fn a_token_is_never_shown_and_never_breaks_a_header() {
        let mut options = RemoteOptions::new("grpc://x");
        options.token = Some("geheim".to_owned());
        assert!(!format!("{options:?}").contains("geheim"));
        options.token = Some("a\nb".to_owned());
        assert!(matches!(options.authorization(), Err(RemoteError::Token)));
    }
}
