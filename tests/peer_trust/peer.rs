//! A peer that says what the test wants it to say.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use ringpost::wire::proto::peer_client::PeerClient;
use ringpost::wire::{PROTOCOL_VERSION, proto};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::files::{Ca, Certified};
use crate::support::Node;

pub fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

/// Without TLS.
pub async fn plain(node: &Node) -> Result<PeerClient<Channel>, Status> {
    let endpoint = endpoint(node);
    let channel = endpoint.connect().await;
    let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(PeerClient::new(channel))
}

/// With a certificate of a CA that the node's own is of, too; `None`: without one.
pub async fn with_certificate(
    node: &Node,
    ca: &Ca,
    own: Option<&Certified>,
) -> Result<PeerClient<Channel>, Status> {
    let connector = Connector {
        tls: tls(ca, own),
        name: format!("{}.nodes", node.id),
    };
    let channel = endpoint(node).connect_with_connector(connector).await;
    let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(PeerClient::new(channel))
}

fn endpoint(node: &Node) -> Endpoint {
    Endpoint::from_shared(format!("http://{}", node.peer)).expect("an address")
}

fn tls(ca: &Ca, own: Option<&Certified>) -> TlsConnector {
    let certificate = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).expect("PEM");
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&ca.pem)).expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("it is known")
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("PEM");
            let chain = vec![certificate(&own.certificate)];
            config.with_client_auth_cert(chain, key).expect("they fit")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

struct Connector {
    tls: TlsConnector,
    name: String,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (tls, name) = (self.tls.clone(), self.name.clone());
        Box::pin(async move {
            let address = uri.authority().expect("an address").as_str();
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from(name).expect("a name");
            Ok(TokioIo::new(tls.connect(name, stream).await?))
        })
    }
}

/// Who calls, as it says itself.
pub struct Caller(proto::Caller);

impl Caller {
    pub fn new(node: &str) -> Self {
        Self(proto::Caller {
            cluster: "ringpost".to_owned(),
            protocol_version: PROTOCOL_VERSION,
            node: node.to_owned(),
            generation: 1,
        })
    }

    /// The record of a node with good addresses.
    pub fn record(id: &str) -> proto::Member {
        proto::Member {
            identity: Some(proto::Identity {
                id: id.to_owned(),
                generation: 1,
                revision: 0,
                peer: "127.0.0.1:1".to_owned(),
                url: "ws://127.0.0.1:1".to_owned(),
                weight: 1,
                draining: false,
            }),
            incarnation: 0,
            state: proto::MemberState::Alive.into(),
        }
    }

    /// An exchange that says it comes from that node.
    pub fn exchange(&self, from: &str) -> proto::ExchangeRequest {
        proto::ExchangeRequest {
            caller: Some(self.0.clone()),
            from: Some(Self::record(from)),
            digest: 0,
            members: Vec::new(),
        }
    }

    /// A gossip packet that says it comes from that node.
    pub fn packet(&self, from: &str) -> proto::GossipPacket {
        let header = proto::GossipHeader {
            src: Self::record(from).identity,
            src_incarnation: 0,
            dst: Self::record("n1").identity,
            kind: proto::GossipKind::Announce.into(),
            probe_number: 0,
            about: None,
        };
        let mut packet = Vec::new();
        prost::Message::encode_length_delimited(&header, &mut packet).expect("room");
        proto::GossipPacket {
            caller: Some(self.0.clone()),
            packet: packet.into(),
        }
    }

    /// The first batch of a link.
    pub fn batch(&self) -> proto::Batch {
        proto::Batch {
            caller: Some(self.0.clone()),
            requests: Vec::new(),
        }
    }
}
