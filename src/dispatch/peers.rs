//! What peers ask of this node, and what they answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::presence::Gather;
use super::shard::Waiter;
use super::{Dispatch, Origin, PeerLink, ReplyQueue, Session};
use crate::core::peer::{Answer, Append, Offer, Outcome, Reply, Request};
use crate::core::stream::Holder;
use crate::id::{NodeId, SessionId, StreamKey, UserId};

impl Dispatch {
    /// A peer has opened a connection: it will tell its guests anew, and its users in rooms, of which
    /// it may have forgotten some meanwhile. It may have taken this node for dead before, and
    /// forgotten the guests that this one has told it.
    pub fn peer_opened(&self, peer: &NodeId) {
        let now = self.since_start();
        for shard in &self.shards {
            let shard = &mut *super::locked(shard);
            for room in shard.directory.retain_guests(|node| node != peer) {
                shard.await_members(now, room);
            }
            shard.rosters.retain_nodes(now, |node| node != peer);
        }
        self.tell_guests(peer);
    }

    /// Tells a node every guest that it owns.
    fn tell_guests(&self, owner: &NodeId) {
        self.with_each_shard(|shard, _, topology| {
            for registration in shard.directory.registrations_at(owner) {
                self.ask_registration(&mut shard.directory, topology, registration);
            }
            self.tell_members_anew(shard, topology, owner);
            shard.watches.forgotten_by(owner);
        });
    }

    /// A guest has ended there. A room may have waited for it.
    fn unregister_guest(&self, node: &NodeId, key: StreamKey, session: SessionId) {
        let mut shard = self.shard(&key);
        shard.directory.unregister(&key, node, session);
        if key.is_room() {
            shard.hungry.insert(key);
        }
    }

