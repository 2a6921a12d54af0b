//! Accepts peers: each has a few seconds to show who it is, and that it speaks HTTP/2.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::{TlsAcceptor, TlsStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Gate;
use super::stream::{Io, PeerInfo, PeerStream};
use crate::accept::accept_all;
use crate::trust::Side;

/// From the connection's first byte to the end of its first HTTP/2 bytes.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes under way; more are refused at once. A handshake is some milliseconds of work and some kilobytes.
const HANDSHAKES_MAX: usize = 256;
/// Of one address, so that nobody alone can keep the nodes out.
const HANDSHAKES_PER_ADDRESS_MAX: usize = 32;
/// Connections past their handshake: two a peer, a third and a fourth while one takes the place of another, and a
/// cluster has some hundred nodes at most.
const CONNECTIONS_MAX: usize = 1024;
/// Connections handed on and not yet taken.
const AHEAD: usize = 16;
/// With this every connection of HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How a TLS connection begins: a handshake record.
const TLS_RECORD: u8 = 22;

/// The connections of peers that have passed, as they come.
pub(super) type Passed = mpsc::Receiver<io::Result<PeerStream>>;

/// Accepts until the node stops.
pub(super) fn accept(
    gate: Arc<Gate>,
    listener: TcpListener,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Passed {
    let (passed, incoming) = mpsc::channel(AHEAD);
    let keeper = Doorkeeper {
        gate,
        passed,
        tasks: tasks.clone(),
        handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        shaking: Arc::default(),
    };
    tasks.spawn(async move {
        let counters = Arc::clone(keeper.gate.dispatch());
        let take = |stream, remote| keeper.take(stream, remote, &stop);
        accept_all(listener, counters.counters(), &stop, take).await;
    });
    incoming
}

struct Doorkeeper {
    gate: Arc<Gate>,
    passed: mpsc::Sender<io::Result<PeerStream>>,
    tasks: TaskTracker,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    shaking: Shaking,
}

impl Doorkeeper {
    fn take(&self, stream: TcpStream, remote: SocketAddr, stop: &CancellationToken) {
        let ip = remote.ip().to_canonical();
        if !self.gate.is_open_to(ip) {
            self.gate.refuse(remote, "it is not in --peer-networks");
            return;
        }
        let permit = Arc::clone(&self.handshakes).try_acquire_owned();
        let (Ok(permit), Some(turn)) = (permit, Turn::of(&self.shaking, ip)) else {
            self.gate
                .refuse(remote, "there are too many handshakes under way");
            return;
        };
        let (gate, passed) = (Arc::clone(&self.gate), self.passed.clone());
        let (connections, stop) = (Arc::clone(&self.connections), stop.clone());
        self.tasks.spawn(async move {
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake(&gate, stream, remote)) => shaken,
                () = stop.cancelled() => return,
            };
            drop((permit, turn));
            let stream = match shaken {
                Ok(Some(stream)) => stream,
                // It has been said why.
                Ok(None) => return,
                Err(_) => {
                    let reason = format!("it has not shown who it is within {HANDSHAKE_TIMEOUT:?}");
                    gate.refuse(remote, reason);
                    return;
                }
            };
            match connections.try_acquire_owned() {
                // If nobody takes it any more the node stops.
                Ok(place) => drop(passed.send(Ok(stream.placed(place))).await),
                Err(_) => gate.refuse(remote, "there are too many connections of peers"),
            }
        });
    }
}

/// What shows that the other end is a peer. `None`: it is none.
async fn shake(gate: &Arc<Gate>, stream: TcpStream, remote: SocketAddr) -> Option<PeerStream> {
    let (io, admitted) = match gate.tls() {
        None => (Io::Plain(stream), None),
        Some(tls) => {
            let credentials = tls.credentials();
            let acceptor = TlsAcceptor::from(Arc::clone(&credentials.server));
            let stream = match acceptor.accept(stream).await {
                Ok(stream) => stream,
                Err(error) => {
                    gate.tls_failed(remote, &error);
                    return None;
                }
            };
            let chain = stream.get_ref().1.peer_certificates();
            match tls.admit(&credentials, Side::Caller, chain) {
                Ok(admitted) => (Io::Tls(Box::new(TlsStream::Server(stream))), Some(admitted)),
                Err(reason) => {
                    gate.refuse(remote, reason);
                    return None;
                }
            }
        }
    };
    let info = PeerInfo { remote, admitted };
    let mut stream = PeerStream::new(io, Arc::clone(gate), info);
    let mut begin = [0; PREFACE.len()];
    // Whoever only looks whether the port is open is no peer, and no trouble.
    stream.read_exact(&mut begin).await.ok()?;
    if begin != *PREFACE {
        let reason = if begin[0] == TLS_RECORD {
            "it speaks TLS, and this node has neither --peer-ca nor --cluster-secret-file"
        } else {
            "it does not speak HTTP/2"
        };
        gate.refuse(remote, reason);
        return None;
    }
    Some(stream.begun(Bytes::from_static(PREFACE)))
}

/// How many handshakes of each address are under way.
type Shaking = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of the handshakes of an address.
struct Turn {
    shaking: Shaking,
    ip: IpAddr,
}

impl Turn {
    /// `None` if the address has too many.
    fn of(shaking: &Shaking, ip: IpAddr) -> Option<Self> {
        // A host of IPv6 has a whole /64.
        let ip = match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (!0 << 64)).into(),
            ip @ IpAddr::V4(_) => ip,
        };
        let mut counts = super::lock(shaking);
        let count = counts.entry(ip).or_default();
        if *count >= HANDSHAKES_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Self {
            shaking: Arc::clone(shaking),
            ip,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = super::lock(&self.shaking);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_turns_and_leaves_nothing_behind() {
        let shaking = Shaking::default();
        let ip = IpAddr::from([10, 0, 0, 1]);
        let mut turns: Vec<Turn> = std::iter::from_fn(|| Turn::of(&shaking, ip)).collect();
        assert_eq!(turns.len(), HANDSHAKES_PER_ADDRESS_MAX);
        assert!(Turn::of(&shaking, IpAddr::from([10, 0, 0, 2])).is_some());
        turns.pop();
        assert!(Turn::of(&shaking, ip).is_some(), "one is free again");
        let hosts = (0..u16::MAX).map(|n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]));
        let of_one: Vec<Turn> = hosts.map_while(|ip| Turn::of(&shaking, ip)).collect();
        assert_eq!(of_one.len(), HANDSHAKES_PER_ADDRESS_MAX, "all are of a /64");
        drop(of_one);
        drop(turns);
        assert!(super::super::lock(&shaking).is_empty());
    }
}
