//! Drives the membership state machine: feeds it packets, exchanges and time, and carries out what
//! it wants.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::gate::Gate;
use super::gossip_pool::GossipPool;
use super::{Identified, Refused};
use crate::config::Config;
use crate::core::membership::{
    Exchange, ExchangeReply, Identity, Input, Membership, Output, Target,
};
use crate::core::view::View;
use crate::dispatch::{Clock as _, Dispatch, SystemClock};
use crate::error::RunError;
use crate::wire::{GossipCodec, proto};

/// How long a seed's host name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Addresses of one seed that are asked at the same time.
const EXCHANGES_AT_ONCE: usize = 32;

/// What the driver is told.
pub(crate) enum Command {
    /// A gossip packet came in.
    Packet(Bytes),
    /// A peer wants to compare.
    Exchange {
        /// Its side.
        asked: Box<proto::ExchangeRequest>,
        /// Ours, or why not.
        reply: oneshot::Sender<Result<proto::ExchangeReply, Status>>,
    },
    /// A peer answered an exchange of ours.
    Answered {
        /// Who was asked.
        target: Target,
        /// For how many hosts the target's name stands.
        hosts: usize,
        /// What it knows.
        answer: ExchangeReply,
    },
    /// Leave the ring.
    SetDraining,
    /// Leave the cluster. The answer comes once the farewells are sent.
    Leave(oneshot::Sender<()>),
}

/// The seeds as configured, `host:port`.
#[derive(Debug, Clone)]
pub(crate) struct SeedList(Arc<[String]>);

impl SeedList {
    pub(crate) fn new(seeds: Vec<String>) -> Self {
        Self(seeds.into())
    }
}

/// The membership of a node with this configuration.
pub(crate) fn membership(config: &Config, identity: Identity) -> Membership<GossipCodec> {
    let seeds = config.seeds.len();
    let random = rand::random();
    let membership = Membership::new(
        identity,
        &config.cluster,
        seeds,
        config.gossip,
        GossipCodec,
        random,
    );
    membership
        .with_networks(config.peer_networks())
        .with_proof(config.peers.is_on())
}

/// The one task that owns the membership.
pub(crate) struct Driver {
    pub membership: Membership<GossipCodec>,
    pub seeds: SeedList,
    pub me: Arc<Identified>,
    pub gate: Arc<Gate>,
    pub dispatch: Arc<Dispatch>,
    /// Weak, so that the driver ends with the node that talks to it.
    pub commands: mpsc::WeakSender<Command>,
    pub views: watch::Sender<Arc<View>>,
    pub ended: watch::Sender<Option<RunError>>,
}

