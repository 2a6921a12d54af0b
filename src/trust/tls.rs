//! TLS for clients: HTTP/1.1 over TLS 1.2 or 1.3, with a certificate that may change while the node runs.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{FileSet, Reloaded};
use crate::config::{ConfigError, TlsConfig};

/// All that is spoken: a WebSocket over HTTP/2 (RFC 8441) is not.
const HTTP11: &[u8] = b"http/1.1";
/// Bytes that one session may have encrypted and not yet written, beside what waits in its outbox.
const BUFFER_BYTES_MAX: usize = 32 * 1024;
/// Certificates of one chain, at most. A guess; three are many.
const CHAIN_MAX: usize = 16;

/// Does the handshakes of clients, with the certificate as it is now.
#[derive(Debug, Clone)]
pub(crate) struct ClientTls(Arc<Reloaded<ServerConfig>>);

impl ClientTls {
    /// Reads certificate and key; `None`: TLS is off.
    ///
    /// # Errors
    /// A file that cannot be read, or that does not hold what it should; a key of another certificate.
    pub fn load(config: &TlsConfig) -> Result<Option<Self>, ConfigError> {
        let TlsConfig {
            cert: Some(cert),
            key: Some(key),
        } = config
        else {
            return Ok(None);
        };
        let files = FileSet::new([("tls-cert", cert.clone()), ("tls-key", key.clone())]);
        // Of all certificates, so that a client may resume its session over a change of them. The keys are
        // this process's own and change by themselves.
        let tickets = aws_lc_rs::Ticketer::new().map_err(|error| ConfigError {
            key: "tls-key",
            value: key.display().to_string(),
            reason: format!("there are no random numbers for session tickets ({error})"),
        })?;
        let parse = move |files: &[Vec<u8>]| match files {
            [cert, key] => server_config(cert, key, &tickets),
            _ => Err((0, "it and the key must be two files".to_owned())),
        };
        Reloaded::load(files, parse).map(|reloaded| Some(Self(reloaded)))
    }

    /// What the certificate and its key are made of, to be followed.
    pub fn reloaded(&self) -> Arc<Reloaded<ServerConfig>> {
        Arc::clone(&self.0)
    }

    /// Does one handshake, however long it takes.
    ///
    /// # Errors
    /// The client speaks no TLS, or none of ours, or is gone.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.0.now());
        TlsAcceptor::from(config)
            .accept_with(stream, |connection| {
                connection.set_buffer_limit(Some(BUFFER_BYTES_MAX));
            })
            .await
    }
}

/// Says which file it is, by its place, and why, if it cannot be made.
fn server_config(
    cert: &[u8],
    key: &[u8],
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, (usize, String)> {
    const CERT: usize = 0;
    const KEY: usize = 1;
    let no_pem = |error| format!("it is no PEM file ({error})");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(cert)
        .collect::<Result<_, _>>()
        .map_err(|error| (CERT, no_pem(error)))?;
    if chain.is_empty() || chain.len() > CHAIN_MAX {
        let reason = format!("there must be 1 to {CHAIN_MAX} certificates in it");
        return Err((CERT, reason));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        let reason = match error {
            rustls::pki_types::pem::Error::NoItemsFound => {
                "there is no private key in it".to_owned()
            }
            error => no_pem(error),
        };
        (KEY, reason)
    })?;
    let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| (CERT, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InvalidCertificate(_) => {
                (CERT, format!("its first certificate: {error}"))
            }
            _ => (
                KEY,
                format!("it does not go with the certificate ({error})"),
            ),
        })?;
    config.alpn_protocols = vec![HTTP11.to_vec()];
    // Nothing is remembered of a session here: its client brings that along, encrypted.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(tickets);
    config.send_tls13_tickets = 1;
    Ok(config)
}
