//! The client protocol: one request in, one or more replies out. Pure: bytes to values and back.
//!
//! It has two forms ([`Encoding`]): JSON text messages, [`request`] and [`reply`], and [`binary`]
//! ones. Both make the same [`Request`] and say the same [`Reply`].
//!
//! *Invariant:* a body is never decoded and encoded again; it goes from [`request`] to [`reply`]
//! as the text that the sender wrote.

pub mod binary;
mod body;
mod encoding;
mod fields;
pub mod reply;
pub mod request;
mod rooms;

pub use body::{BODY_DEPTH_MAX, check_body};
pub use encoding::{Encoded, Encoding, Reply};
pub use reply::{Joined, Message, Reason, Receipt, Welcome};
pub use request::{Join, JoinRoom, Qos, Recipient, Refusal, Request, RequestLimits, Send, parse};
