//! What is read and written on foca's behalf, watched for what concerns this node itself.
//!
//! Foca keeps its incarnation to itself, and it calls everybody else of its own name down and spreads
//! that, although the other may be the one that was started later. Both pass through the codec.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut};
use foca::{Header, Incarnation, Message, State};

use super::belief::{Beliefs, Doubt, Doubted};
use super::{Identity, Record};
use crate::id::NodeId;

/// Another node of this one's name.
#[derive(Debug, Clone)]
pub(super) struct Rival {
    pub record: Record,
    /// It has said so itself.
    pub first_hand: bool,
}

/// What is known of this node itself, shared between a membership and its codec.
#[derive(Debug, Clone)]
pub(super) struct Own(Arc<Mutex<Parts>>);

#[derive(Debug)]
struct Parts {
    identity: Identity,
    incarnation: Incarnation,
    rival: Option<Rival>,
    beliefs: Beliefs,
    /// Records that were not believed, and the last of them.
    doubted: Option<(u64, Doubted)>,
}

impl Parts {
    /// Whether what a record says can be. Of this node's own name only the generation has to be: the rest says
    /// who else there is.
    fn believes(&mut self, identity: &Identity) -> bool {
        let doubt = if identity.id == self.identity.id {
            self.beliefs.doubt_of_generation(identity)
        } else {
            self.beliefs.doubt(identity)
        };
        let Some(why) = doubt else { return true };
        self.doubt(identity.id.clone(), why);
        false
    }

    fn doubt(&mut self, node: NodeId, why: Doubt) {
        let count = self.doubted.as_ref().map_or(0, |(count, _)| *count);
        self.doubted = Some((count + 1, Doubted { node, why }));
    }
}

impl Own {
    pub(super) fn new(identity: Identity) -> Self {
        Self(Arc::new(Mutex::new(Parts {
            identity,
            incarnation: Incarnation::default(),
            rival: None,
            beliefs: Beliefs::default(),
            doubted: None,
        })))
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // Nothing here can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node's identity may have changed. Returns whether it has.
    pub(super) fn is_now(&self, identity: &Identity) -> bool {
        let mut parts = self.parts();
        let changed = parts.identity != *identity;
        if changed {
            parts.identity = identity.clone();
            parts.incarnation = Incarnation::default();
        }
        changed
    }

    /// How often this identity has denied that it is down.
    pub(super) fn incarnation(&self) -> Incarnation {
        self.parts().incarnation
    }

    /// Whether foca may hear this. What others say of this very identity it has to; of all others
    /// of this name only the latest one counts, and that is for [`Self::take_rival`]. What cannot be it must
    /// not hear. `first_hand`: it is the node itself that says so.
    pub(super) fn admits(&self, record: &Record, first_hand: bool) -> bool {
        let mut parts = self.parts();
        if *record.id() == parts.identity {
            return true;
        }
        if !parts.believes(record.id()) {
            return false;
        }
        if record.id().id != parts.identity.id {
            return true;
        }
        let known = parts.rival.as_ref();
        let newer = record
            .id()
            .supersedes(known.map_or(&parts.identity, |known| known.record.id()));
        let confirmed = first_hand && known.is_some_and(|known| known.record.id() == record.id());
        if newer || confirmed {
            let record = record.clone();
            parts.rival = Some(Rival { record, first_hand });
        }
        false
    }

    /// Whether a node is to be believed that somebody else speaks of.
    pub(super) fn believes(&self, identity: &Identity) -> bool {
        self.parts().believes(identity)
    }

    /// A packet was not understood, and all of it dropped.
    pub(super) fn could_not_read(&self) {
        let mut parts = self.parts();
        let node = parts.identity.id.clone();
        parts.doubt(node, Doubt::Unreadable);
    }

    /// Changes what is believed from now on.
    pub(super) fn with_beliefs(&self, change: impl FnOnce(&mut Beliefs)) {
        change(&mut self.parts().beliefs);
    }

    /// How many records were not believed since the last call, and the last of them.
    pub(super) fn take_doubted(&self) -> Option<(u64, Doubted)> {
        self.parts().doubted.take()
    }

    /// Whoever runs under this name and comes before this node.
    pub(super) fn take_rival(&self) -> Option<Rival> {
        self.parts().rival.take()
    }
}

/// A codec that is watched.
#[derive(Debug)]
pub(super) struct Watched<C> {
    pub codec: C,
    pub own: Own,
}

impl<C: foca::Codec<Identity>> foca::Codec<Identity> for Watched<C> {
    type Error = C::Error;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        buf: impl BufMut,
    ) -> Result<(), C::Error> {
        let mut parts = self.own.parts();
        if header.src == parts.identity {
            parts.incarnation = header.src_incarnation;
        }
        drop(parts);
        self.codec.encode_header(header, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, C::Error> {
        let mut header = self.codec.decode_header(buf)?;
        let about = match &header.message {
            Message::PingReq { target, .. } | Message::IndirectAck { target, .. } => Some(target),
            Message::IndirectPing { origin, .. } | Message::ForwardedAck { origin, .. } => {
                Some(origin)
            }
            _ => None,
        };
        let about_is_good = about.is_none_or(|about| self.own.believes(about));
        let sender = Record::new(header.src.clone(), header.src_incarnation, State::Alive);
        if !self.own.admits(&sender, true) || !about_is_good {
            // Foca refuses a packet that comes from its own name.
            header.src = self.own.parts().identity.clone();
        }
        Ok(header)
    }

    fn encode_member(&mut self, member: &Record, buf: impl BufMut) -> Result<(), C::Error> {
        self.codec.encode_member(member, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Record, C::Error> {
        let record = self.codec.decode_member(buf)?;
        if self.own.admits(&record, false) {
            return Ok(record);
        }
        // That it is alive itself is no news to foca.
        Ok(Record::alive(self.own.parts().identity.clone()))
    }
}
