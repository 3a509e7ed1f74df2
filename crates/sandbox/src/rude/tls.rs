//! A TLS handshake that a client must not complete.

use std::io::{self, Cursor};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A certificate for 127.0.0.1 and localhost that is signed by itself, and its key, which is no secret.
const CERTIFICATE: &[u8] = include_bytes!("self_signed.cert.der");
const KEY: &[u8] = include_bytes!("self_signed.key.der");

/// Offers the certificate, until the client goes away.
///
/// # Errors
/// If the client refuses it, as it should, or the connection breaks.
pub(super) async fn offer_self_signed(stream: &mut TcpStream) -> io::Result<()> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key))
        .map_err(io::Error::other)?;
    let mut tls = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    let mut received = vec![0; 16 << 10];
    loop {
        let count = stream.read(&mut received).await?;
        if count == 0 {
            return Ok(());
        }
        let mut bytes = Cursor::new(received.get(..count).unwrap_or_default());
        while (bytes.position() as usize) < count {
            tls.read_tls(&mut bytes)?;
            tls.process_new_packets().map_err(io::Error::other)?;
        }
        let mut answer = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut answer)?;
        }
        stream.write_all(&answer).await?;
    }
}
