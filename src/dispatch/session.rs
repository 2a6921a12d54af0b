//! One client connection, as the rest of the node sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::outbox::Outbox;
use crate::core::frame;
use crate::core::protocol::reply;
use crate::error::{CloseCode, ErrorCode};
use crate::id::{SessionId, UserId};

/// A client connection after its handshake.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    user: UserId,
    /// The query with which the client goes on to another node, without a position.
    onward: Box<str>,
    protocol: Protocol,
    /// Whether it may be told to move to the user's owner (`redirect=never` forbids it).
    may_move: bool,
    welcomed: AtomicBool,
    outbox: Outbox,
    outbound_bytes_max: usize,
}

/// What a session's frames are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// `ringpost.v1.json`, with the welcome that opens it.
    Json(Arc<Greeting>),
    /// Whatever the program's handler makes of them.
    Raw,
}

/// What every welcome of a node says.
#[derive(Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The node.
    pub node: crate::id::NodeId,
    /// How often the server pings, in milliseconds.
    pub heartbeat_ms: u64,
    /// The largest message it takes, in bytes.
    pub max_message_bytes: usize,
}

/// What a session is made of.
#[derive(Debug)]
pub struct SessionConfig {
    /// Its user.
    pub user: UserId,
    /// The query with which the client goes on to another node, without a position.
    pub onward: Box<str>,
    /// What its frames are.
    pub protocol: Protocol,
    /// Whether it may be told to move.
    pub may_move: bool,
    /// Bytes that may wait to be written to it.
    pub outbound_bytes_max: usize,
}

impl Session {
    pub(super) fn new(id: SessionId, config: SessionConfig) -> Self {
        Self {
            id,
            user: config.user,
            onward: config.onward,
            protocol: config.protocol,
            may_move: config.may_move,
            welcomed: AtomicBool::new(false),
            outbox: Outbox::new(),
            outbound_bytes_max: config.outbound_bytes_max,
        }
    }

    /// Its id, unique on this node.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Its user.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Whether its frames are a handler's.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.protocol == Protocol::Raw
    }

    /// Whether it has been told that it is welcome, which happens once its user's owner knows it.
    #[must_use]
    pub fn is_welcomed(&self) -> bool {
        self.welcomed.load(Ordering::Acquire)
    }

    /// What waits to be written to it.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(super) fn may_move(&self) -> bool {
        self.may_move
    }

    pub(super) fn onward(&self) -> &str {
        &self.onward
    }

    /// Lets it in. Only the first call counts.
    pub(super) fn welcome(&self) {
        if self.welcomed.swap(true, Ordering::AcqRel) {
            return;
        }
        let first = match &self.protocol {
            Protocol::Raw => None,
            Protocol::Json(greeting) => {
                Some(frame::encode::text(&reply::welcome(&reply::Welcome {
                    user: &self.user,
                    session: self.id,
                    node: &greeting.node,
                    position: None,
                    recovered: None,
                    heartbeat_ms: greeting.heartbeat_ms,
                    max_message_bytes: greeting.max_message_bytes,
                })))
            }
        };
        self.outbox.open(first);
    }

    /// Queues a whole frame. Says whether it was taken.
    pub fn push(&self, frame: Bytes) -> bool {
        self.outbox.push(frame, self.outbound_bytes_max)
    }

    /// Queues a JSON text.
    pub(crate) fn push_text(&self, json: &[u8]) -> bool {
        self.push(frame::encode::text(json))
    }

    /// Sends it away because of `code`, with an `error` before the Close frame.
    pub fn refuse(&self, code: ErrorCode, message: &str, close: CloseCode) {
        if !self.welcomed.swap(true, Ordering::AcqRel) {
            self.outbox.open(None);
        }
        if !self.is_raw() {
            self.push_text(&reply::error(code, message));
        }
        self.outbox.finish(close, message);
    }
}
