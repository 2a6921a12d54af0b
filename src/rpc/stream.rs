//! One connection of a peer, plain or encrypted.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::gate::Gate;
use crate::trust::Admitted;

/// A connection of a peer.
pub(super) struct PeerStream {
    io: Io,
    gate: Arc<Gate>,
    info: PeerInfo,
    /// Read already, and not yet taken.
    head: Bytes,
    /// Ends when the peer's certificate is no longer good.
    withdrawn: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Its place among all connections.
    _place: Option<OwnedSemaphorePermit>,
}

pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who is at the other end, as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct PeerInfo {
    pub remote: SocketAddr,
    /// `None` where nobody has to prove anything.
    pub admitted: Option<Arc<Admitted>>,
}

impl PeerStream {
    pub fn new(io: Io, gate: Arc<Gate>, info: PeerInfo) -> Self {
        let withdrawn = info
            .admitted
            .as_ref()
            .map(|admitted| Box::pin(admitted.withdrawn().clone().cancelled_owned()));
        Self {
            io,
            gate,
            info,
            head: Bytes::new(),
            withdrawn,
            _place: None,
        }
    }

    /// The same, with what was read of it already before the rest.
    pub fn begun(self, head: Bytes) -> Self {
        Self { head, ..self }
    }

    /// The same, which keeps its place among all connections until its end.
    pub fn placed(self, place: OwnedSemaphorePermit) -> Self {
        Self {
            _place: Some(place),
            ..self
        }
    }

    /// In TLS 1.3 a caller hears only now that it is refused.
    fn notice(&self, polled: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = &polled
            && error
                .get_ref()
                .is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
        {
            self.gate.tls_failed(self.info.remote, error);
        }
        polled
    }
}

impl Connected for PeerStream {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(withdrawn) = &mut this.withdrawn
            && withdrawn.as_mut().poll(cx).is_ready()
        {
            let error = io::Error::from(io::ErrorKind::ConnectionAborted);
            return Poll::Ready(Err(error));
        }
        if this.head.has_remaining() {
            let count = this.head.len().min(buf.remaining());
            buf.put_slice(&this.head.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let polled = match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        this.notice(polled)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
