//! The gRPC service that other nodes call.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::gate::Gate;
use super::stream::PeerInfo;
use super::{Command, Commands, Identified, http2, incoming};
use crate::core::peer::{Answer, Outcome, Reply};
use crate::core::stream::Holder;
use crate::dispatch::{Dispatch, ReplyQueue};
use crate::id::{Generation, NodeId, Shown};
use crate::wire::proto::peer_server::{Peer, PeerServer};
use crate::wire::{PROTOCOL_VERSIONS, Told, proto, sender};

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
    gate: Arc<Gate>,
    commands: Commands,
    tasks: TaskTracker,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let incoming = incoming::accept(Arc::clone(&gate), listener, &tasks, stop.clone());
    let service = PeerService {
        me,
        dispatch: Arc::clone(gate.dispatch()),
        gate,
        commands,
        tasks,
        stop: stop.clone(),
        streams: Arc::default(),
    };
    let service = PeerServer::new(service)
        .max_decoding_message_size(http2::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(http2::MESSAGE_BYTES_MAX);
    let serving = http2::server()
        .add_service(service)
        .serve_with_incoming(ReceiverStream::new(incoming));
    tokio::select! {
        served = serving => served,
        () = stop.cancelled() => Ok(()),
    }
}

/// For each peer its newest stream. Held while a batch is handled, so that an old stream never acts
/// after a new one has begun.
type Streams = Arc<Mutex<HashMap<NodeId, Arc<Mutex<Newest>>>>>;

/// The newest stream of a peer.
#[derive(Default)]
struct Newest {
    number: u64,
    /// Ends that stream when there is a newer one. It must not wait for its next batch: what the peer
    /// has told on it is forgotten, and the peer, which may have nothing more to say, has to connect
    /// and tell it again. A call that its caller has given up can be the one that comes last.
    superseded: CancellationToken,
}

struct PeerService {
    me: Arc<Identified>,
    dispatch: Arc<Dispatch>,
    gate: Arc<Gate>,
    commands: Commands,
    tasks: TaskTracker,
    stop: CancellationToken,
    streams: Streams,
}

impl PeerService {
    /// Refuses callers of another cluster, of a version that this node does not speak, and those that are not
    /// who they say they are.
    fn check(
        &self,
        caller: Option<&proto::Caller>,
        info: Option<&PeerInfo>,
    ) -> Result<Holder, Status> {
        let caller = caller.ok_or_else(|| Status::invalid_argument("no caller"))?;
        let admitted = info.and_then(|info| info.admitted.as_ref());
        let is_named = match admitted {
            Some(admitted) => admitted.names().has(&caller.node),
            None => self.gate.tls().is_none(),
        };
        if !is_named {
            let names = admitted.map(|it| it.names().to_string());
            let reason = format!(
                "it says it is node {}, and its certificate is for {}",
                Shown::new(&caller.node),
                names.unwrap_or_default()
            );
            return Err(self.refuse(info, Status::permission_denied(reason)));
        }
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
        Err(self.refuse(info, Status::failed_precondition(reason)))
    }

    /// Nobody but a node itself says who it is.
    fn check_author(
        &self,
        caller: &Holder,
        author: Option<&str>,
        info: Option<&PeerInfo>,
    ) -> Result<(), Status> {
        match author {
            Some(author) if author != caller.node.as_str() => {
                let reason = format!("node {} speaks as node {}", caller.node, Shown::new(author));
                Err(self.refuse(info, Status::permission_denied(reason)))
            }
            _ => Ok(()),
        }
    }

    fn refuse(&self, info: Option<&PeerInfo>, status: Status) -> Status {
        let remote = info.map(|info| info.remote.to_string());
        let remote = remote.unwrap_or_default();
        self.gate.refuse(remote, status.message());
        status
    }
}

fn info<T>(request: &Request<T>) -> Option<PeerInfo> {
    request.extensions().get().cloned()
}

type Replies = Pin<Box<dyn Stream<Item = Result<proto::ReplyBatch, Status>> + Send>>;

#[tonic::async_trait]
impl Peer for PeerService {
    async fn gossip(
        &self,
        request: Request<proto::GossipPacket>,
    ) -> Result<Response<proto::GossipAck>, Status> {
        let info = info(&request);
        let packet = request.into_inner();
        let caller = self.check(packet.caller.as_ref(), info.as_ref())?;
        let author = sender(&packet.packet).map_err(|error| {
            self.gate.doubt(1, &caller.node, &error);
            Status::invalid_argument(error.to_string())
        })?;
        self.check_author(&caller, Some(author.as_str()), info.as_ref())?;
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
        let info = info(&request);
        let asked = request.into_inner();
        let caller = self.check(asked.caller.as_ref(), info.as_ref())?;
        let author = asked.from.as_ref().and_then(|from| from.identity.as_ref());
        let author = author.map(|author| author.id.as_str());
        self.check_author(&caller, author, info.as_ref())?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Exchange {
            asked: Box::new(asked),
            reply,
        };
        let stopping = || Status::unavailable("the node stops");
        self.commands.send(command).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.map(Response::new)
    }

    async fn stats(
        &self,
        request: Request<proto::StatsRequest>,
    ) -> Result<Response<proto::StatsReply>, Status> {
        let info = info(&request);
        let asked = request.into_inner();
        self.check(asked.caller.as_ref(), info.as_ref())?;
        let told = Told {
            generation: self.dispatch.generation(),
            stats: self.dispatch.node_stats(),
            moments: self.dispatch.moments_of_streams(asked.after),
        };
        Ok(Response::new(told.into()))
    }

    type LinkStream = Replies;

    async fn link(
        &self,
        request: Request<Streaming<proto::Batch>>,
    ) -> Result<Response<Replies>, Status> {
        let info = info(&request);
        let mut batches = request.into_inner();
        let first = batches.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("an empty stream"))?;
        let peer = self.check(first.caller.as_ref(), info.as_ref())?;
        let incoming = Incoming::open(self, peer);
        let (outgoing, replies) = mpsc::channel(BATCHES_AHEAD);
        if let Some(key) = self.dispatch.ticket_key() {
            let hello = proto::ReplyBatch {
                ticket_key: key.as_bytes().to_vec().into(),
                ..Default::default()
            };
            // The channel is new and has room.
            let _ = outgoing.try_send(Ok(hello));
        }
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
    newest: Arc<Mutex<Newest>>,
    number: u64,
    superseded: CancellationToken,
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
        let superseded = CancellationToken::new();
        let number = {
            let mut newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
            newest.number += 1;
            std::mem::replace(&mut newest.superseded, superseded.clone()).cancel();
            service.dispatch.peer_opened(&peer.node);
            newest.number
        };
        Self {
            dispatch: Arc::clone(&service.dispatch),
            peer,
            newest,
            number,
            superseded,
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
            () = self.superseded.cancelled() => {}
        }
    }

    /// Handles a batch; says whether this stream is still the peer's newest.
    fn handle(&self, batch: proto::Batch) -> bool {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.number != self.number {
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
