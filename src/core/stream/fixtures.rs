//! What the tests of this module share.

use bytes::Bytes;

use super::{Epoch, Message};
use crate::id::{Generation, NodeId, UserId};

/// The epoch of that number, of one node.
pub fn epoch(number: u64) -> Epoch {
    Epoch::opened(number, &NodeId::new("n1").unwrap(), Generation(1))
}

/// A message of one sender with a body of that many bytes.
pub fn message(id: &str, bytes: usize) -> Message {
    Message {
        from: UserId::new("a").unwrap(),
        id: id.into(),
        body: Bytes::from(vec![b'1'; bytes]),
        ts_ms: 0,
        notify: false,
    }
}
