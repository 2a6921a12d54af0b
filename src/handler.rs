//! Your own logic on the ring: a handler that takes a session's messages as they come.

use std::sync::Arc;

use bytes::Bytes;

use crate::core::frame;
use crate::dispatch::Session;
use crate::error::CloseCode;

/// A message of a client, reassembled and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text, valid UTF-8.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
}

/// A client connection, for a [`Handler`].
#[derive(Debug, Clone)]
pub struct RawSession(pub(crate) Arc<Session>);

impl RawSession {
    /// Its user.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.user().as_str()
    }

    /// Queues a message for the client. Says whether it was taken: it is not once the session is
    /// closing, which a client that does not read makes it (4413).
    pub fn send(&self, message: &Message) -> bool {
        self.0.push(match message {
            Message::Text(text) => frame::encode::text(text),
            Message::Binary(bytes) => frame::encode::binary(bytes),
        })
    }

    /// Closes the session, after what is queued.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.0.outbox().finish(code, reason);
    }
}

/// Takes the place of Ringpost's own client protocol: a node that is started with a handler hands
/// it every message as it came. The ring, the redirect handshake, heartbeats and limits stay.
///
/// A session's calls come one after the other; those of different sessions at the same time.
#[async_trait::async_trait]
pub trait Handler: Send + Sync + 'static {
    /// A session is there.
    async fn on_open(&self, session: &RawSession) {
        let _ = session;
    }

    /// A client has sent a message. The next one is read when this returns.
    async fn on_message(&self, session: &RawSession, message: Message);

    /// The session is gone.
    async fn on_close(&self, session: &RawSession) {
        let _ = session;
    }
}
