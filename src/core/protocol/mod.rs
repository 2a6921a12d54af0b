//! The client protocol in its JSON form (`ringpost.v1.json`): one request in, one or more replies
//! out, each a text message. Pure: bytes to values and back.
//!
//! *Invariant:* a body is never decoded and encoded again; it goes from [`request`] to [`reply`]
//! as the text that the sender wrote.

mod body;
mod fields;
pub mod reply;
pub mod request;
mod rooms;

pub use body::{BODY_DEPTH_MAX, check_body};
pub use reply::{Message, Reason, Receipt, Welcome};
pub use request::{Join, JoinRoom, Qos, Recipient, Refusal, Request, RequestLimits, Send, parse};
