//! A program's handler at one session: its calls, one after the other, and what comes of them.
//!
//! While a call runs nothing is read, and what is queued is written. So a handler that takes its time
//! holds up nothing but the requests of its own session.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Pump;
use crate::core::protocol::{Encoding, Join, Receipt, Reply, Request, Send};
use crate::error::{CloseCode, ErrorCode};
use crate::handler::{
    Connection, Handler, Incoming, Message, Program, RawSession, Session, SessionError, Verdict,
};

/// A call of a handler under way.
type Call<'c, T> = Pin<Box<dyn Future<Output = T> + std::marker::Send + 'c>>;

impl<'a, S> Pump<'a, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The handler, and the session as it sees it.
    fn program(&self) -> Option<(&'a Program, Connection)> {
        let program = self.server.program.as_ref()?;
        Some((program, self.connection.clone()?))
    }

    /// The session is there.
    pub(super) async fn tell_open(&mut self) {
        let Some((program, connection)) = self.program() else {
            return;
        };
        match program {
            Program::Requests(handler) => {
                let session = Session::new(connection);
                self.call("on_open", handler.on_open(&session)).await;
            }
            Program::Frames(handler) => {
                let session = RawSession::new(connection);
                self.call("on_open", handler.on_open(&session)).await;
            }
        }
    }

    /// The session has ended, and why.
    pub(super) async fn tell_close(&mut self) {
        let Some((program, connection)) = self.program() else {
            return;
        };
        let code = self.session.outbox().close_code();
        let by_program = connection.was_closed_by_program();
        connection.set_ended();
        let error = code.filter(|_| !by_program).and_then(SessionError::of);
        match program {
            Program::Requests(handler) => {
                let session = Session::new(connection);
                if let Some(error) = error {
                    self.call("on_error", handler.on_error(&session, error))
                        .await;
                }
                self.call("on_close", handler.on_close(&session)).await;
            }
            Program::Frames(handler) => {
                let session = RawSession::new(connection);
                if let Some(error) = error {
                    self.call("on_error", handler.on_error(&session, error))
                        .await;
                }
                self.call("on_close", handler.on_close(&session)).await;
            }
        }
    }

    /// Gives a message to the handler that takes them all, or asks the one that judges requests.
    pub(super) async fn hand_over(&mut self, message: Message) {
        match (self.program(), message) {
            (Some((Program::Frames(handler), connection)), message) => {
                let session = RawSession::new(connection);
                let call = handler.on_message(&session, message);
                self.call("on_message", call).await;
            }
            (Some((Program::Requests(handler), connection)), message) => {
                let session = Session::new(connection);
                let (encoding, message) = encoded(message);
                let Some(decoded) = self.decode(encoding, &message) else {
                    return;
                };
                let Some(request) = self.read(&decoded) else {
                    return;
                };
                if let Some(request) = self.judge(&**handler, &session, request).await {
                    self.take_request(request);
                }
            }
            (None, message) => {
                let (encoding, message) = encoded(message);
                self.take(encoding, &message);
            }
        }
    }

    /// Asks the handler about a request; returns it if it is to go on as it is.
    async fn judge<'r>(
        &mut self,
        handler: &dyn Handler,
        session: &Session,
        request: Request<'r>,
    ) -> Option<Request<'r>> {
        match request {
            Request::Send(send) => self.judge_send(handler, session, send).await,
            Request::Join(join) => self.judge_join(handler, session, join).await,
            _ => Some(request),
        }
    }

    async fn judge_send<'r>(
        &mut self,
        handler: &dyn Handler,
        session: &Session,
        send: Send<'r>,
    ) -> Option<Request<'r>> {
        let message = handler.on_message(session, Incoming::of(&send));
        match self.call("on_message", message).await? {
            Verdict::Pass => return Some(Request::Send(send)),
            Verdict::Rewrite { body, .. } if body.as_str().len() > self.message_bytes_max() => {
                let code = ErrorCode::TooLarge;
                self.session.tell(&Reply::Failed {
                    id: &send.id,
                    code,
                    message: code.message(),
                });
            }
            Verdict::Rewrite { to, body } => {
                let body = body.as_str();
                let send = Send { to, body, ..send };
                self.server.dispatch.send_rewritten(self.session, send);
            }
            Verdict::Refuse(refusal) => {
                self.session.tell(&Reply::Failed {
                    id: &send.id,
                    code: refusal.code,
                    message: &refusal.message,
                });
            }
            Verdict::Taken => {
                self.session.tell(&Reply::Receipt {
                    id: &send.id,
                    receipt: &Receipt::Sent,
                });
            }
        }
        None
    }

    fn message_bytes_max(&self) -> usize {
        self.server.config.limits.message_bytes_max
    }

    async fn judge_join<'r>(
        &mut self,
        handler: &dyn Handler,
        session: &Session,
        join: Join<'r>,
    ) -> Option<Request<'r>> {
        let mut refusals = Vec::with_capacity(join.rooms.len());
        for room in &join.rooms {
            let asked = handler.on_join(session, &room.room);
            refusals.push(self.call("on_join", asked).await?.err());
        }
        if refusals.iter().all(Option::is_none) {
            return Some(Request::Join(join));
        }
        if let (Some(Some(refusal)), true) = (refusals.first(), join.single) {
            self.session.tell(&Reply::Failed {
                id: &join.id,
                code: refusal.code,
                message: &refusal.message,
            });
            return None;
        }
        let refused: Vec<_> = refusals
            .iter()
            .map(|refusal| refusal.as_ref().map(|r| r.code))
            .collect();
        (self.server.dispatch).join_rooms_but(self.session, join, &refused);
        None
    }

    /// Waits for a call, and writes meanwhile; `None` if it panicked, which closes the session.
    async fn call<T>(&mut self, name: &'static str, mut call: Call<'_, T>) -> Option<T> {
        let mut over = false;
        let outcome = poll_fn(|cx| {
            // Whatever has ended there is found again by whoever writes next.
            over = over || self.poll_write(cx).is_ready();
            match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
                Ok(polled) => polled.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        })
        .await;
        // It was not read, and so could not be heard.
        self.heartbeat.alive();
        match outcome {
            Ok(value) => Some(value),
            Err(panic) => {
                self.panicked(name, &*panic);
                None
            }
        }
    }

    fn panicked(&self, name: &'static str, panic: &(dyn Any + std::marker::Send)) {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(node = %self.server.dispatch.me(), user = %self.session.user(), call = name,
            panic = text.unwrap_or("no text"), "a handler panicked; its session is closed");
        self.server.dispatch.counters().handler_panics.add();
        let reason = "the program that serves this failed";
        self.session.outbox().finish(CloseCode::Internal, reason);
    }
}

/// The session as a handler sees it, if there is one.
pub(super) fn connection(
    server: &super::Server,
    session: &Arc<crate::dispatch::Session>,
    remote: std::net::SocketAddr,
) -> Option<Connection> {
    let new = || Connection::new(Arc::clone(session), server.handle.clone(), remote);
    server.program.is_some().then(new)
}

fn encoded(message: Message) -> (Encoding, Bytes) {
    match message {
        Message::Text(text) => (Encoding::Json, text),
        Message::Binary(bytes) => (Encoding::Proto, bytes),
    }
}