impl Driver {
    /// Runs until the node stops.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Command>, stop: CancellationToken) {
        let started = Instant::now();
        let pool = Arc::new(GossipPool::new(
            Arc::clone(&self.me),
            Arc::clone(&self.gate),
        ));
        let refused = Arc::default();
        loop {
            self.carry_out(&pool, &refused);
            let deadline = self.membership.next_deadline().map(|at| started + at);
            let sleep = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Packets before timers: one that refutes a suspicion is to be seen in time.
                biased;
                () = stop.cancelled() => return,
                command = queue.recv() => match command {
                    Some(command) => self.take(started.elapsed(), command, &pool, &refused),
                    None => return,
                },
                () = sleep => self.membership.on_timeout(started.elapsed()),
            }
        }
    }

    fn take(
        &mut self,
        now: Duration,
        command: Command,
        pool: &Arc<GossipPool>,
        refused: &Arc<std::sync::Mutex<Refused>>,
    ) {
        self.membership.set_wall_clock(SystemClock.unix_ms());
        match command {
            Command::Packet(packet) => self.membership.handle(now, Input::Packet(packet)),
            Command::Exchange { asked, reply } => {
                let told = asked.members.len();
                let answer = Exchange::try_from(*asked)
                    .map(|asked| {
                        doubt_unreadable(&self.gate, told - asked.members.len());
                        self.membership.exchange_asked(now, asked).into()
                    })
                    .map_err(|error| Status::invalid_argument(error.to_string()));
                // The caller may have given up by now.
                let _ = reply.send(answer);
            }
            Command::Answered {
                target,
                hosts,
                answer,
            } => {
                // To find oneself among the seeds is no company, unless nobody else is named.
                let is_own = answer.from.id().id == self.me.node;
                if is_own && hosts == 1 && self.seeds.0.len() == 1 {
                    self.dispatch.join();
                }
                let input = Input::ExchangeAnswered { target, answer };
                self.membership.handle(now, input);
            }
            Command::SetDraining => self.membership.handle(now, Input::SetDraining),
            Command::Leave(left) => {
                self.membership.handle(now, Input::Leave);
                self.carry_out(pool, refused);
                tokio::spawn(async move {
                    // What was sent goes out on connections that are there.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _ = left.send(());
                });
            }
        }
    }

    fn carry_out(&mut self, pool: &Arc<GossipPool>, refused: &Arc<std::sync::Mutex<Refused>>) {
        if let Some((count, last)) = self.membership.take_doubted() {
            self.gate.doubt(count, last.node, last.why);
        }
        while let Some(output) = self.membership.poll_output() {
            match output {
                Output::Send { to, packet } => pool.send(&to, packet),
                Output::Exchange { target, exchange } => {
                    self.exchange(target, exchange, pool, refused);
                }
                Output::ViewChanged(view) => {
                    // Here, rather than in the way of the first message that needs it.
                    LazyLock::force(&view.ring);
                    self.views.send_replace(view);
                }
                Output::Replaced { by } => {
                    let id = self.me.node.clone();
                    self.ended.send_replace(Some(RunError::Replaced { id, by }));
                }
            }
        }
    }

    fn exchange(
        &self,
        target: Target,
        exchange: Exchange,
        pool: &Arc<GossipPool>,
        refused: &Arc<std::sync::Mutex<Refused>>,
    ) {
        let (pool, seeds) = (Arc::clone(pool), self.seeds.clone());
        let (commands, refused) = (self.commands.clone(), Arc::clone(refused));
        let gate = Arc::clone(&self.gate);
        let request = proto::ExchangeRequest::from(exchange);
        tokio::spawn(async move {
            let addresses = match &target {
                Target::Seed(index) => match seeds.0.get(*index) {
                    Some(seed) => resolve(seed).await,
                    None => return,
                },
                Target::Peer(address) | Target::Push(address) => vec![address.to_string()],
            };
            let hosts = hosts(&addresses);
            // One that does not answer holds none of the others up.
            for some in addresses.chunks(EXCHANGES_AT_ONCE) {
                let mut exchanges = JoinSet::new();
                for address in some.iter().cloned() {
                    let answer = pool.exchange(&address, request.clone());
                    exchanges.spawn(async move { (address, answer.await) });
                }
                while let Some(Ok((address, answer))) = exchanges.join_next().await {
                    match answer.and_then(|answer| understand(&gate, answer)) {
                        Ok(answer) => {
                            if let Some(commands) = commands.upgrade() {
                                let target = target.clone();
                                let answered = Command::Answered {
                                    target,
                                    hosts,
                                    answer,
                                };
                                // If the node has ended in the meantime, nobody needs it.
                                let _ = commands.send(answered).await;
                            }
                        }
                        Err(status) => super::lock(&refused).log(&address, &status),
                    }
                }
            }
        });
    }
}

fn understand(gate: &Gate, answer: proto::ExchangeReply) -> Result<ExchangeReply, Status> {
    let told = answer.members.len();
    let answer =
        ExchangeReply::try_from(answer).map_err(|error| Status::internal(error.to_string()))?;
    doubt_unreadable(gate, told - answer.members.len());
    Ok(answer)
}

/// So many records of an exchange were out of all bounds.
fn doubt_unreadable(gate: &Gate, count: usize) {
    if count > 0 {
        gate.doubt(count as u64, "?", "it is out of bounds");
    }
}

/// How many hosts these addresses are of: the loopback of IPv4 and that of IPv6 are one.
fn hosts(addresses: &[String]) -> usize {
    let host = |address: &String| match address.parse::<SocketAddr>() {
        Ok(SocketAddr::V6(v6)) if v6.ip().is_loopback() => {
            SocketAddr::from((Ipv4Addr::LOCALHOST, v6.port())).to_string()
        }
        _ => address.clone(),
    };
    let hosts: BTreeSet<String> = addresses.iter().map(host).collect();
    hosts.len()
}

/// The addresses of a seed: one, or all that its host name stands for.
async fn resolve(seed: &str) -> Vec<String> {
    let looked_up = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(seed)).await;
    match looked_up {
        Ok(Ok(addresses)) => addresses.map(|address| address.to_string()).collect(),
        Ok(Err(error)) => {
            tracing::debug!(seed, %error, "cannot resolve a seed");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(seed, "resolving a seed takes too long");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_two_loopbacks_and_else_one_address() {
        let count = |addresses: &[&str]| {
            let addresses: Vec<String> = addresses.iter().map(|&a| a.into()).collect();
            hosts(&addresses)
        };
        assert_eq!(count(&["[::1]:7101", "127.0.0.1:7101"]), 1);
        assert_eq!(count(&["10.0.0.1:7101", "10.0.0.2:7101"]), 2);
        assert_eq!(count(&["127.0.0.1:7101", "127.0.0.1:7102"]), 2);
    }
}
