//! What the tests of this module share.

use std::time::Duration;

use super::{Context, Epoch, Holder, LogLimits, Message, Room, StreamConfig};
use crate::core::consent::Consents;
use crate::core::ring::Seed;
use crate::core::view::{Member, MemberState, View};
use crate::id::{Generation, NodeId, UserId};

pub const LIMITS: LogLimits = LogLimits {
    entries_max: 9,
    bytes_max: 1000,
    kept_entries_max: 9,
    kept_bytes_max: 1000,
    age_max: Duration::from_secs(100),
    seen_max: 10,
    seen_age: Duration::from_secs(20),
};

const CONFIG: StreamConfig = StreamConfig {
    replicas: 2,
    min_copies: 1,
    inboxes: LIMITS,
    rooms: LIMITS,
    shard_bytes_max: 10_000,
};

/// The epoch of that number, of one node.
pub fn epoch(number: u64) -> Epoch {
    Epoch::opened(number, &node("n1"), Generation(1))
}

/// A message of one sender with a body of that many bytes.
pub fn message(id: &str, bytes: usize) -> Message {
    let from = UserId::new("a").unwrap();
    Message::new(&from, id, &"1".repeat(bytes), 0, false)
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub fn holder(name: &str) -> Holder {
    Holder {
        node: node(name),
        generation: Generation(1),
    }
}

/// What `n1` sees.
pub fn view(names: &[&str]) -> View {
    let members = names.iter().map(|name| Member {
        id: node(name),
        generation: Generation(1),
        revision: 0,
        peer: "127.0.0.1:1".into(),
        url: "ws://127.0.0.1:2".into(),
        weight: 1,
        draining: false,
        state: MemberState::Alive,
    });
    View::new(node("n1"), Seed(7), members.collect(), None)
}

/// At that time, under a view and its number, to which all others have agreed.
pub fn with<T>(
    now: Duration,
    (view, number): (&View, u64),
    then: impl FnOnce(&Context<'_>) -> T,
) -> T {
    let mut consents = Consents::new(view);
    consents.join();
    then(&Context {
        now,
        view,
        number,
        consents: &consents,
        config: &CONFIG,
        room: &|_| Room::Free,
    })
}
