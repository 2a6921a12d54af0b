//! What a node has of one stream, and what it is for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::configuration::{ConfigId, Holder};
use super::log::Log;
use crate::core::peer::Operation;

/// The first copies of a new stream are made within this time, however busy their holders are. Less
/// than it takes until one that is silent is passed over. A guess.
const FIRST_COPIES_WITHIN: Duration = Duration::from_secs(1);

/// One stream on one node.
#[derive(Debug)]
pub(super) struct Stream<T> {
    /// Absent only while the stream is being taken over from others.
    pub copy: Option<Copy>,
    pub role: Role<T>,
    /// See [`super::streams::Streams::present`].
    pub in_line_with: (u64, u64),
}

/// A copy of a stream.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    pub config: ConfigId,
    /// All holders of that configuration, its owner first.
    pub holders: Vec<Holder>,
    /// The last operation in the log.
    pub seq: u64,
    pub log: Log,
    /// It was offered to another owner: nothing more is taken in its configuration.
    pub sealed: bool,
}

/// What a node is for a stream.
#[derive(Debug)]
pub(super) enum Role<T> {
    /// It appends to it.
    Owner(Owner<T>),
    /// It is first for it, and does not serve it yet.
    Taking(Taking),
    /// It holds it for another.
    Held(Held),
}

/// What an owner keeps beside its copy.
#[derive(Debug)]
pub(super) struct Owner<T> {
    /// The other holders.
    pub replicas: Vec<Replica>,
    /// The operation with which the configuration opened.
    pub opened: u64,
    /// The last operation that all holders have.
    pub committed: u64,
    /// The opening was committed once: sessions are served.
    pub serving: bool,
    /// That was told by an output.
    pub announced: bool,
    /// When the stream began, if that was here, with nothing in it, and in the present configuration.
    pub new_since: Option<Duration>,
    /// The last offset that is committed.
    pub visible: u64,
    /// Operations that are not committed, and the last offset that each made.
    pub appended: VecDeque<(u64, u64)>,
    /// In the order of what they wait for.
    pub waiters: VecDeque<Waiter<T>>,
    /// Whose copy is on its way here, to be merged.
    pub pulling: Option<Holder>,
    /// From then on everybody who takes from the stream is known here.
    pub complete_at: Duration,
}

/// Who waits for an operation to be committed.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub seq: u64,
    pub from: T,
    pub duplicate: bool,
}

/// Another holder, as the owner sees it.
#[derive(Debug)]
pub(super) struct Replica {
    pub holder: Holder,
    /// The last operation that it has acknowledged in this configuration.
    pub acked: u64,
    pub state: ReplicaState,
    /// Something is on its way to it: nothing else is sent before that is answered.
    pub in_flight: bool,
    /// The operations behind what is on its way, up to the last one in the log.
    pub queue: VecDeque<Operation>,
    /// Since when it has been silent, if it is: what it was asked last has no answer, or cannot be asked.
    pub failing_since: Option<Duration>,
    /// What it lacks is not sent again before.
    pub retry_at: Duration,
    /// How often it did not take that, one after the other.
    pub retries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplicaState {
    /// It has nothing of this configuration, or something is missing.
    Lacking,
    /// All of it is on the way.
    Installing,
    /// It follows.
    Following,
}

/// A stream that is being taken over.
#[derive(Debug, Default)]
pub(super) struct Taking {
    /// Copies that others have offered.
    pub offers: Vec<Offered>,
    /// Those that have arrived.
    pub pulled: Vec<Copy>,
}

#[derive(Debug)]
pub(super) struct Offered {
    pub from: Holder,
    pub config: ConfigId,
    pub seq: u64,
    pub state: OfferState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfferState {
    Wanted,
    Pulling,
    Here,
}

/// A copy held for another.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// When it is to be offered (again).
    pub offer_at: Duration,
    /// When it last heard of its owner.
    pub touched: Duration,
}

impl<T> Stream<T> {
    pub(super) fn new(copy: Option<Copy>, role: Role<T>) -> Self {
        Self {
            copy,
            role,
            in_line_with: (0, 0),
        }
    }

    /// Whether something is still to be done until every holder follows.
    pub(super) fn is_incomplete(&self) -> bool {
        match &self.role {
            Role::Owner(owner) => {
                (owner.replicas.iter()).any(|replica| replica.state != ReplicaState::Following)
            }
            Role::Taking(_) => true,
            Role::Held(_) => false,
        }
    }

