//! A client of TLS, and who signs certificates for its servers.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use serde_json::{Value, json};

use crate::support::client::{KEY, is_timeout};
use crate::support::frames::{self, CLOSE, TEXT};
use crate::support::{PATIENCE, Response};

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

pub struct Issued {
    pub cert_pem: String,
    pub cert_der: Vec<u8>,
    pub key_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// A certificate for a server at this address.
    pub fn issue(&self, ip: IpAddr) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![ip.to_string()]).unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Issued {
            cert_pem: pem("CERTIFICATE", cert.der()),
            cert_der: cert.der().to_vec(),
            key_pem: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }

    /// A client that trusts it.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.into()
    }
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let text = lines.join("\n");
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A connection over TLS, at first of HTTP and then a WebSocket.
pub struct Secure {
    stream: StreamOwned<ClientConnection, TcpStream>,
    address: SocketAddr,
    inbound: Vec<u8>,
    /// Kind of what is read, and what came of it in frames before.
    fragments: Vec<u8>,
}

impl Secure {
    /// Connects, and does the handshake.
    ///
    /// # Errors
    /// It does not come to an end.
    pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(address.ip());
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Self {
            stream: StreamOwned::new(tls, tcp),
            address,
            inbound: Vec::new(),
            fragments: Vec::new(),
        })
    }

    pub fn tls(&self) -> &ClientConnection {
        &self.stream.conn
    }

    /// What the server has shown.
    pub fn certificate(&self) -> Vec<u8> {
        let chain = self.stream.conn.peer_certificates();
        chain.expect("it has shown one")[0].to_vec()
    }

    /// Asks for a path.
    pub fn get(&mut self, path: &str) -> Response {
        let address = self.address;
        self.head(&format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        ));
        let _ = self.stream.read_to_end(&mut self.inbound);
        let text = String::from_utf8_lossy(&self.inbound).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        Response {
            status: head[9..12].parse().unwrap(),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    /// Becomes a WebSocket; its first message.
    pub fn upgrade(&mut self, path: &str) -> Value {
        let address = self.address;
        self.head(&format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        ));
        loop {
            let end = self.inbound.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<_> = self.inbound.drain(..end + 4).collect();
                assert!(head.starts_with(b"HTTP/1.1 101"), "{head:?}");
                return self.message().expect("a message");
            }
            assert!(self.receive() > 0, "it ended");
        }
    }

    fn head(&mut self, head: &str) {
        self.stream.write_all(head.as_bytes()).unwrap();
    }

    fn receive(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.inbound.extend_from_slice(&buffer[..count]);
                count
            }
            Err(error) if is_timeout(&error) => panic!("nothing came in time"),
            Err(_) => 0,
        }
    }

    fn frame(&mut self) -> Option<frames::Frame> {
        loop {
            if let Some(frame) = frames::decode(&mut self.inbound) {
                return Some(frame);
            }
            if self.receive() == 0 {
                return None;
            }
        }
    }

    /// The next message; `None`: a Close, or the end.
    fn message(&mut self) -> Option<Value> {
        loop {
            let frame = self.frame()?;
            match frame.opcode {
                TEXT | frames::CONTINUATION => {
                    self.fragments.extend(frame.payload);
                    if frame.fin {
                        let text = std::mem::take(&mut self.fragments);
                        return Some(serde_json::from_slice(&text).unwrap());
                    }
                }
                CLOSE => return None,
                _ => {}
            }
        }
    }

    pub fn expect(&mut self, kind: &str) -> Value {
        let message = self.message().expect("a message");
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    pub fn send(&mut self, message: &Value) {
        let frame = frames::encode(true, TEXT, message.to_string().as_bytes());
        self.stream.write_all(&frame).unwrap();
        self.stream.flush().unwrap();
    }

    pub fn assert_alive(&mut self) {
        self.send(&json!({"type": "ping", "id": "alive?"}));
        assert_eq!(self.expect("pong")["id"], "alive?");
    }

    /// Whether it ends by itself.
    pub fn ends(&mut self) -> bool {
        self.receive() == 0
    }

    /// Reads to the Close; its code.
    pub fn read_to_close(&mut self) -> Option<u16> {
        while let Some(frame) = self.frame() {
            if frame.opcode == CLOSE {
                return frame
                    .payload
                    .first_chunk()
                    .map(|code| u16::from_be_bytes(*code));
            }
        }
        None
    }

    /// Closes, waits for the answer, and reads to the end, which TLS has to announce.
    pub fn close(mut self) {
        let close = frames::encode(true, CLOSE, &1000_u16.to_be_bytes());
        self.stream.write_all(&close).unwrap();
        assert_eq!(self.read_to_close(), Some(1000));
        let end = self.stream.read(&mut [0; 16]);
        assert_eq!(end.expect("an end that is announced"), 0);
    }
}