    /// A request of a peer. The answer goes to `replies`, now or later.
    pub fn peer_request(
        &self,
        peer: &Holder,
        seq: u64,
        request: Request,
        replies: &Arc<ReplyQueue>,
    ) {
        let answer = |outcome, answer| {
            replies.push(Reply {
                seq,
                outcome,
                answer,
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
            Request::Append(Append {
                to,
                message,
                previous,
                trace,
            }) => {
                let waiter = Waiter::Peer {
                    replies: Arc::clone(replies),
                    seq,
                };
                let waiter = self.watched(&to, &message, waiter);
                let waiter = self.traced(trace.as_deref(), &message, waiter);
                self.with_shard(&to, |shard, ctx, _| {
                    shard.streams.append(ctx, &to, message, previous, waiter);
                });
            }
            Request::Install(_) | Request::Replicate { .. } | Request::Pull { .. } => {
                if let Some((outcome, said)) = self.copy_request(peer, request) {
                    answer(outcome, said);
                }
            }
            Request::Consent { generation, digest } => {
                let asker = Holder {
                    node: peer.node.clone(),
                    generation,
                };
                let (outcome, consented) = self.give_consent(&asker, digest);
                answer(outcome, consented);
            }
            Request::Offer(offers) => {
                let may_go = self.may_they_go(peer, &offers);
                answer(Outcome::Done, Answer::MayGo(may_go));
            }
            Request::Register {
                key,
                session,
                nonce,
                since_ms,
                resume,
                new,
                leaving_ms,
            } => {
                let guest = (session, nonce);
                let told = (since_ms, new, leaving_ms);
                let (outcome, registered) =
                    self.register_guest(&peer.node, &key, guest, told, resume);
                answer(outcome, registered);
            }
            Request::Unregister { key, session } => {
                self.unregister_guest(&peer.node, key, session);
            }
            Request::Deliver(delivery) => answer(self.take_delivery(&delivery), Answer::None),
            Request::Ack { user, position } => {
                let inbox = StreamKey::Inbox(user);
                self.with_shard(&inbox, |shard, ctx, _| {
                    shard.streams.ack(ctx, &inbox, position);
                });
            }
            Request::UnderReplicated(streams) => self.set_waiting(&peer.node, streams),
            Request::History { .. }
            | Request::Members { .. }
            | Request::Announce { .. }
            | Request::Roster { .. }
            | Request::Watch { .. }
            | Request::Unwatch { .. }
            | Request::Presence { .. }
            | Request::Broadcast(_) => {
                if let Some((outcome, said)) = self.room_request(peer, request) {
                    answer(outcome, said);
                }
            }
            Request::Online { users } => {
                let (outcome, online) = self.tell_presence(&users);
                answer(outcome, online);
            }
            Request::Sessions { user } => match self.known_user(&user) {
                Some(user) => answer(Outcome::Done, Answer::Sessions(user)),
                None => answer(Outcome::NotOwner, Answer::None),
            },
            Request::Replace { user, session } => self.replace_session(&user, session),
            Request::Disconnect { user } => {
                answer(Outcome::Done, Answer::Closed(self.close_sessions_of(&user)));
            }
        }
    }

    /// A request about a copy of a stream; `None` if it is none.
    fn copy_request(&self, peer: &Holder, request: Request) -> Option<(Outcome, Answer)> {
        Some(match request {
            Request::Install(install) => {
                let key = install.key.clone();
                self.with_shard(&key, |shard, ctx, _| {
                    shard.streams.install(ctx, peer, *install)
                })
            }
            Request::Replicate {
                key,
                number,
                seq,
                operations,
            } => {
                let outcome = self.with_shard(&key, |shard, ctx, _| {
                    let about = (&key, number, seq);
                    shard.streams.replicate(ctx, peer, about, operations)
                });
                (outcome, Answer::None)
            }
            Request::Pull { key } => {
                let copy = self.with_shard(&key, |shard, ctx, _| shard.streams.pull(ctx.now, &key));
                (Outcome::Done, Answer::Pulled(copy.map(Box::new)))
            }
            _ => return None,
        })
    }

    /// A request about rooms, presence or everyone; `None` where no answer is wanted.
    fn room_request(&self, peer: &Holder, request: Request) -> Option<(Outcome, Answer)> {
        match request {
            Request::History { key, at } => Some(self.give_history(&key, at)),
            Request::Members { room, whole, users } => {
                let outcome = self.take_members(&peer.node, &room, whole, &users);
                Some((outcome, Answer::None))
            }
            Request::Roster { room, after, max } => {
                let page = self.roster_page(&room, after.as_ref(), max);
                Some(page.map_or((Outcome::NotOwner, Answer::None), |page| {
                    (Outcome::Done, Answer::Roster(page))
                }))
            }
            Request::Announce {
                room,
                user,
                joined,
                count,
            } => {
                self.take_announcement((&room, &user), (joined, count));
                None
            }
            Request::Watch { key } => Some(self.take_watch(&peer.node, &key)),
            Request::Unwatch { key } => {
                self.take_unwatch(&peer.node, &key);
                None
            }
            Request::Presence { key, count } => {
                self.take_presence(&key, count);
                None
            }
            Request::Broadcast(broadcast) => {
                self.take_broadcast(&broadcast);
                None
            }
            _ => None,
        }
    }

    fn may_they_go(&self, peer: &Holder, offers: &[Offer]) -> Vec<bool> {
        let may_go = offers.iter().map(|offer| {
            self.with_shard(&offer.key, |shard, ctx, _| {
                let offer = std::slice::from_ref(offer);
                shard.streams.may_they_go(ctx, peer, offer)[0]
            })
        });
        may_go.collect()
    }

    pub(super) fn tell_presence(&self, users: &[UserId]) -> (Outcome, Answer) {
        (self.online(users)).map_or((Outcome::NotOwner, Answer::None), |online| {
            (Outcome::Done, Answer::Online(online))
        })
    }

    /// Who of these is online; `None` if this node does not own them all, or has not heard of all
    /// their sessions yet.
    fn online(&self, users: &[UserId]) -> Option<Vec<bool>> {
        let online = users.iter().map(|user| {
            let inbox = StreamKey::from(user);
            self.with_shard(&inbox, |shard, ctx, _| {
                (ctx.may_serve(&inbox)).then(|| shard.directory.is_online(&inbox))
            })
        });
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
                gather.answered(&users, self.online(&users).as_deref());
                continue;
            };
            let origin = Origin::Presence {
                gather: Arc::clone(&gather),
                users: users.clone(),
            };
            let refused = match topology.link(&owner) {
                None => Some(origin),
                Some(link) => link
                    .push(Request::Online { users }, Some(origin), self.deadline())
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
        self.tell_guests(link.node());
        link.nudge();
    }

    /// The connection to a peer broke: nobody knows what became of what was sent.
    pub fn link_disconnected(&self, link: &Arc<PeerLink>) {
        let sent = link.lock().disconnected();
        for origin in sent {
            self.settle_by(Some(origin), Outcome::Unknown, link.node());
        }
    }

    /// A peer's answer.
    pub fn link_reply(&self, link: &Arc<PeerLink>, reply: Reply) {
        let origin = link.lock().reply(reply.seq);
        if let Some(origin) = origin {
            self.settle_with(origin, reply.outcome, reply.answer, Some(link.node()));
        }
    }
}