    /// Whether what was accepted may have fewer copies than it should, or a copy does not come about.
    pub(super) fn is_under_replicated(&self, now: Duration) -> bool {
        let begins = matches!(&self.role, Role::Owner(owner) if owner.is_just_beginning(now));
        self.is_incomplete() && !begins
    }

    /// Of a stream that needs attention: whether there is something in it that its owner may lack.
    pub(super) fn is_offered(&self) -> bool {
        let copy = self.copy.as_ref();
        matches!(self.role, Role::Held(_)) && copy.is_some_and(|copy| !copy.log.is_empty())
    }
}

impl<T> Owner<T> {
    pub(super) fn new() -> Self {
        Self {
            replicas: Vec::new(),
            opened: 0,
            committed: 0,
            serving: false,
            announced: false,
            new_since: None,
            visible: 0,
            appended: VecDeque::new(),
            waiters: VecDeque::new(),
            pulling: None,
            complete_at: Duration::ZERO,
        }
    }

    /// Whether nobody waits for anything.
    pub(super) fn is_idle(&self) -> bool {
        self.waiters.is_empty() && self.appended.is_empty() && self.pulling.is_none()
    }

    /// The last operation that all other holders have acknowledged; `None` if there are none.
    pub(super) fn acked(&self) -> Option<u64> {
        self.replicas.iter().map(|replica| replica.acked).min()
    }

    /// Whether another holder has to be sent the whole stream.
    pub(super) fn is_lacked(&self) -> bool {
        (self.replicas.iter()).any(|replica| replica.state == ReplicaState::Lacking)
    }

    /// Whether the stream is new, and its first copies are on their way as they should be. Nobody has
    /// been told yet that anything in it is accepted.
    fn is_just_beginning(&self, now: Duration) -> bool {
        let is_well = |replica: &Replica| {
            replica.state != ReplicaState::Lacking
                && replica.failing_since.is_none()
                && replica.retries == 0
        };
        let in_time = |since: Duration| now < since + FIRST_COPIES_WITHIN;
        !self.serving && self.new_since.is_some_and(in_time) && self.replicas.iter().all(is_well)
    }

    pub(super) fn replica(&mut self, node: &crate::id::NodeId) -> Option<&mut Replica> {
        let mut replicas = self.replicas.iter_mut();
        replicas.find(|replica| replica.holder.node == *node)
    }
}

impl Replica {
    /// Takes the next operations to be sent, of about that many bytes, if there are any and nothing
    /// is on its way.
    pub(super) fn next(&mut self, bytes_max: usize) -> Vec<Operation> {
        if self.in_flight {
            return Vec::new();
        }
        let mut bytes = 0;
        let fits = |operation: &&Operation| {
            let room = bytes < bytes_max;
            bytes += operation.size();
            room
        };
        let count = self.queue.iter().take_while(fits).count();
        self.queue.drain(..count).collect()
    }

    /// The queue to it is full, which says nothing about it: its silence counts from when it is asked.
    pub(super) fn is_not_asked(&mut self, now: Duration) {
        self.failing_since = self.failing_since.map(|_| now);
    }

    pub(super) fn new(holder: Holder) -> Self {
        Self {
            holder,
            acked: 0,
            state: ReplicaState::Lacking,
            in_flight: false,
            queue: VecDeque::new(),
            failing_since: None,
            retry_at: Duration::ZERO,
            retries: 0,
        }
    }
}

/// How many copies that is, for a receipt.
pub(super) fn copies(holders: &[Holder]) -> u8 {
    u8::try_from(holders.len()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::stream::{Epoch, Position};
    use crate::id::{Generation, NodeId};

    #[test]
    fn what_gathers_while_something_is_on_its_way_goes_together_and_in_bounds() {
        let ack = |offset| {
            let epoch = Epoch::ROOT;
            Operation::Ack(Position { epoch, offset })
        };
        let mut replica = Replica::new(Holder {
            node: NodeId::new("n1").unwrap(),
            generation: Generation(1),
        });
        replica.queue.extend((1..=3).map(ack));
        replica.in_flight = true;
        assert!(replica.next(1000).is_empty());
        replica.in_flight = false;
        assert_eq!(replica.next(ack(1).size() + 1), [ack(1), ack(2)]);
        assert_eq!(replica.next(1), [ack(3)], "one at least");
        assert!(replica.next(1000).is_empty());
    }
}
