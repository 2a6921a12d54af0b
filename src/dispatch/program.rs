//! What the program around a node asks for one of the node's sessions. All else it asks for as a
//! backend.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::joining::JoinAnswer;
use super::{Dispatch, Session};
use crate::core::protocol::request::{JoinRoom, check_promise};
use crate::core::protocol::{Message, Qos, Receipt, Recipient, Reply, Send};
use crate::error::ErrorCode;
use crate::id::{RoomName, UserId};

impl Dispatch {
    /// Queues a message that is not kept for one session; says whether it was taken.
    pub fn say(&self, session: &Session, from: &UserId, id: &str, body: &str) -> bool {
        let taken = session.tell(&Reply::Message(Message {
            position: None,
            id,
            from: from.as_str(),
            to: Some(session.inbox()),
            body,
            ts: self.clock.unix_ms(),
        }));
        (self.counters).handed(u64::from(taken), body.len());
        taken
    }

    /// A client's message that a handler has changed. Its receipt goes to the client's outbox, as that
    /// of [`Dispatch::send`].
    pub fn send_rewritten(&self, session: &Arc<Session>, mut send: Send<'_>) {
        send.notify &= check_promise(&send.to, send.qos, true).is_ok();
        if send.to != Recipient::Everyone {
            return self.send(session, &send);
        }
        // The program may, whatever its clients may.
        self.counters.messages_in.add();
        self.counters
            .received_bytes
            .add_many(send.body.len() as u64);
        send.qos = Qos::AtMostOnce;
        self.broadcast(session.user(), &send);
        session.tell(&Reply::Receipt {
            id: &send.id,
            receipt: &Receipt::Sent,
        });
    }

    /// A session is to be in a room. The client hears nothing of it.
    ///
    /// # Errors
    /// [`ErrorCode::NotAllowed`] when it is in as many rooms as it may be.
    pub fn join_of_program(
        &self,
        session: &Arc<Session>,
        room: &RoomName,
    ) -> Result<oneshot::Receiver<Result<(), ErrorCode>>, ErrorCode> {
        let rooms = vec![JoinRoom {
            room: room.clone(),
            since: None,
        }];
        let (answer, joined) = oneshot::channel();
        let answer = JoinAnswer::Program(Some(answer).into());
        (self.join_all(session, rooms, answer, &[])).map_err(|_| ErrorCode::NotAllowed)?;
        Ok(joined)
    }

    /// A session is not to be in a room any more; says whether it was. The client hears nothing of it.
    pub fn leave_of_program(&self, session: &Session, room: &RoomName) -> bool {
        let was_there = session.leave(room);
        if was_there {
            self.remove_member(session, room, true);
        }
        was_there
    }
}
