//! What the tests of this module share.

use super::{Epoch, Message};
use crate::id::{Generation, NodeId, UserId};

/// The epoch of that number, of one node.
pub fn epoch(number: u64) -> Epoch {
    Epoch::opened(number, &NodeId::new("n1").unwrap(), Generation(1))
}

/// A message of one sender with a body of that many bytes.
pub fn message(id: &str, bytes: usize) -> Message {
    let from = UserId::new("a").unwrap();
    Message::new(&from, id, &"1".repeat(bytes), 0, false)
}
