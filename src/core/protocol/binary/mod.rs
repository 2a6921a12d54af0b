//! The client protocol in its binary form (`ringpost.v1.proto`): the generated types of
//! `proto/ringpost/v1/client.proto`, from and to the values that the JSON form has, too.
//!
//! *Invariant:* the generated types do not go past here: a session's code sees a
//! [`Request`](super::Request) and says a [`Reply`], whatever the encoding.

mod reply;
mod request;

pub use reply::{receipt, server_message};
pub use request::{decode, request};

use bytes::Bytes;
use prost::Message as _;

use super::Reply;
use crate::core::frame::encode;

/// The frame of a reply.
pub(super) fn frame(reply: &Reply<'_>) -> Bytes {
    let message = server_message(reply);
    encode::binary_with(message.encoded_len(), |out| message.encode_raw(out))
}
