//! The gRPC service that other nodes call.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::{Command, Commands, Identified, Refused, http2};
use crate::core::peer::{Answer, Outcome, Reply};
use crate::core::stream::Holder;
use crate::dispatch::{Dispatch, ReplyQueue};
use crate::id::{Generation, NodeId, Shown};
use crate::wire::proto::peer_server::{Peer, PeerServer};
use crate::wire::{PROTOCOL_VERSIONS, proto};

/// Bytes of replies in one batch, about; one reply may exceed it.
const BATCH_BYTES: usize = 256 * 1024;
/// Batches of replies handed to a stream and not yet taken by it.
const BATCHES_AHEAD: usize = 2;

/// Serves the peers of a node until it stops.
///
/// # Errors
/// When the listener cannot be served.
pub(crate) async fn serve(
    listener: TcpListener,
    me: Arc<Identified>,
    dispatch: Arc<Dispatch>,
    commands: Commands,
    tasks: TaskTracker,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let service = PeerService {
        me,
        dispatch,
        commands,
        tasks,
        stop: stop.clone(),
        streams: Arc::default(),
        refused: Mutex::default(),
    };
    let service = PeerServer::new(service)
        .max_decoding_message_size(http2::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(http2::MESSAGE_BYTES_MAX);
    let serving = http2::server()
        .add_service(service)
        // The server's own setting does not reach connections that it is given. Without this an
        // answer waits until the one before it is acknowledged.
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    tokio::select! {
        served = serving => served,
        () = stop.cancelled() => Ok(()),
    }
}

/// For each peer the number of its newest stream. Held while a batch is handled, so that an old
/// stream never acts after a new one has begun.
type Streams = Arc<Mutex<HashMap<NodeId, Arc<Mutex<u64>>>>>;

struct PeerService {
    me: Arc<Identified>,
    dispatch: Arc<Dispatch>,
    commands: Commands,
    tasks: TaskTracker,
    stop: CancellationToken,
    streams: Streams,
    refused: Mutex<Refused>,
}

impl PeerService {
    /// Refuses callers of another cluster, and of a version that this node does not speak.
    fn check(
        &self,
        caller: Option<&proto::Caller>,
        remote: Option<SocketAddr>,
    ) -> Result<Holder, Status> {
        let caller = caller.ok_or_else(|| Status::invalid_argument("no caller"))?;
        let reason = if caller.cluster != self.me.cluster {
            format!(
                "node {} is of cluster {}, this is cluster {:?}",
                Shown::new(&caller.node),
                Shown::new(&caller.cluster),
                self.me.cluster
            )
        } else if !PROTOCOL_VERSIONS.contains(&caller.protocol_version) {
            format!(
                "node {} speaks version {} of the protocol, this node {} to {}",
                Shown::new(&caller.node),
                caller.protocol_version,
                PROTOCOL_VERSIONS.start(),
                PROTOCOL_VERSIONS.end(),
            )
        } else {
            let node = NodeId::new(&caller.node)
                .map_err(|error| Status::invalid_argument(format!("the caller's id: {error}")))?;
            return Ok(Holder {
                node,
                generation: Generation(caller.generation),
            });
        };
        self.dispatch.counters().peers_refused.add();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.due() {
            tracing::warn!(remote = ?remote, %reason, "a peer is refused");
        }
        Err(Status::failed_precondition(reason))
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<proto::ReplyBatch, Status>> + Send>>;

#[tonic::async_trait]
impl Peer for PeerService {
    async fn gossip(
        &self,
        request: Request<proto::GossipPacket>,
    ) -> Result<Response<proto::GossipAck>, Status> {
        let remote = request.remote_addr();
        let packet = request.into_inner();
        self.check(packet.caller.as_ref(), remote)?;
        // A packet that finds no room is lost, as on any network: the failure detector copes.
        if self
            .commands
            .try_send(Command::Packet(packet.packet))
            .is_err()
        {
            self.dispatch.counters().gossip_dropped.add();
        }
        Ok(Response::new(proto::GossipAck {}))
    }

    async fn exchange(
        &self,
        request: Request<proto::ExchangeRequest>,
    ) -> Result<Response<proto::ExchangeReply>, Status> {
        let remote = request.remote_addr();
        let asked = request.into_inner();
        self.check(asked.caller.as_ref(), remote)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Exchange {
            asked: Box::new(asked),
            reply,
        };
        let stopping = || Status::unavailable("the node stops");
        self.commands.send(command).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.map(Response::new)
    }

    type LinkStream = Replies;

    async fn link(
        &self,
        request: Request<Streaming<proto::Batch>>,
    ) -> Result<Response<Replies>, Status> {
        let remote = request.remote_addr();
        let mut batches = request.into_inner();
        let first = batches.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("an empty stream"))?;
        let peer = self.check(first.caller.as_ref(), remote)?;
        let incoming = Incoming::open(self, peer);
        let (outgoing, replies) = mpsc::channel(BATCHES_AHEAD);
        let stop = self.stop.clone();
        let span = tracing::info_span!("peer", node = %self.me.node, peer = %incoming.peer.node);
        let served = async move {
            tokio::select! {
                () = incoming.run(first, batches, outgoing) => {}
                () = stop.cancelled() => {}
            }
        };
        self.tasks.spawn(served.instrument(span));
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }
}

/// One link stream of a peer.
struct Incoming {
    dispatch: Arc<Dispatch>,
    peer: Holder,
    newest: Arc<Mutex<u64>>,
    number: u64,
    replies: Arc<ReplyQueue>,
}

impl Incoming {
    fn open(service: &PeerService, peer: Holder) -> Self {
        let newest = {
            let mut streams = service
                .streams
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(streams.entry(peer.node.clone()).or_default())
        };
        let number = {
            let mut newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
            *newest += 1;
            service.dispatch.peer_opened(&peer.node);
            *newest
        };
        Self {
            dispatch: Arc::clone(&service.dispatch),
            peer,
            newest,
            number,
            replies: Arc::default(),
        }
    }

    async fn run(
        self,
        first: proto::Batch,
        mut batches: Streaming<proto::Batch>,
        outgoing: mpsc::Sender<Result<proto::ReplyBatch, Status>>,
    ) {
        let answering = async {
            loop {
                let mut replies = self.replies.next_batch().await.into_iter().peekable();
                while replies.peek().is_some() {
                    if outgoing.send(Ok(reply_batch(&mut replies))).await.is_err() {
                        return;
                    }
                }
            }
        };
        let receiving = async {
            let mut batch = Some(first);
            while let Some(now) = batch {
                if !self.handle(now) {
                    return;
                }
                batch = batches.message().await.ok().flatten();
            }
        };
        tokio::select! {
            () = answering => {}
            () = receiving => {}
        }
    }

    /// Handles a batch; says whether this stream is still the peer's newest.
    fn handle(&self, batch: proto::Batch) -> bool {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if *newest != self.number {
            return false;
        }
        for request in batch.requests {
            let seq = request.seq;
            match request.try_into() {
                Ok((seq, request)) => {
                    self.dispatch
                        .peer_request(&self.peer, seq, request, &self.replies);
                }
                Err(error) => {
                    tracing::warn!(peer = %self.peer.node, %error, "a peer's request is not understood");
                    self.replies.push(Reply {
                        seq,
                        outcome: Outcome::Unreachable,
                        answer: Answer::None,
                    });
                }
            }
        }
        true
    }
}

/// As many replies as go well into one message; one may exceed that.
fn reply_batch(replies: &mut impl Iterator<Item = Reply>) -> proto::ReplyBatch {
    let mut batch = proto::ReplyBatch::default();
    let mut bytes = 0;
    while bytes < BATCH_BYTES
        && let Some(reply) = replies.next()
    {
        bytes += reply.answer.size();
        batch.replies.push(reply.into());
    }
    batch
}
