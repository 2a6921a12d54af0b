//! What a client speaks over: TCP, or TLS over it; and whose certificates it believes.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whose signatures on the certificates of nodes are believed.
#[derive(Clone, Default)]
pub struct RootCertificates(Option<Arc<ClientConfig>>);

/// Why there are no root certificates in a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no root certificates in PEM: {0}")]
pub struct InvalidCertificates(String);

impl RootCertificates {
    /// Those that the system believes.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// These and no others, one or more in PEM.
    ///
    /// # Errors
    /// [`InvalidCertificates`] when there is none, or something is wrong with one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidCertificates> {
        let invalid = |error: &dyn fmt::Display| InvalidCertificates(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| invalid(&error))?;
            roots.add(certificate).map_err(|error| invalid(&error))?;
        }
        if roots.is_empty() {
            return Err(InvalidCertificates("no certificate".to_owned()));
        }
        let config = trusting(roots).map_err(|error| invalid(&error))?;
        Ok(Self(Some(config.into())))
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, String> {
        /// Read once: they are a hundred files on some systems.
        static SYSTEM: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
        match (&self.0, SYSTEM.get()) {
            (Some(config), _) => Ok(Arc::clone(config)),
            (None, Some(system)) => system.clone(),
            (None, None) => {
                let read = || SYSTEM.get_or_init(of_system).clone();
                let read = tokio::task::spawn_blocking(read).await;
                read.map_err(|error| error.to_string())?
            }
        }
    }

    /// TLS over this connection, with the node of that name.
    pub(super) async fn connect(&self, host: &str, tcp: TcpStream) -> Result<Socket, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(self.config().await?);
        let connected = connector.connect(name, tcp).await;
        let stream = connected.map_err(|error| format!("TLS: {error}"))?;
        Ok(Socket::Tls(Box::new(stream)))
    }
}

impl PartialEq for RootCertificates {
    /// Whether they are the same ones, not whether they are alike.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref().map(Arc::as_ptr) == other.0.as_ref().map(Arc::as_ptr)
    }
}

impl Eq for RootCertificates {}

impl fmt::Debug for RootCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = if self.0.is_some() { "given" } else { "system" };
        write!(f, "RootCertificates({which})")
    }
}

fn of_system() -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(ToString::to_string);
        let why = why.unwrap_or_else(|| "there are none".to_owned());
        return Err(format!("the system's root certificates: {why}"));
    }
    let config = trusting(roots).map_err(|error| error.to_string())?;
    Ok(config.into())
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A connection, encrypted or not.
#[derive(Debug)]
pub enum Socket {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
