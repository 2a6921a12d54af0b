//! A program's own logic on the ring: what sessions say, looked at, changed, answered or refused, and
//! messages from anywhere in the program.
//!
//! A [`Handler`] stands between a session and what Ringpost does with its requests. Clients speak
//! Ringpost's protocol, so redirects, rooms, inboxes, receipts and resuming stay as they are:
//!
//! ```no_run
//! use ringpost::{Config, Handler, Incoming, Node, Session, Verdict, id::NodeId};
//!
//! struct Polite;
//!
//! #[ringpost::async_trait]
//! impl Handler for Polite {
//!     async fn on_message(&self, session: &Session, message: Incoming) -> Verdict {
//!         match message.body.text() {
//!             Some(text) if text.contains("damn") => Verdict::refuse("mind your language"),
//!             _ => Verdict::Pass,
//!         }
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut config = Config::new(NodeId::new("n1")?);
//!     config.insecure_users = true;
//!     let node = Node::start_with(config, Polite).await?;
//!     tokio::signal::ctrl_c().await?;
//!     node.drain().await;
//!     Ok(())
//! }
//! ```
//!
//! A [`RawHandler`] takes the frames as they come instead, for programs with a protocol of their own.
//! A [`Handle`] sends from anywhere: from a handler, an HTTP server, a timer.
//!
//! - **One session, one call at a time.** `on_open` comes first and `on_close` last; the next request
//!   is read when the call before has returned. What is queued for the client is written meanwhile.
//! - **Sessions do not wait for each other.** A call that takes long holds up its own session, and
//!   nobody else, as long as it awaits. One that computes or blocks for long belongs into
//!   `tokio::task::spawn_blocking`, as anywhere in Tokio.
//! - **A panic ends one session,** with 1011. It is logged and counted (`handler_panics`).
//! - **Each node has its own handler,** which sees the sessions of that node. Messages of backends
//!   and from other nodes do not pass one: what clients send is judged where it comes in.
//! - **A client repeats** a message without a receipt, under the same id, perhaps at another node: a
//!   handler that judges it in the same way again keeps it from being there twice.
//!
//! Whoever ends a node at once, instead of draining it, ends its handlers' calls, too; there is no
//! `on_close` then.

mod body;
mod handle;
mod session;
mod verdict;

use std::sync::Arc;

use bytes::Bytes;

pub use self::body::{Body, InvalidBody};
pub use self::handle::{Handle, Receiving, Room, SendOptions, Sent};
pub use self::session::{Claims, Connection, RawSession, Session};
pub use self::verdict::{Incoming, Refusal, SessionError, Verdict};
pub use crate::core::peer::UserSession;
pub use crate::core::protocol::{Qos, Receipt, Recipient};
pub use crate::core::roster::RosterPage;

use crate::id::RoomName;

/// What a program does with the sessions of its node; see [the module](self). Whatever is left out
/// changes nothing.
#[async_trait::async_trait]
pub trait Handler: Send + Sync + 'static {
    /// A session is there. What it is sent here comes after its `welcome`.
    async fn on_open(&self, session: &Session) {
        let _ = session;
    }

    /// A client sends a message. Requests that are not well formed do not come here.
    async fn on_message(&self, session: &Session, message: Incoming) -> Verdict {
        let _ = (session, message);
        Verdict::Pass
    }

    /// A client wants to be in a room. In a list of rooms each is asked for; those that are refused
    /// have their error in the receipt. [`Session::join`] does not ask.
    ///
    /// # Errors
    /// The [`Refusal`] says why it may not.
    async fn on_join(&self, session: &Session, room: &RoomName) -> Result<(), Refusal> {
        let _ = (session, room);
        Ok(())
    }

    /// The session has ended because of an error; `on_close` follows.
    async fn on_error(&self, session: &Session, error: SessionError) {
        let _ = (session, error);
    }

    /// The session has ended, however; nothing can be sent to it any more.
    async fn on_close(&self, session: &Session) {
        let _ = session;
    }
}

/// A message of a client, reassembled and checked, with nothing of Ringpost's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text, valid UTF-8.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
}

/// Takes the place of Ringpost's client protocol: a node that is started with one hands it every
/// message as it came. The ring, the redirect handshake, heartbeats and limits stay; rooms, inboxes
/// and receipts do not, and a drain closes its sessions with 1012.
///
/// The rules for calls are those of [the module](self).
#[async_trait::async_trait]
pub trait RawHandler: Send + Sync + 'static {
    /// A session is there.
    async fn on_open(&self, session: &RawSession) {
        let _ = session;
    }

    /// A client has sent a message. The next one is read when this returns.
    async fn on_message(&self, session: &RawSession, message: Message);

    /// The session has ended because of an error; `on_close` follows.
    async fn on_error(&self, session: &RawSession, error: SessionError) {
        let _ = (session, error);
    }

    /// The session has ended, however.
    async fn on_close(&self, session: &RawSession) {
        let _ = session;
    }
}

/// The handler of a node.
pub(crate) enum Program {
    /// It judges what clients ask for.
    Requests(Arc<dyn Handler>),
    /// It has the frames for itself.
    Frames(Arc<dyn RawHandler>),
}
