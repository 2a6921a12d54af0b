//! Webhooks: what happens to users, told to a program of the operator's by HTTP.
//!
//! Pure: events wait in [`Lane`]s, from which a shell takes batches and to which it says what became
//! of them. All events of a user are in one lane, and a lane has one batch under way, so a user's
//! events arrive in their order; a batch is of many users, so that a storm of connects is a few
//! requests and not thousands.

mod event;
mod lane;
mod signature;

pub use self::event::{Event, What, body};
pub use self::lane::{Lane, LaneConfig, Next, Pushed, Settled, Verdict};
pub use self::signature::{HEADER, header};

/// Lanes of a node: so many requests are under way at most, and a lane that is stuck holds up only
/// this part of the users.
pub const LANES: usize = 16;
