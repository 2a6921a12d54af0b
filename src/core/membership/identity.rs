//! A node under one state, as the failure detector knows it.

use std::sync::Arc;

use foca::State;

use super::Record;
use crate::core::view::{Member, MemberState};
use crate::id::{Generation, NodeId};

/// What an [`Identity`] is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityParts {
    /// The node's name: two identities of one name are the same node at different times.
    pub id: NodeId,
    /// Grows at every start.
    pub generation: Generation,
    /// Grows within a generation, whenever anything below changes or the node has to rejoin.
    pub revision: u32,
    /// `host:port` for other nodes.
    pub peer: Arc<str>,
    /// Where clients are sent.
    pub url: Arc<str>,
    /// Its share of the ring, relative to the others'.
    pub weight: u16,
    /// It is on its way out.
    pub draining: bool,
}

/// A node under one state. It changes as a whole: foca tells members apart by all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Arc<IdentityParts>);

impl Identity {
    /// The identity of these parts.
    #[must_use]
    pub fn new(parts: IdentityParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Whether another identity of the same name has this one's place: a later start, or, of two
    /// processes that were started in the same millisecond, the one whose address sorts last.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.generation, &self.peer) > (other.generation, &other.peer)
    }

    /// The same under the next revision.
    #[must_use]
    pub fn revised(&self, change: impl FnOnce(&mut IdentityParts)) -> Self {
        let mut parts = IdentityParts::clone(&self.0);
        parts.revision += 1;
        change(&mut parts);
        Self::new(parts)
    }
}

impl std::ops::Deref for Identity {
    type Target = IdentityParts;

    fn deref(&self) -> &IdentityParts {
        &self.0
    }
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    /// A node that was taken for dead comes back under the next revision. Its generation stays: it
    /// has not been started anew, and still has what it had in memory.
    fn renew(&self) -> Option<Self> {
        Some(self.revised(|_| {}))
    }

    fn addr(&self) -> NodeId {
        self.id.clone()
    }

    /// Of two that are not equal always the same one wins, or else nodes would go on telling each
    /// other of both.
    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        if self.generation == adversary.generation && self.peer == adversary.peer {
            self.revision > adversary.revision
        } else {
            self.supersedes(adversary)
        }
    }
}

/// A record as the rest of the node sees it.
pub(super) fn member_of(record: &Record) -> Member {
    let identity = record.id();
    Member {
        id: identity.id.clone(),
        revision: identity.revision,
        generation: identity.generation,
        peer: Arc::clone(&identity.peer),
        url: Arc::clone(&identity.url),
        weight: identity.weight,
        draining: identity.draining,
        state: match record.state() {
            State::Alive => MemberState::Alive,
            State::Suspect => MemberState::Suspect,
            State::Down => MemberState::Down,
        },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use foca::Identity as _;

    use super::*;

    /// A node of that name and generation, with an address made of its name.
    pub(crate) fn node(id: &str, generation: u64) -> Identity {
        Identity::new(IdentityParts {
            id: NodeId::new(id).unwrap(),
            generation: Generation(generation),
            revision: 0,
            peer: format!("{id}:7101").into(),
            url: format!("ws://{id}:7001").into(),
            weight: 1,
            draining: false,
        })
    }

    #[test]
    fn a_node_taken_for_dead_comes_back_under_its_generation_and_wins_over_what_it_was() {
        let before = node("n1", 7);
        let after = before.renew().unwrap();
        assert_eq!(after.generation, before.generation);
        assert!(after.win_addr_conflict(&before));
        assert!(!before.win_addr_conflict(&after));
        assert!(!after.supersedes(&before), "it is the same process");
    }

    #[test]
    fn of_two_identities_of_one_name_exactly_one_wins() {
        let elsewhere = node("n1", 7).revised(|parts| parts.peer = "other:7101".into());
        let all = [
            node("n1", 7),
            node("n1", 7).revised(|_| {}).revised(|_| {}),
            node("n1", 8),
            elsewhere.clone(),
            elsewhere.revised(|_| {}),
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                let wins = [one.win_addr_conflict(other), other.win_addr_conflict(one)];
                assert_ne!(wins[0], wins[1], "{one:?} {other:?}");
            }
        }
    }
}
