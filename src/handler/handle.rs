//! A way into the cluster from anywhere in a program.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Body;
use crate::core::api::route::ROOM_USERS_MAX;
use crate::core::peer::UserSession;
use crate::core::protocol::request::{REQUEST_ID_BYTES_MAX, check_promise};
use crate::core::protocol::{Qos, Receipt, Recipient, Send as Request};
use crate::core::roster::RosterPage;
use crate::dispatch::Dispatch;
use crate::error::ErrorCode;
use crate::id::{RoomName, UserId};

/// Sends from anywhere, and asks who is there. Cheap to clone. Once its node has ended, what it is
/// asked fails with `unreachable` or `unknown`.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dispatch: Arc<Dispatch>,
    stop: CancellationToken,
    message_bytes_max: usize,
    /// Begins every id of this handle; random.
    prefix: u64,
    ids: AtomicU64,
}

/// How to send a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// Names the message together with the user it is from, 1 to 64 bytes: a repeat of a kept one is
    /// recognised. Without it the message gets an id of its own.
    pub id: Option<String>,
    /// What is promised: [`Qos::AtLeastOnce`], and [`Qos::AtMostOnce`] to everyone, if nothing is said.
    pub qos: Option<Qos>,
    /// The sessions of the user it is from hear when the recipient, a user, has acked it.
    pub notify: bool,
}

/// A message on its way. It is sent whether or not its receipt is waited for, with `.await`.
#[derive(Debug)]
pub struct Sent {
    handle: Handle,
    receipt: Result<oneshot::Receiver<Receipt>, Receipt>,
}

/// The wait for a receipt.
pub type Receiving = Pin<Box<dyn Future<Output = Receipt> + Send>>;

impl IntoFuture for Sent {
    type Output = Receipt;
    type IntoFuture = Receiving;

    fn into_future(self) -> Receiving {
        Box::pin(async move {
            match self.receipt {
                Ok(receipt) => {
                    let receipt = self.handle.unless_stopped(receipt).await;
                    let receipt = receipt.and_then(Result::ok);
                    receipt.unwrap_or_else(|| ErrorCode::Unknown.into())
                }
                Err(receipt) => receipt,
            }
        })
    }
}

impl Handle {
    pub(crate) fn new(
        dispatch: Arc<Dispatch>,
        stop: CancellationToken,
        message_bytes_max: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            dispatch,
            stop,
            message_bytes_max,
            prefix: rand::random(),
            ids: AtomicU64::new(0),
        }))
    }

    /// Sends a message to a user, a room or everyone, wherever they are, in the name of a user, who
    /// need not be anybody who connects. It is kept (qos 1), but to everyone.
    ///
    /// What one node sends in one name to one recipient arrives in its order. There is no bound to
    /// the clients' rights here, as for backends; their bounds are the same, too.
    pub fn send(&self, from: &UserId, to: impl Into<Recipient>, body: impl Into<Body>) -> Sent {
        self.send_with(from, to, body, SendOptions::default())
    }

    /// As [`Self::send`], with an id, a promise or a notice.
    pub fn send_with(
        &self,
        from: &UserId,
        to: impl Into<Recipient>,
        body: impl Into<Body>,
        options: SendOptions,
    ) -> Sent {
        Sent {
            receipt: self.try_send(from, to.into(), &body.into(), options),
            handle: self.clone(),
        }
    }

    fn try_send(
        &self,
        from: &UserId,
        to: Recipient,
        body: &Body,
        options: SendOptions,
    ) -> Result<oneshot::Receiver<Receipt>, Receipt> {
        let failed = |code, message: &'static str| Receipt::Failed {
            code,
            message: message.into(),
        };
        if self.0.stop.is_cancelled() {
            return Err(ErrorCode::Unreachable.into());
        }
        if body.as_str().len() > self.0.message_bytes_max {
            return Err(ErrorCode::TooLarge.into());
        }
        let qos = options.qos.unwrap_or_else(|| Qos::default_for(&to));
        check_promise(&to, qos, options.notify)
            .map_err(|why| failed(ErrorCode::BadRequest, why))?;
        let id = options.id.unwrap_or_else(|| self.next_id());
        if !(1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) {
            return Err(failed(ErrorCode::BadRequest, "an id has 1 to 64 bytes"));
        }
        let send = Request {
            id: id.into(),
            to,
            body: body.as_str(),
            qos,
            notify: options.notify,
            echo: true,
        };
        Ok(self.0.dispatch.send_of_backend(from, &send, None))
    }

    /// The sessions of a user, on whichever node, as the user's owner knows them.
    ///
    /// # Errors
    /// [`ErrorCode::Unreachable`] when no owner has answered in time.
    pub async fn sessions_of(&self, user: &UserId) -> Result<Vec<UserSession>, ErrorCode> {
        let sessions = self.unless_stopped(self.0.dispatch.sessions_of(user));
        sessions.await.unwrap_or(Err(ErrorCode::Unreachable))
    }

    /// Closes every session of a user with 4510, on every node, and says how many there were.
    ///
    /// # Errors
    /// [`ErrorCode::Unknown`] when a node has not answered in time: what the others had is closed.
    pub async fn disconnect(&self, user: &UserId) -> Result<u64, ErrorCode> {
        let closed = self.unless_stopped(self.0.dispatch.disconnect(user));
        closed.await.unwrap_or(Err(ErrorCode::Unknown))
    }

    /// A room, whether or not anybody is there.
    #[must_use]
    pub fn room(&self, name: &RoomName) -> Room {
        Room {
            handle: self.clone(),
            name: name.clone(),
        }
    }

    pub(super) fn dispatch(&self) -> &Dispatch {
        &self.0.dispatch
    }

    /// An id that no other message has.
    pub(super) fn next_id(&self) -> String {
        let number = self.0.ids.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{number}", self.0.prefix)
    }

    /// Waits for something, or for the end of the node, from which on nothing is answered.
    pub(super) async fn unless_stopped<T>(&self, something: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            value = something => Some(value),
            () = self.0.stop.cancelled() => None,
        }
    }
}

/// A room, seen from the program.
#[derive(Debug, Clone)]
pub struct Room {
    handle: Handle,
    name: RoomName,
}

impl Room {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// As [`Handle::send`], to all who are in it.
    pub fn send(&self, from: &UserId, body: impl Into<Body>) -> Sent {
        self.handle.send(from, &self.name, body)
    }

    /// How many users are in it, and up to 1,000 of them in their order, those behind `after`.
    ///
    /// # Errors
    /// [`ErrorCode::Unreachable`] when no owner has answered in time.
    pub async fn members(&self, after: Option<&UserId>) -> Result<RosterPage, ErrorCode> {
        let members = self
            .handle
            .dispatch()
            .room(&self.name, after, ROOM_USERS_MAX);
        (self.handle.unless_stopped(members).await).unwrap_or(Err(ErrorCode::Unreachable))
    }
}
