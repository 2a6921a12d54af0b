//! Messages to everyone: one copy to each node, which gives it to all its sessions.

use bytes::Bytes;

use super::shard::Subscriber;
use super::{Dispatch, locked};
use crate::core::peer::{Broadcast, Request};
use crate::core::protocol::{Encoded, Message, Reply, Send};
use crate::id::UserId;

impl Dispatch {
    /// A message for every session of the cluster. Nobody knows whom it reaches.
    pub(super) fn broadcast(&self, from: &UserId, send: &Send<'_>) {
        let broadcast = Broadcast {
            from: from.clone(),
            id: Box::from(&*send.id),
            body: Bytes::copy_from_slice(send.body.as_bytes()),
            ts_ms: self.clock.unix_ms(),
        };
        for link in self.topology.load().links() {
            let request = Request::Broadcast(broadcast.clone());
            // One without a connection hears nothing of it.
            if link.is_connected() && link.push(request, None, self.deadline()).is_ok() {
                self.counters.sent_on(broadcast.body.len());
            }
        }
        self.take_broadcast(&broadcast);
    }

    /// Gives a message to every session of this node that may be given any.
    pub(super) fn take_broadcast(&self, broadcast: &Broadcast) {
        let message = Reply::Message(Message {
            position: None,
            id: &broadcast.id,
            from: broadcast.from.as_str(),
            to: None,
            // Checked wherever a message comes from.
            body: std::str::from_utf8(&broadcast.body).unwrap_or_default(),
            ts: broadcast.ts_ms,
        });
        let mut encoded = Encoded::default();
        for shard in &self.shards {
            let shard = locked(shard);
            let sessions = shard.directory.sessions();
            let sessions = sessions.filter_map(Subscriber::session);
            let taken = sessions
                .filter(|session| session.tell_as(&mut encoded, || message))
                .count();
            (self.counters).handed(taken as u64, broadcast.body.len());
        }
    }
}
