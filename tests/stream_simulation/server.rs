//! Where clients and nodes meet: what a session's socket would do.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rand::RngExt as _;
use ringpost::core::peer::{Answer, Pulled, Request};
use ringpost::core::protocol::{Qos, Recipient, Send};
use ringpost::core::stream::{Holder, Resume};
use ringpost::core::trust::Principal;
use ringpost::dispatch::{Dispatch, FEED_BYTES, Protocol, SessionConfig, Taken};
use ringpost::id::{StreamKey, UserId};

use super::client::Say;
use super::ledger::Target;
use super::rooms::room_name;
use super::scenario::MS;
use super::world::{Event, Pid, World};

pub fn user_id(user: usize) -> UserId {
    UserId::new(&format!("u{user}")).expect("a name")
}

/// The copy of a stream that a node has. One that is held for another is sealed by that.
pub fn copy_at(dispatch: &Dispatch, key: &StreamKey) -> Option<Pulled> {
    let me = Holder {
        node: dispatch.me().clone(),
        generation: dispatch.generation(),
    };
    let replies = Arc::default();
    let pull = Request::Pull { key: key.clone() };
    dispatch.peer_request(&me, 1, pull, &replies);
    match replies.take().pop()?.answer {
        Answer::Pulled(copy) => copy.map(|copy| *copy),
        _ => None,
    }
}

impl World {
    /// Something that a client sent has arrived.
    pub fn said(&mut self, id: usize) {
        let Some(say) = self.next_said(id) else {
            return;
        };
        let pid = self.connections[id].pid;
        self.trace
            .say(format_args!("connection {id} at {pid:?}: {say:?}"));
        let Some(process) = self.process(pid) else {
            if matches!(say, Say::Hello) {
                self.after(MS, Event::Dropped(id));
            }
            return;
        };
        let dispatch = Arc::clone(&process.dispatch);
        match say {
            Say::Hello => self.open(id),
            Say::Send(number) => {
                let message = &self.ledger.messages[number];
                let padding = if number.is_multiple_of(50) {
                    20_000
                } else {
                    number % 40
                };
                let body = format!("{{\"n\":{number},\"pad\":\"{}\"}}", "x".repeat(padding));
                let send = Send {
                    id: Cow::Borrowed(&message.id),
                    to: Recipient::Stream(match message.to {
                        Target::User(user) => StreamKey::Inbox(user_id(user)),
                        Target::Room(room) => StreamKey::Room(room_name(room)),
                    }),
                    body: &body,
                    qos: Qos::AtLeastOnce,
                    notify: message.notify,
                    echo: message.echo,
                };
                if let Some(session) = &self.connections[id].session
                    && !session.outbox().is_closing()
                {
                    dispatch.send(session, &send);
                }
            }
            Say::Ack(epoch, offset) => {
                if let Some(session) = &self.connections[id].session
                    && let Some(position) = Resume::given(&epoch, offset).position()
                {
                    dispatch.ack(session, position);
                    self.see_acks(id, &dispatch);
                }
            }
            Say::Join(name, rooms) => self.ask_to_join(id, &dispatch, &name, rooms),
            Say::Leave(name, room) => {
                if let Some(session) = &self.connections[id].session
                    && !session.outbox().is_closing()
                {
                    dispatch.leave_room(session, &name, &room_name(room));
                }
            }
            Say::Bye => self.close(id),
        }
        self.touch(pid);
    }

    /// What is acked in the log once an ack has come to its owner.
    fn see_acks(&mut self, id: usize, dispatch: &Dispatch) {
        let user = user_id(self.clients[self.connections[id].client].user);
        if !dispatch.topology().is_mine(user.as_str()) {
            return;
        }
        let pid = self.connections[id].pid;
        let copy = copy_at(dispatch, &StreamKey::Inbox(user));
        // Of a stream that it is taking over it keeps no acks.
        let Some(copy) = copy.filter(|copy| copy.config.owner.node == *dispatch.me()) else {
            return;
        };
        for entry in copy.snapshot.entries.iter().filter(|entry| entry.acked) {
            self.ledger.ack_is_taken(entry.message.id(), pid, self.now);
        }
    }

    fn open(&mut self, id: usize) {
        let pid = self.connections[id].pid;
        let Some(process) = self.process(pid) else {
            return;
        };
        let dispatch = Arc::clone(&process.dispatch);
        if dispatch.is_draining() || !dispatch.has_joined() {
            self.after(5 * MS, Event::Dropped(id));
            return;
        }
        let connection = &self.connections[id];
        let client = &self.clients[connection.client];
        let resume = connection.came_with.as_ref();
        let config = SessionConfig {
            principal: Principal::believed(user_id(client.user)),
            onward: "user=u".into(),
            protocol: Protocol::Json(Arc::clone(&process.greeting)),
            resume: resume.map_or(Resume::Fresh, |(epoch, offset)| {
                Resume::given(epoch, *offset)
            }),
            may_move: client.moves,
            outbound_bytes_max: 1024 * 1024,
        };
        let session = dispatch.open(config);
        self.connections[id].session = Some(session);
        if let Some(process) = self.process_mut(pid) {
            process.connections.push(id);
        }
    }

    fn close(&mut self, id: usize) {
        let pid = self.connections[id].pid;
        let Some(session) = self.connections[id].session.take() else {
            return;
        };
        if let Some(process) = self.process_mut(pid) {
            process.connections.retain(|known| *known != id);
            process.dispatch.close(&session);
        }
        self.connections[id].hears.clear();
        self.after(MS, Event::Dropped(id));
        self.touch(pid);
    }

    /// Writes what waits for the clients of a node.
    pub fn write_clients(&mut self, pid: Pid) {
        let Some(process) = self.process(pid) else {
            return;
        };
        for id in process.connections.clone() {
            self.write_client(id);
        }
    }

    fn write_client(&mut self, id: usize) {
        let cx = Context::from_waker(Waker::noop());
        loop {
            let connection = &mut self.connections[id];
            let Some(session) = connection.session.clone() else {
                return;
            };
            if connection.next_read > self.now {
                return;
            }
            let mut batch = VecDeque::new();
            let Poll::Ready(taken) = session.outbox().poll_take(&cx, &mut batch) else {
                if !session.outbox().is_held() {
                    connection.silent_at = self.now;
                }
                return;
            };
            let reads_every = self.clients[connection.client].reads_every;
            connection.next_read = self.now + reads_every;
            let bytes = batch.iter().map(Bytes::len).sum();
            let queued = session.outbox().written(bytes);
            let pid = connection.pid;
            if queued <= FEED_BYTES / 2
                && session.take_hungry()
                && let Some(process) = self.process(pid)
            {
                process.dispatch.feed_session(&session);
                self.touch(pid);
            }
            self.deliver(id, batch.into());
            if taken == Taken::Last {
                self.end(id);
                return;
            }
        }
    }

    fn deliver(&mut self, id: usize, frames: Vec<Bytes>) {
        let at = self.now + self.rng.random_range(100..10 * MS);
        let connection = &mut self.connections[id];
        connection.heard_at = connection.heard_at.max(at);
        connection.hears.push_back((connection.silent_at, frames));
        let after = connection.heard_at - self.now;
        self.after(after, Event::Heard(id));
    }

    /// The node has written its Close frame.
    fn end(&mut self, id: usize) {
        let pid = self.connections[id].pid;
        if let Some(session) = self.connections[id].session.take()
            && let Some(process) = self.process_mut(pid)
        {
            process.connections.retain(|known| *known != id);
            process.dispatch.close(&session);
        }
    }
}
