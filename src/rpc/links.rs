//! Carries each link: one long-lived bidirectional stream to every live member.
//!
//! A batch is what is queued when the stream takes one: no timer, and no latency added when idle.
//! The windows are wide because HTTP/2 counts small unread frames against them, and the connection
//! is pinged because a broken network says nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Endpoint;
use tracing::Instrument as _;

use super::connector::Connector;
use super::gate::Gate;
use super::{Identified, Refused, http2};
use crate::core::backoff::Backoff;
use crate::core::peer::{Answer, Outcome, Reply};
use crate::core::trust::TicketKey;
use crate::dispatch::{Dispatch, PeerLink, Topology};
use crate::wire::proto;
use crate::wire::proto::peer_client::PeerClient;

/// Requests in one batch at most.
const BATCH_REQUESTS: usize = 256;
/// Bytes in one batch, about; one request may exceed it.
const BATCH_BYTES: usize = 256 * 1024;
/// Batches handed to the stream and not yet taken by it.
const BATCHES_AHEAD: usize = 2;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Keeps a task for every link of the topology until the node stops.
pub(super) async fn keep_links(
    gate: Arc<Gate>,
    me: Arc<Identified>,
    mut topologies: watch::Receiver<Arc<Topology>>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let mut carried: Vec<Arc<PeerLink>> = Vec::new();
    loop {
        let topology = Arc::clone(&topologies.borrow_and_update());
        for link in topology.links() {
            if !carried.iter().any(|known| Arc::ptr_eq(known, link)) {
                let task = Carrier {
                    dispatch: Arc::clone(gate.dispatch()),
                    connector: Connector::new(Arc::clone(&gate), Some(link.node().clone())),
                    me: Arc::clone(&me),
                    link: Arc::clone(link),
                };
                let (gone, stop) = (link.gone().clone(), stop.clone());
                let span = tracing::info_span!("link", node = %me.node, peer = %link.node());
                let carried = async move {
                    tokio::select! {
                        () = task.run() => {}
                        () = gone.cancelled() => {}
                        () = stop.cancelled() => {}
                    }
                };
                tasks.spawn(carried.instrument(span));
            }
        }
        carried = topology.links().cloned().collect();
        tokio::select! {
            changed = topologies.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

struct Carrier {
    dispatch: Arc<Dispatch>,
    connector: Connector,
    me: Arc<Identified>,
    link: Arc<PeerLink>,
}

impl Carrier {
    /// Connects, carries, and connects again, until the peer is no longer a member.
    async fn run(&self) {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut refused = Refused::default();
        loop {
            match self.connect().await {
                Ok((batches, replies)) => {
                    backoff.reset();
                    self.carry(batches, replies).await;
                }
                Err(error) => {
                    self.link.set_reachable(false);
                    refused.log(self.link.node().as_str(), &error);
                }
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    }

    async fn connect(
        &self,
    ) -> Result<
        (
            mpsc::Sender<proto::Batch>,
            tonic::Streaming<proto::ReplyBatch>,
        ),
        tonic::Status,
    > {
        let unreachable =
            |error: tonic::transport::Error| tonic::Status::unavailable(super::with_causes(&error));
        let endpoint = Endpoint::from_shared(format!("http://{}", self.link.address()))
            .map_err(unreachable)?
            .connect_timeout(CONNECT_TIMEOUT);
        let channel = http2::client(endpoint)
            .connect_with_connector(self.connector.clone())
            .await
            .map_err(unreachable)?;
        let (batches, outgoing) = mpsc::channel(BATCHES_AHEAD);
        let hello = proto::Batch {
            caller: Some(self.me.caller(self.dispatch.generation())),
            requests: Vec::new(),
        };
        // The channel is new and has room.
        let _ = batches.try_send(hello);
        let mut client = PeerClient::new(channel)
            .max_decoding_message_size(http2::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(http2::MESSAGE_BYTES_MAX);
        let call = client.link(ReceiverStream::new(outgoing));
        let replies = tokio::time::timeout(CONNECT_TIMEOUT, call)
            .await
            .map_err(|_| tonic::Status::deadline_exceeded("no answer to the link call"))??;
        Ok((batches, replies.into_inner()))
    }

    async fn carry(
        &self,
        batches: mpsc::Sender<proto::Batch>,
        mut replies: tonic::Streaming<proto::ReplyBatch>,
    ) {
        tracing::info!("link is up");
        // However this ends, and if it is dropped half way, the link hears of it.
        let _connected = Connected::new(&self.dispatch, &self.link);
        let sending = async {
            loop {
                let batch = self.link.next_batch(BATCH_REQUESTS, BATCH_BYTES).await;
                let batch = proto::Batch {
                    caller: None,
                    requests: batch.into_iter().map(Into::into).collect(),
                };
                if batches.send(batch).await.is_err() {
                    return;
                }
            }
        };
        let receiving = async {
            loop {
                match replies.message().await {
                    Ok(Some(batch)) => {
                        if let Some(key) = TicketKey::from_bytes(&batch.ticket_key) {
                            self.link.set_ticket_key(key);
                        }
                        for reply in batch.replies {
                            let seq = reply.seq;
                            let reply = Reply::try_from(reply).unwrap_or_else(|error| {
                                tracing::warn!(%error, "a peer's reply is not understood");
                                Reply {
                                    seq,
                                    outcome: Outcome::Unknown,
                                    answer: Answer::None,
                                }
                            });
                            self.dispatch.link_reply(&self.link, reply);
                        }
                        // The window may have opened.
                        self.link.nudge();
                    }
                    Ok(None) => return None,
                    Err(status) => return Some(status),
                }
            }
        };
        let error = tokio::select! {
            () = sending => None,
            error = receiving => error,
        };
        let reason = error.map_or("the peer closed it".to_owned(), |e| super::short(&e));
        tracing::info!(reason, "link is down");
    }
}

struct Connected<'a>(&'a Dispatch, &'a Arc<PeerLink>);

impl<'a> Connected<'a> {
    fn new(dispatch: &'a Dispatch, link: &'a Arc<PeerLink>) -> Self {
        link.set_reachable(true);
        dispatch.link_connected(link);
        Self(dispatch, link)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.1.set_reachable(false);
        self.0.link_disconnected(self.1);
    }
}
