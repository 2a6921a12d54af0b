//! What peers ask of this node, and what they answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::presence::Gather;
use super::{Dispatch, Origin, PeerLink, ReplyQueue, Session};
use crate::core::peer::{Outcome, Reply, Request};
use crate::id::{NodeId, UserId};

impl Dispatch {
    /// A peer has opened a connection: it will tell its guests anew.
    pub fn peer_opened(&self, peer: &NodeId) {
        for shard in &self.shards {
            super::locked(shard).retain_guests(|node| node != peer);
        }
    }

    /// A request of a peer. The answer goes to `replies`, now or later.
    pub fn peer_request(
        &self,
        peer: &NodeId,
        seq: u64,
        request: Request,
        replies: &Arc<ReplyQueue>,
    ) {
        let answer = |outcome, online| {
            replies.push(Reply {
                seq,
                outcome,
                online,
            });
        };
        match request {
            Request::Envelope(envelope) => {
                let origin = (seq != 0).then(|| Origin::Peer {
                    replies: Arc::clone(replies),
                    seq,
                });
                self.route(envelope, origin);
            }
            Request::Register { user, session } => {
                let mut shard = self.shard(&user);
                // Under the shard's lock: whoever publishes a topology comes here after this.
                let mine = self.topology.load().is_mine(user.as_str());
                if mine {
                    shard.register(&user, peer, session);
                }
                drop(shard);
                let outcome = if mine {
                    Outcome::Done
                } else {
                    Outcome::NotOwner
                };
                answer(outcome, Vec::new());
            }
            Request::Unregister { user, session } => {
                self.shard(&user).unregister(&user, peer, session);
            }
            Request::Presence { users } => {
                let topology = self.topology.load();
                if users.iter().all(|user| topology.is_mine(user.as_str())) {
                    answer(Outcome::Done, self.online(&users));
                } else {
                    answer(Outcome::NotOwner, Vec::new());
                }
            }
        }
    }

    fn online(&self, users: &[UserId]) -> Vec<bool> {
        let online = users.iter().map(|user| self.shard(user).is_online(user));
        online.collect()
    }

    /// A client asks who of `users` is online. The answer goes to its outbox, now or later.
    pub fn presence(&self, session: &Arc<Session>, id: &str, users: Vec<UserId>) {
        let topology = self.topology.load();
        let mut by_owner: BTreeMap<Option<NodeId>, Vec<UserId>> = BTreeMap::new();
        for user in &users {
            let owner = topology.owner_elsewhere(user.as_str());
            let part = by_owner.entry(owner.map(|member| member.id.clone()));
            part.or_default().push(user.clone());
        }
        if by_owner.is_empty() {
            by_owner.insert(None, Vec::new());
        }
        let session = Arc::clone(session);
        let gather = Arc::new(Gather::new(session, Box::from(id), users, by_owner.len()));
        for (owner, users) in by_owner {
            let Some(owner) = owner else {
                gather.answered(&users, Some(&self.online(&users)));
                continue;
            };
            let origin = Origin::Presence {
                gather: Arc::clone(&gather),
                users: users.clone(),
            };
            let refused = match topology.link(&owner) {
                None => Some(origin),
                Some(link) => link
                    .push(Request::Presence { users }, Some(origin), self.deadline())
                    .err()
                    .and_then(|full| full.0.1),
            };
            self.settle(refused, Outcome::Unreachable);
        }
    }

    /// The connection to a peer is up: tells it every guest that it owns, and lets out what waits.
    pub fn link_connected(&self, link: &Arc<PeerLink>) {
        let outdated = {
            let mut state = link.lock();
            let outdated = state.forget_guests();
            state.connected();
            outdated
        };
        // They stand in their shards as not registered, and are told now.
        drop(outdated);
        for shard in &self.shards {
            let registrations = super::locked(shard).registrations_at(link.node());
            for registration in registrations {
                self.ask_registration(registration);
            }
        }
        link.nudge();
    }

    /// The connection to a peer broke: nobody knows what became of what was sent.
    pub fn link_disconnected(&self, link: &Arc<PeerLink>) {
        let sent = link.lock().disconnected();
        for origin in sent {
            self.settle(Some(origin), Outcome::Unknown);
        }
    }

    /// A peer's answer.
    pub fn link_reply(&self, link: &Arc<PeerLink>, reply: &Reply) {
        let origin = link.lock().reply(reply.seq);
        if let Some(origin) = origin {
            self.settle_with(origin, reply.outcome, &reply.online, Some(link.node()));
        }
    }
}
