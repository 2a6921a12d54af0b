//! Connections for gossip, one a peer, apart from the links.
//!
//! A packet is a call of its own that nobody waits for. When a peer answers nothing for a second, a
//! second connection is dialled beside the first, and takes its place once it is up: after a
//! partition an old TCP connection can stay silent for seconds, and with mere loss the old one may
//! well recover first.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::connector::Connector;
use super::gate::Gate;
use super::{Identified, http2};
use crate::dispatch::Dispatch;
use crate::wire::proto;
use crate::wire::proto::peer_client::PeerClient;

/// Packets under way to one peer. More are dropped: the failure detector takes them for lost.
const PACKETS_MAX: usize = 64;
/// A packet that has not arrived by then says nothing new.
const PACKET_TIMEOUT: Duration = Duration::from_millis(1500);
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Silence after which another connection is dialled.
const REDIAL_AFTER: Duration = Duration::from_secs(1);
/// A connection that nothing was sent over for that long is closed.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Carries gossip for one node.
pub(super) struct GossipPool {
    me: Arc<Identified>,
    gate: Arc<Gate>,
    dispatch: Arc<Dispatch>,
    peers: Mutex<HashMap<String, Arc<Peer>>>,
}

struct Peer {
    endpoint: Endpoint,
    connector: Connector,
    in_flight: AtomicUsize,
    state: Mutex<State>,
    /// Held by whoever makes the first connection, so that one is made.
    first_dial: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    channel: Option<Channel>,
    last_heard: Instant,
    last_used: Instant,
    redialling: bool,
}

impl GossipPool {
    pub(super) fn new(me: Arc<Identified>, gate: Arc<Gate>) -> Self {
        Self {
            me,
            dispatch: Arc::clone(gate.dispatch()),
            gate,
            peers: Mutex::default(),
        }
    }

    /// Sends a packet and forgets it.
    pub(super) fn send(&self, address: &str, packet: Bytes) {
        let Ok(peer) = self.peer(address) else {
            self.dispatch.counters().gossip_dropped.add();
            return;
        };
        if peer.in_flight.fetch_add(1, Ordering::Relaxed) >= PACKETS_MAX {
            peer.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.dispatch.counters().gossip_dropped.add();
            return;
        }
        let packet = proto::GossipPacket {
            caller: Some(self.me.caller(self.dispatch.generation())),
            packet,
        };
        tokio::spawn(async move {
            let sent = peer
                .call(PACKET_TIMEOUT, |mut client| async move {
                    client.gossip(packet).await
                })
                .await;
            peer.in_flight.fetch_sub(1, Ordering::Relaxed);
            if let Err(status) = sent {
                tracing::trace!(error = %super::short(&status), "a gossip packet is lost");
            }
        });
    }

    /// Asks a peer for its side of an exchange.
    pub(super) fn exchange(
        &self,
        address: &str,
        mut request: proto::ExchangeRequest,
    ) -> impl Future<Output = Result<proto::ExchangeReply, Status>> + use<> {
        let peer = self.peer(address);
        request.caller = Some(self.me.caller(self.dispatch.generation()));
        let (gate, address) = (Arc::clone(&self.gate), address.to_owned());
        async move {
            let peer = peer?;
            let answer = peer
                .call(EXCHANGE_TIMEOUT, |mut client| async move {
                    client.exchange(request).await
                })
                .await?;
            let from = answer.from.as_ref().and_then(|from| from.identity.as_ref());
            if from.is_some_and(|from| peer.connector.has_met(&from.id)) {
                return Ok(answer);
            }
            let reason = "its certificate is not for the node that it says it is";
            gate.refuse(address, reason);
            Err(Status::permission_denied(reason))
        }
    }

    fn peer(&self, address: &str) -> Result<Arc<Peer>, Status> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(address) {
            return Ok(Arc::clone(peer));
        }
        peers.retain(|_, peer| peer.state().last_used.elapsed() < IDLE_MAX);
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Status::invalid_argument(error.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT);
        let connector = Connector::new(Arc::clone(&self.gate), None);
        let peer = Arc::new(Peer::new(http2::client(endpoint), connector));
        peers.insert(address.to_owned(), Arc::clone(&peer));
        Ok(peer)
    }
}

impl Peer {
    fn new(endpoint: Endpoint, connector: Connector) -> Self {
        let now = Instant::now();
        Self {
            endpoint,
            connector,
            in_flight: AtomicUsize::new(0),
            state: Mutex::new(State {
                channel: None,
                last_heard: now,
                last_used: now,
                redialling: false,
            }),
            first_dial: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T, F>(
        self: &Arc<Self>,
        timeout: Duration,
        call: impl FnOnce(PeerClient<Channel>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let calling = async {
            let client = PeerClient::new(self.channel().await?)
                .max_decoding_message_size(http2::MESSAGE_BYTES_MAX)
                .max_encoding_message_size(http2::MESSAGE_BYTES_MAX);
            call(client).await
        };
        match tokio::time::timeout(timeout, calling).await {
            Ok(Ok(response)) => {
                self.state().last_heard = Instant::now();
                Ok(response.into_inner())
            }
            Ok(Err(status)) => {
                if status.code() == Code::Unavailable || status.code() == Code::Unknown {
                    // The connection broke: the next call makes a new one.
                    self.state().channel = None;
                }
                Err(status)
            }
            Err(_) => {
                self.redial_if_silent();
                Err(Status::deadline_exceeded("no answer"))
            }
        }
    }

    async fn channel(&self) -> Result<Channel, Status> {
        let known = |state: &mut State| {
            state.last_used = Instant::now();
            state.channel.clone()
        };
        if let Some(channel) = known(&mut self.state()) {
            return Ok(channel);
        }
        let _first = self.first_dial.lock().await;
        if let Some(channel) = known(&mut self.state()) {
            return Ok(channel);
        }
        let channel = self.dial().await?;
        self.state().channel = Some(channel.clone());
        Ok(channel)
    }

    async fn dial(&self) -> Result<Channel, Status> {
        let connecting = self.endpoint.connect_with_connector(self.connector.clone());
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(Status::unavailable(super::with_causes(&error))),
            Err(_) => Err(Status::unavailable("no answer to the connect")),
        }
    }

    fn redial_if_silent(self: &Arc<Self>) {
        let mut state = self.state();
        if state.redialling || state.last_heard.elapsed() < REDIAL_AFTER {
            return;
        }
        state.redialling = true;
        drop(state);
        let peer = Arc::clone(self);
        tokio::spawn(async move {
            let dialled = peer.dial().await;
            let mut state = peer.state();
            state.redialling = false;
            if let Ok(channel) = dialled {
                state.channel = Some(channel);
            }
        });
    }
}
