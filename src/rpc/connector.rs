//! Dials peers: by address, and only where they may be.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};
use tower_service::Service;

use super::gate::Gate;
use super::stream::{Io, PeerInfo, PeerStream};
use crate::id::NodeId;
use crate::trust::{Admitted, Side};

/// Makes the connections to one address.
#[derive(Clone)]
pub(super) struct Connector {
    gate: Arc<Gate>,
    /// Who it has to be; `None`: any node.
    wanted: Option<NodeId>,
    /// Who was there the last time.
    met: Arc<Mutex<Option<Arc<Admitted>>>>,
}

impl Connector {
    pub fn new(gate: Arc<Gate>, wanted: Option<NodeId>) -> Self {
        Self {
            gate,
            wanted,
            met: Arc::default(),
        }
    }

    /// Whether the other end may speak for that node.
    pub fn has_met(&self, node: &str) -> bool {
        let met = super::lock(&self.met);
        self.gate.tls().is_none() || met.as_ref().is_some_and(|it| it.names().has(node))
    }

    async fn dial(self, uri: Uri) -> io::Result<TokioIo<PeerStream>> {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or_default();
        let found = tokio::net::lookup_host((host, port)).await?;
        let (inside, outside): (Vec<_>, Vec<_>) =
            found.partition(|address: &SocketAddr| self.gate.is_open_to(address.ip()));
        if inside.is_empty()
            && let Some(outside) = outside.first()
        {
            let reason = "it is not in --peer-networks, and not called";
            self.gate.refuse(outside, reason);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        let stream = TcpStream::connect(inside.as_slice()).await?;
        // Small batches should leave at once.
        stream.set_nodelay(true)?;
        let remote = stream.peer_addr()?;
        let (io, admitted) = match self.gate.tls() {
            None => (Io::Plain(stream), None),
            Some(tls) => {
                let credentials = tls.credentials();
                // It is not sent, and not looked at: certificates are for nodes.
                let name = ServerName::IpAddress(remote.ip().into());
                let connector = TlsConnector::from(Arc::clone(&credentials.client));
                let connected = connector.connect(name, stream).await;
                let stream = connected.inspect_err(|error| self.gate.tls_failed(remote, error))?;
                let chain = stream.get_ref().1.peer_certificates();
                let admitted = tls
                    .admit(&credentials, Side::Called, chain)
                    .map_err(|reason| io::Error::new(io::ErrorKind::PermissionDenied, reason))?;
                self.meet(remote, &admitted)?;
                (Io::Tls(Box::new(TlsStream::Client(stream))), Some(admitted))
            }
        };
        let info = PeerInfo { remote, admitted };
        Ok(TokioIo::new(PeerStream::new(io, self.gate, info)))
    }

    fn meet(&self, remote: SocketAddr, admitted: &Arc<Admitted>) -> io::Result<()> {
        if let Some(wanted) = &self.wanted
            && !admitted.names().has(wanted.as_str())
        {
            let names = admitted.names();
            let reason = format!("its certificate is for {names}, and {wanted} was called");
            self.gate.refuse(remote, &reason);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        *super::lock(&self.met) = Some(Arc::clone(admitted));
        Ok(())
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<PeerStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<PeerStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}
