//! Messages of clients: decoded, read, and acted on.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Pump, STRANGE_MAX};
use crate::core::protocol::{Encoding, Refusal, Reply, Request, RequestLimits, binary, parse};
use crate::core::trust::Hidden;
use crate::dispatch::WATCHED_MAX;
use crate::error::{CloseCode, ErrorCode};
use crate::id::StreamKey;
use crate::proto::ClientMessage;

/// A message of a client, decoded as far as its protocol needs that.
pub(super) enum Decoded<'m> {
    Json(&'m str),
    Proto(Box<ClientMessage>),
}

impl<S> Pump<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Takes a message of that encoding.
    pub(super) fn take(&mut self, encoding: Encoding, message: &Bytes) {
        if let Some(decoded) = self.decode(encoding, message)
            && let Some(request) = self.read(&decoded)
        {
            self.take_request(request);
        }
    }

    /// A message of that encoding, decoded; one that cannot be is answered.
    pub(super) fn decode<'m>(
        &mut self,
        encoding: Encoding,
        message: &'m Bytes,
    ) -> Option<Decoded<'m>> {
        let strange = |message: &str| Refusal::NotTheProtocol {
            message: message.to_owned(),
        };
        let decoded = match (encoding, self.session.encoding()) {
            (Encoding::Json, Some(Encoding::Json)) => Ok(Decoded::Json(
                std::str::from_utf8(message).unwrap_or_default(),
            )),
            (Encoding::Proto, Some(Encoding::Proto)) => {
                binary::decode(message).map(|message| Decoded::Proto(Box::new(message)))
            }
            (Encoding::Json, _) => Err(strange("this protocol has no text messages")),
            (Encoding::Proto, _) => Err(strange("this protocol has no binary messages")),
        };
        decoded.map_err(|refusal| self.refuse_one(&refusal)).ok()
    }

    /// The request in a message; one that is none is answered.
    pub(super) fn read<'m>(&mut self, decoded: &'m Decoded<'_>) -> Option<Request<'m>> {
        let limits = RequestLimits {
            presence_users_max: self.server.config.limits.presence_users_max,
            rooms_max: self.server.config.room.per_session_max,
        };
        let request = match decoded {
            Decoded::Json(text) => parse(text, &limits),
            Decoded::Proto(message) => binary::request(message, &limits),
        };
        match request {
            Ok(request) => {
                self.strange = 0;
                if request.is_free() || self.may_pass() {
                    return Some(request);
                }
                self.tell_rate_limited(request.id());
                None
            }
            Err(refusal) => {
                self.refuse_one(&refusal);
                None
            }
        }
    }

    /// Answers what is refused whatever its sender may send, which counts like all else.
    fn refuse_one(&mut self, refusal: &Refusal) {
        if self.may_pass() {
            if let Refusal::Failed {
                code: ErrorCode::TooLarge,
                ..
            } = refusal
            {
                let counters = self.server.dispatch.counters();
                counters.requests_too_large.add();
            }
            self.session.tell(&Reply::from(refusal));
        } else {
            let id = match refusal {
                Refusal::Failed { id, .. } => Some(&**id),
                Refusal::NotTheProtocol { .. } | Refusal::Error { .. } => None,
            };
            self.tell_rate_limited(id);
        }
        match refusal {
            Refusal::NotTheProtocol { .. } => self.strange(),
            Refusal::Failed { .. } | Refusal::Error { .. } => self.strange = 0,
        }
    }

    pub(super) fn take_request(&mut self, request: Request<'_>) {
        let dispatch = &self.server.dispatch;
        match request {
            Request::Ack { position: None } => {}
            Request::Ack {
                position: Some(now),
            } => match self.ack.replace(now) {
                // The client may say less after it has said more.
                Some(before) if before.epoch == now.epoch => self.ack = Some(before.max(now)),
                Some(before) => dispatch.ack(self.session, before),
                None => {}
            },
            Request::Send(send) => dispatch.send(self.session, &send),
            Request::Join(join) => dispatch.join_rooms(self.session, join),
            Request::Leave { id, room } => dispatch.leave_room(self.session, &id, &room),
            Request::Presence {
                id,
                users,
                subscribe,
            } => {
                let inboxes = users.iter().map(StreamKey::from);
                if self.watch(&id, inboxes, subscribe) {
                    dispatch.presence(self.session, &id, users);
                }
            }
            Request::RoomPresence {
                id,
                room,
                after,
                subscribe,
            } => {
                let key = StreamKey::Room(room.clone());
                if self.watch(&id, [key], subscribe) {
                    dispatch.room_presence(self.session, &id, room, after);
                }
            }
            Request::Auth { id, token } => self.renew(&id, &token),
            Request::Ping { id } => {
                self.session.tell(&Reply::Pong { id: id.as_deref() });
            }
        }
    }

    /// A fresh token. A bad one changes nothing: the session goes on as long as the one before is good.
    fn renew(&mut self, id: &str, token: &Hidden) {
        let server = self.server;
        let renewed = match &server.tokens {
            None => Err((
                ErrorCode::Unsupported,
                "this node takes no tokens".to_owned(),
            )),
            Some(tokens) => match tokens.verify(token.reveal(), server.dispatch.unix_ms()) {
                Err(error) => Err((ErrorCode::NotAllowed, error.to_string())),
                Ok(principal) => {
                    let other = || "the token is another user's".to_owned();
                    let renewed = self.session.renew(server.kept(principal));
                    renewed.ok_or_else(|| (ErrorCode::NotAllowed, other()))
                }
            },
        };
        match renewed {
            Ok(()) => {
                self.heartbeat.token_changed();
                self.session.tell(&Reply::Renewed { id });
            }
            Err((code, message)) => {
                server.dispatch.counters().unauthorized.add();
                let message = &message;
                self.session.tell(&Reply::Failed { id, code, message });
            }
        }
    }

    /// What a presence request says of changes. Says whether to answer the rest of it.
    pub(super) fn watch(
        &self,
        id: &str,
        keys: impl IntoIterator<Item = StreamKey>,
        wanted: Option<bool>,
    ) -> bool {
        let Some(wanted) = wanted else {
            return true;
        };
        let keys: Vec<_> = keys.into_iter().collect();
        let may = self.server.dispatch.watch(self.session, &keys, wanted);
        if !may {
            self.session.tell(&Reply::Failed {
                id,
                code: ErrorCode::NotAllowed,
                message: &format!("changes of at most {WATCHED_MAX} users and rooms"),
            });
        }
        may
    }

    pub(super) fn strange(&mut self) {
        self.strange += 1;
        if self.strange >= STRANGE_MAX {
            let reason = "ten messages in a row that are not the protocol's";
            self.session
                .outbox()
                .finish(CloseCode::NotTheProtocol, reason);
        }
    }
}
