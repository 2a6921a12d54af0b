//! Requests and replies of a link, to and from their wire form.

use super::{WireError, proto};
use crate::core::peer::{Envelope, HOPS_MAX, Outcome, Reply, Request};
use crate::id::{SessionId, UserId};

impl From<(u64, Request)> for proto::Request {
    fn from((seq, request): (u64, Request)) -> Self {
        use proto::request::Kind;
        let kind = match request {
            Request::Envelope(envelope) => Kind::Envelope(envelope.into()),
            Request::Register { user, session } => Kind::Register(proto::Register {
                user: user.as_str().to_owned(),
                session: session.0,
            }),
            Request::Unregister { user, session } => Kind::Unregister(proto::Unregister {
                user: user.as_str().to_owned(),
                session: session.0,
            }),
            Request::Presence { users } => Kind::Presence(proto::PresenceQuery {
                users: users.iter().map(|user| user.as_str().to_owned()).collect(),
            }),
        };
        Self {
            seq,
            kind: Some(kind),
        }
    }
}

impl TryFrom<proto::Request> for (u64, Request) {
    type Error = WireError;

    fn try_from(request: proto::Request) -> Result<Self, WireError> {
        use proto::request::Kind;
        let kind = request.kind.ok_or(WireError("a request without a kind"))?;
        let request_of = match kind {
            Kind::Envelope(envelope) => Request::Envelope(envelope.try_into()?),
            Kind::Register(proto::Register { user, session }) => Request::Register {
                user: user_id(&user)?,
                session: SessionId(session),
            },
            Kind::Unregister(proto::Unregister { user, session }) => Request::Unregister {
                user: user_id(&user)?,
                session: SessionId(session),
            },
            Kind::Presence(proto::PresenceQuery { users }) => Request::Presence {
                users: users
                    .iter()
                    .map(|user| user_id(user))
                    .collect::<Result<_, _>>()?,
            },
        };
        Ok((request.seq, request_of))
    }
}

impl From<Envelope> for proto::Envelope {
    fn from(envelope: Envelope) -> Self {
        Self {
            to: envelope.to.as_str().to_owned(),
            from: envelope.from.as_str().to_owned(),
            id: envelope.id.into_string(),
            body: envelope.body,
            ts_ms: envelope.ts_ms,
            hops: u32::from(envelope.hops),
            to_guests: envelope.to_guests,
        }
    }
}

impl TryFrom<proto::Envelope> for Envelope {
    type Error = WireError;

    fn try_from(envelope: proto::Envelope) -> Result<Self, WireError> {
        if std::str::from_utf8(&envelope.body).is_err() {
            return Err(WireError("a body that is not UTF-8"));
        }
        Ok(Self {
            to: user_id(&envelope.to)?,
            from: user_id(&envelope.from)?,
            id: envelope.id.into_boxed_str(),
            body: envelope.body,
            ts_ms: envelope.ts_ms,
            // One that claims more has no steps left: it is delivered here or nowhere.
            hops: u8::try_from(envelope.hops).map_or(HOPS_MAX, |hops| hops.min(HOPS_MAX)),
            to_guests: envelope.to_guests,
        })
    }
}

impl From<Reply> for proto::Reply {
    fn from(reply: Reply) -> Self {
        let outcome = match reply.outcome {
            Outcome::Done => proto::Outcome::Done,
            Outcome::Offline => proto::Outcome::Offline,
            Outcome::Unreachable => proto::Outcome::Unreachable,
            Outcome::Unknown => proto::Outcome::Unknown,
            Outcome::NotOwner => proto::Outcome::NotOwner,
        };
        Self {
            seq: reply.seq,
            outcome: outcome.into(),
            online: reply.online,
        }
    }
}

impl From<proto::Reply> for Reply {
    fn from(reply: proto::Reply) -> Self {
        Self {
            seq: reply.seq,
            outcome: match reply.outcome() {
                proto::Outcome::Done => Outcome::Done,
                proto::Outcome::Offline => Outcome::Offline,
                proto::Outcome::Unreachable => Outcome::Unreachable,
                proto::Outcome::NotOwner => Outcome::NotOwner,
                // What a newer node says and this one does not understand may mean anything.
                proto::Outcome::Unknown | proto::Outcome::Unspecified => Outcome::Unknown,
            },
            online: reply.online,
        }
    }
}

fn user_id(user: &str) -> Result<UserId, WireError> {
    UserId::new(user).map_err(|_| WireError("a user id out of bounds"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message;

    use super::*;

    fn round_trip(request: Request) {
        let sent = proto::Request::from((7, request.clone())).encode_to_vec();
        let received = proto::Request::decode(Bytes::from(sent)).unwrap();
        assert_eq!(<(u64, Request)>::try_from(received).unwrap(), (7, request));
    }

    #[test]
    fn requests_come_back_as_they_went() {
        let user = UserId::new("bob").unwrap();
        let session = SessionId(u64::MAX);
        round_trip(Request::Register {
            user: user.clone(),
            session,
        });
        round_trip(Request::Unregister {
            user: user.clone(),
            session,
        });
        round_trip(Request::Presence {
            users: vec![user.clone(); 3],
        });
        round_trip(Request::Envelope(Envelope {
            to: user.clone(),
            from: user,
            id: "m1".into(),
            body: Bytes::from_static(b"{ \"a\" : 1e400 }"),
            ts_ms: 1_732_350_000_123,
            hops: 3,
            to_guests: true,
        }));
    }

    #[test]
    fn a_bad_user_id_is_refused_and_excess_hops_are_cut() {
        let envelope = proto::Envelope {
            to: "bob".into(),
            from: "eve\n".into(),
            ..Default::default()
        };
        assert!(Envelope::try_from(envelope).is_err());
        let envelope = proto::Envelope {
            to: "bob".into(),
            from: "eve".into(),
            hops: 4_000_000_000,
            ..Default::default()
        };
        assert_eq!(Envelope::try_from(envelope).unwrap().hops, HOPS_MAX);
    }
}
