//! Our client over TLS: our server stands behind a proxy that ends it.

use crate::client::round_trip;
use crate::harness::Server;
use mainstay_remote::{RemoteCache, RemoteError, RemoteOptions};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::ring::default_provider};

/// Makes a certificate for this machine; `false` where there is no OpenSSL to make it.
fn certify(folder: &Path) -> bool {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .args([
            "-subj",
            "/CN=cache",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder)
        .output();
    made.is_ok_and(|made| made.status.success())
}

async fn proxy(folder: &Path, to: SocketAddr) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(near).await else {
                    return;
                };
                let mut far = TcpStream::connect(to).await.unwrap();
                let _broken = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[test]
fn a_cache_with_an_authority_of_its_own_is_trusted_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    if !certify(folder.path()) {
        return println!("skipped: there is no openssl to make a certificate");
    }
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = runtime.block_on(proxy(folder.path(), server.address));
    let mut options = RemoteOptions::new(&format!("grpcs://{address}"));
    let distrusting = RemoteCache::connect(options.clone()).unwrap();
    let refused = distrusting.get_action(&[1; 32]).unwrap_err();
    assert!(
        matches!(refused, RemoteError::Unreachable { .. }),
        "{refused:?}"
    );
    assert!(distrusting.is_off());
    options.certificates = Some(std::fs::read(folder.path().join("certificate.pem")).unwrap());
    round_trip(&RemoteCache::connect(options.clone()).unwrap());
    options.url = format!("https://{}", server.address);
    let plain = RemoteCache::connect(options.clone()).unwrap();
    assert!(matches!(
        plain.get_action(&[1; 32]),
        Err(RemoteError::Unreachable { .. })
    ));
    options.certificates =
        Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into());
    assert!(matches!(
        RemoteCache::connect(options),
        Err(RemoteError::SetUp(_))
    ));
}
