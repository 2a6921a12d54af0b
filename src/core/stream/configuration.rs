//! Who holds a stream, and which of two answers to that is the later one.

use std::fmt;

use crate::core::view::Member;
use crate::id::{Generation, NodeId};

/// One start of one node. What a node of an earlier generation held is gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The node's name.
    pub node: NodeId,
    /// Its start.
    pub generation: Generation,
}

impl Holder {
    /// Whether this is that member, in the start that a view knows.
    #[must_use]
    pub fn is(&self, member: &Member) -> bool {
        self.generation == member.generation && self.node == member.id
    }
}

impl From<&Member> for Holder {
    fn from(member: &Member) -> Self {
        Self {
            node: member.id.clone(),
            generation: member.generation,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.generation)
    }
}

/// A configuration of a stream: one owner, a fixed list of holders. Every change of either opens
/// another one with a higher number; of two the greater is the later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigId {
    /// Grows with every change.
    pub number: u64,
    /// Who opened it, and alone appends in it.
    pub owner: Holder,
}
