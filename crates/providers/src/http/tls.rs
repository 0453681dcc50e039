//! What TLS is spoken with, and whom it trusts.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("the file of certificates is not PEM: {0}")]
    Pem(#[from] pem::Error),
    #[error("the file of certificates holds no certificate")]
    Empty,
    #[error(transparent)]
    Refused(#[from] rustls::Error),
}

/// The certificate of a provider has to come from a public authority, or from one of these in PEM.
pub(super) fn config(authorities: Option<&[u8]>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let public = roots.len();
    for authority in CertificateDer::pem_slice_iter(authorities.unwrap_or_default()) {
        roots.add(authority?)?;
    }
    if authorities.is_some() && roots.len() == public {
        return Err(TlsError::Empty);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}
