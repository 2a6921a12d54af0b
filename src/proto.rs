//! The generated types of `proto/ringpost/v1`: [`ClientMessage`] and [`ServerMessage`], the frames of
//! the binary client protocol (`ringpost.v1.proto`), and what backends use, which
//! [`api`](crate::api) picks out.
//!
//! ```
//! use prost::Message as _;
//! use ringpost::proto::{ClientMessage, Join, client_message::Request};
//!
//! let join = ClientMessage {
//!     id: "j1".to_owned(),
//!     request: Some(Request::Join(Join { room: "lobby".to_owned(), ..Join::default() })),
//! };
//! let frame = join.encode_to_vec();
//! # assert_eq!(ClientMessage::decode(&frame[..]), Ok(join));
//! ```

pub use self::generated::*;

#[allow(missing_docs, clippy::pedantic, reason = "generated")]
mod generated {
    tonic::include_proto!("ringpost.v1");
}
