//! The connection: HTTP/2 from the first byte, plain or over TLS, made when it is first needed.

use super::{RemoteError, RemoteOptions};
use crate::protocol::MESSAGE_BYTES_MAX;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tonic::client::Grpc;

pub(super) type Channel = Grpc<Client<HttpsConnector<HttpConnector>, tonic::body::Body>>;

pub(super) fn open(options: &RemoteOptions, origin: Uri) -> Result<Channel, RemoteError> {
    let roots = roots(options.certificates.as_deref().unwrap_or_default())?;
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| RemoteError::SetUp(Arc::new(error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(options.connect));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http2()
        .wrap_connector(tcp);
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .build(connector);
    Ok(Grpc::with_origin(client, origin).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// The usual authorities, and those of the caller.
fn roots(certificates: &[u8]) -> Result<RootCertStore, RemoteError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in CertificateDer::pem_slice_iter(certificates) {
        let certificate = certificate.map_err(|error| RemoteError::SetUp(Arc::new(error)))?;
        let added = roots.add(certificate);
        added.map_err(|error| RemoteError::SetUp(Arc::new(error)))?;
    }
    Ok(roots)
}
