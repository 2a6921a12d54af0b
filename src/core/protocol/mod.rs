//! The client protocol in its JSON form (`ringpost.v1.json`): one request in, one or more replies
//! out, each a text message. Pure: bytes to values and back.
//!
//! *Invariant:* a body is never decoded and encoded again; it goes from [`request`] to [`reply`]
//! as the text that the sender wrote.

mod fields;
pub mod reply;
pub mod request;

pub use reply::{Message, Reason, Receipt, Welcome};
pub use request::{Qos, Refusal, Request, Send, parse};
