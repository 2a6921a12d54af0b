//! A session as a handler sees it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Body, Handle, Message};
use crate::core::frame;
use crate::dispatch;
use crate::error::{CloseCode, ErrorCode};
use crate::id::{RoomName, SessionId, UserId};

/// What a user's token says.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// Values by their types.
type Values = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// A client's connection: what [`Session`] and [`RawSession`] have in common. Cheap to clone; all
/// clones are one connection. One that has ended can be kept, and does nothing any more.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    session: Arc<dispatch::Session>,
    handle: Handle,
    remote: SocketAddr,
    /// Absent until something is put there.
    values: Mutex<Option<Values>>,
    /// The program has closed it.
    closed: AtomicBool,
    /// Nothing is written to it any more.
    ended: AtomicBool,
}

impl Connection {
    pub(crate) fn new(session: Arc<dispatch::Session>, handle: Handle, remote: SocketAddr) -> Self {
        Self(Arc::new(Shared {
            session,
            handle,
            remote,
            values: Mutex::default(),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }))
    }

    /// Its id, unique on its node.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.0.session.id()
    }

    /// Its user.
    #[must_use]
    pub fn user(&self) -> &UserId {
        self.0.session.user()
    }

    /// Where its TCP connection comes from: the client, or a proxy in front of the node.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.0.remote
    }

    /// What the user's token says. There are no tokens yet, so this is `None`.
    #[must_use]
    pub fn claims(&self) -> Option<Arc<Claims>> {
        None
    }

    /// The node's handle, to send to others.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.0.handle
    }

    /// Whether it is neither closed nor closing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.0.ended.load(Ordering::Relaxed) && !self.0.session.outbox().is_closing()
    }

    /// Keeps a value of the program with this session, one of each type, and returns the one before.
    /// It is dropped with the last clone of the session.
    pub fn insert<T: Any + Send + Sync>(&self, value: T) -> Option<Arc<T>> {
        let mut values = self.values();
        let values = values.get_or_insert_default();
        let before = values.insert(TypeId::of::<T>(), Arc::new(value));
        before.and_then(|value| value.downcast().ok())
    }

    /// The value of that type.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let values = self.values();
        let value = values.as_ref()?.get(&TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    /// Takes the value of that type away.
    pub fn remove<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let value = self.values().as_mut()?.remove(&TypeId::of::<T>())?;
        value.downcast().ok()
    }

    fn values(&self) -> MutexGuard<'_, Option<Values>> {
        // Changed in single steps, each of which is whole.
        (self.0.values.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes it, behind what is queued for it. Says whether it was not closing already. The reason is
    /// cut to what a Close frame holds.
    pub fn close(&self, code: CloseCode, reason: &str) -> bool {
        self.close_as(code.number(), reason)
    }

    /// As [`Self::close`], with a code of the program's own, 4000 to 4999; with any other it does
    /// nothing. Clients are to connect again up to 4499 and not from 4500 on.
    pub fn close_with(&self, code: u16, reason: &str) -> bool {
        (4000..=4999).contains(&code) && self.close_as(code, reason)
    }

    fn close_as(&self, code: u16, reason: &str) -> bool {
        let first = self.0.session.close_as(code, reason);
        if first {
            self.0.closed.store(true, Ordering::Relaxed);
        }
        first
    }

    /// Its connection has ended.
    pub(crate) fn set_ended(&self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the program has closed it.
    pub(crate) fn was_closed_by_program(&self) -> bool {
        self.0.closed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("user", self.user())
            .field("id", &self.id())
            .field("remote", &self.0.remote)
            .finish_non_exhaustive()
    }
}

/// A session that speaks Ringpost's protocol. All that is said of a [`Connection`] is true of it, too.
#[derive(Debug, Clone)]
pub struct Session(Connection);

impl Session {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// Queues a message for this session alone: a `message` of the stream `inbox` that is not kept
    /// (qos 0), from that user, who need not be anybody who connects. The user's other sessions do not
    /// get it; [`Handle::send`] reaches them all.
    ///
    /// Says whether it was taken: it is not once the session is closing, which a client that does not
    /// read makes it (4413).
    pub fn send(&self, from: &UserId, body: impl Into<Body>) -> bool {
        let Shared {
            session, handle, ..
        } = &*self.0.0;
        let id = handle.next_id();
        let body = body.into();
        self.is_open() && handle.dispatch().say(session, from, &id, body.as_str())
    }

    /// Puts the session into a room, as if its client had asked for it, but without a receipt; it gets
    /// what comes from now on. Returns when it is in.
    ///
    /// # Errors
    /// [`ErrorCode::NotAllowed`]: it is in as many rooms as it may be. [`ErrorCode::Unreachable`]: the
    /// room's owner could not be reached in time. [`ErrorCode::Unknown`]: the session has ended, or its
    /// client joins the same room meanwhile.
    pub async fn join(&self, room: &RoomName) -> Result<(), ErrorCode> {
        let Shared {
            session, handle, ..
        } = &*self.0.0;
        if !self.is_open() {
            return Err(ErrorCode::Unknown);
        }
        let joined = handle.dispatch().join_of_program(session, room)?;
        (handle.unless_stopped(joined).await)
            .and_then(Result::ok)
            .unwrap_or(Err(ErrorCode::Unknown))
    }

    /// Takes the session out of a room, without a receipt. Says whether it was there.
    pub fn leave(&self, room: &RoomName) -> bool {
        let Shared {
            session, handle, ..
        } = &*self.0.0;
        handle.dispatch().leave_of_program(session, room)
    }
}

impl Deref for Session {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

/// A session whose frames are the program's. All that is said of a [`Connection`] is true of it, too.
#[derive(Debug, Clone)]
pub struct RawSession(Connection);

impl RawSession {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// Queues a message for the client. Says whether it was taken: it is not once the session is
    /// closing, which a client that does not read makes it (4413).
    pub fn send(&self, message: &Message) -> bool {
        let frame = match message {
            Message::Text(text) => frame::encode::text(text),
            Message::Binary(bytes) => frame::encode::binary(bytes),
        };
        self.is_open() && self.0.0.session.push(frame)
    }
}

impl Deref for RawSession {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}
