//! Requests of a link, to and from their wire form.

use super::check::{
    body, bounded, counted, each, generation, message_id, moment, required, room_name, stream_key,
    stream_key_to_wire, user_id,
};
use super::copies::{holders, offers, offers_to_wire};
use super::rooms::{members_from_wire, members_to_wire};
use super::stream::{entries, key_from_wire, key_to_wire, position, snapshot};
use super::{WireError, proto};
use crate::core::peer::{
    Append, Content, Delivery, Envelope, HOPS_MAX, Install, Operation, Request,
};
use crate::core::ring::Digest;
use crate::core::stream::Resume;
use crate::core::trace::TraceContext;
use crate::id::{SessionId, StreamKey, UserId};

impl From<(u64, Request)> for proto::Request {
    fn from((seq, request): (u64, Request)) -> Self {
        Self {
            seq,
            kind: Some(request.into()),
        }
    }
}

impl TryFrom<proto::Request> for (u64, Request) {
    type Error = WireError;

    fn try_from(request: proto::Request) -> Result<Self, WireError> {
        let kind = required(request.kind, "a request without a kind")?;
        Ok((request.seq, kind))
    }
}

impl From<Request> for proto::request::Kind {
    fn from(request: Request) -> Self {
        match request {
            Request::Envelope(envelope) => Self::Envelope(envelope.into()),
            Request::Append(append) => Self::Append(append.into()),
            Request::Install(install) => Self::Install((*install).into()),
            Request::Replicate {
                key,
                number,
                seq,
                operations,
            } => Self::Replicate(replicate_to_wire(&key, number, seq, operations)),
            Request::Consent { generation, digest } => Self::Consent(proto::Consent {
                generation: generation.0,
                digest: digest.0,
            }),
            Request::Offer(offers) => Self::Offers(proto::Offers {
                offers: offers_to_wire(offers),
            }),
            Request::Pull { key } => Self::Pull(proto::Pull {
                key: stream_key_to_wire(&key),
            }),
            Request::Register {
                key,
                session,
                nonce,
                since_ms,
                resume,
                new,
                leaving_ms,
            } => Self::Register(proto::Register {
                key: stream_key_to_wire(&key),
                session: session.0,
                nonce,
                since_ms,
                resume: resume.map(resume_to_wire),
                new,
                leaving_ms,
            }),
            Request::Unregister { key, session } => Self::Unregister(proto::Unregister {
                key: stream_key_to_wire(&key),
                session: session.0,
            }),
            Request::Deliver(delivery) => Self::Deliver(delivery.into()),
            Request::Ack { user, position } => Self::Ack(proto::Ack {
                user: text(&user),
                position: Some(position.into()),
            }),
            Request::UnderReplicated(streams) => {
                Self::UnderReplicated(proto::UnderReplicated { streams })
            }
            Request::Watch { key } => Self::Watch(proto::Watch {
                key: stream_key_to_wire(&key),
            }),
            Request::Unwatch { key } => Self::Unwatch(proto::Unwatch {
                key: stream_key_to_wire(&key),
            }),
            Request::Presence { key, count } => Self::PresenceChange(proto::Presence {
                key: stream_key_to_wire(&key),
                count,
            }),
            Request::Replace { user, session } => Self::Replace(proto::Replace {
                user: text(&user),
                session: session.0,
            }),
            Request::Online { users } => Self::Presence(proto::PresenceQuery {
                users: users.iter().map(text).collect(),
            }),
            Request::Sessions { user } => {
                Self::Sessions(proto::SessionsQuery { user: text(&user) })
            }
            Request::History { key, at } => Self::History(proto::HistoryQuery {
                key: stream_key_to_wire(&key),
                at: at.map(Into::into),
            }),
            Request::Members { room, whole, users } => {
                Self::Members(members_to_wire(&room, whole, users))
            }
            Request::Announce {
                room,
                user,
                joined,
                count,
            } => Self::Announce(proto::Announcement {
                room: room.as_str().to_owned(),
                user: text(&user),
                joined,
                count,
            }),
            Request::Roster { room, after, max } => Self::Roster(proto::RosterQuery {
                room: room.as_str().to_owned(),
                after: after.as_ref().map(text).unwrap_or_default(),
                max,
            }),
            Request::Broadcast(broadcast) => Self::Broadcast(broadcast.into()),
            Request::Disconnect { user } => {
                Self::Disconnect(proto::Disconnect { user: text(&user) })
            }
        }
    }
}

impl TryFrom<proto::request::Kind> for Request {
    type Error = WireError;

    fn try_from(kind: proto::request::Kind) -> Result<Self, WireError> {
        use proto::request::Kind;
        Ok(match kind {
            Kind::Envelope(envelope) => Self::Envelope(envelope.try_into()?),
            Kind::Append(append) => Self::Append(append.try_into()?),
            Kind::Install(install) => Self::Install(Box::new(install.try_into()?)),
            Kind::Replicate(replicate) => Self::Replicate {
                key: stream_key(&replicate.key)?,
                number: counted(replicate.number)?,
                seq: counted(replicate.seq)?,
                operations: operations(replicate.operations)?,
            },
            Kind::Consent(consent) => Self::Consent {
                generation: generation(consent.generation)?,
                digest: Digest(consent.digest),
            },
            Kind::Offers(list) => Self::Offer(offers(list.offers)?),
            Kind::Pull(pull) => Self::Pull {
                key: stream_key(&pull.key)?,
            },
            Kind::Register(register) => Self::Register {
                key: stream_key(&register.key)?,
                session: SessionId(register.session),
                nonce: register.nonce,
                since_ms: moment(register.since_ms)?,
                resume: register.resume.map(resume).transpose()?,
                new: register.new,
                leaving_ms: moment(register.leaving_ms)?,
            },
            Kind::Unregister(unregister) => Self::Unregister {
                key: stream_key(&unregister.key)?,
                session: SessionId(unregister.session),
            },
            Kind::Deliver(delivery) => Self::Deliver(delivery.try_into()?),
            Kind::Ack(ack) => Self::Ack {
                user: user_id(&ack.user)?,
                position: position(ack.position)?,
            },
            Kind::UnderReplicated(waiting) => Self::UnderReplicated(waiting.streams),
            Kind::Presence(query) => Self::Online {
                users: users(query.users)?,
            },
            Kind::Sessions(query) => Self::Sessions {
                user: user_id(&query.user)?,
            },
            Kind::History(query) => Self::History {
                key: stream_key(&query.key)?,
                at: query.at.map(TryInto::try_into).transpose()?,
            },
            Kind::Members(members) => {
                let whole = members.whole;
                let (room, users) = members_from_wire(members)?;
                Self::Members { room, whole, users }
            }
            Kind::Announce(announcement) => Self::Announce {
                room: room_name(&announcement.room)?,
                user: user_id(&announcement.user)?,
                joined: announcement.joined,
                count: announcement.count,
            },
            Kind::Roster(query) => Self::Roster {
                room: room_name(&query.room)?,
                after: (!query.after.is_empty())
                    .then(|| user_id(&query.after))
                    .transpose()?,
                max: query.max,
            },
            Kind::Watch(watch) => Self::Watch {
                key: stream_key(&watch.key)?,
            },
            Kind::Unwatch(unwatch) => Self::Unwatch {
                key: stream_key(&unwatch.key)?,
            },
            Kind::PresenceChange(change) => Self::Presence {
                key: stream_key(&change.key)?,
                count: change.count,
            },
            Kind::Replace(replace) => Self::Replace {
                user: user_id(&replace.user)?,
                session: SessionId(replace.session),
            },
            Kind::Broadcast(broadcast) => Self::Broadcast(broadcast.try_into()?),
            Kind::Disconnect(disconnect) => Self::Disconnect {
                user: user_id(&disconnect.user)?,
            },
        })
    }
}

fn trace_to_wire(trace: Option<Box<TraceContext>>) -> String {
    trace.map(|trace| trace.to_string()).unwrap_or_default()
}

/// No message is lost for a trace that cannot be read.
fn trace_from_wire(text: &str) -> Option<Box<TraceContext>> {
    TraceContext::parse(text).map(Box::new)
}

impl From<Envelope> for proto::Envelope {
    fn from(envelope: Envelope) -> Self {
        use proto::envelope::Content as Wire;
        Self {
            to: stream_key_to_wire(&envelope.to),
            from: text(&envelope.from),
            id: envelope.id.into_string(),
            content: Some(match envelope.content {
                Content::Body(body) => Wire::Body(body),
                Content::Delivered => Wire::Delivered(proto::Empty {}),
            }),
            ts_ms: envelope.ts_ms,
            hops: u32::from(envelope.hops),
            to_guests: envelope.to_guests,
            traceparent: trace_to_wire(envelope.trace),
        }
    }
}

impl TryFrom<proto::Envelope> for Envelope {
    type Error = WireError;

    fn try_from(envelope: proto::Envelope) -> Result<Self, WireError> {
        use proto::envelope::Content as Wire;
        let content = match envelope.content {
            Some(Wire::Body(bytes)) => Content::Body(body(bytes)?),
            Some(Wire::Delivered(proto::Empty {})) => Content::Delivered,
            None => return Err(WireError("an envelope without content")),
        };
        Ok(Self {
            to: stream_key(&envelope.to)?,
            from: user_id(&envelope.from)?,
            id: message_id(envelope.id)?,
            content,
            ts_ms: envelope.ts_ms,
            // One that claims more has no steps left: it is delivered here or nowhere.
            hops: u8::try_from(envelope.hops).map_or(HOPS_MAX, |hops| hops.min(HOPS_MAX)),
            to_guests: envelope.to_guests,
            trace: trace_from_wire(&envelope.traceparent),
        })
    }
}

impl From<Append> for proto::Append {
    fn from(append: Append) -> Self {
        Self {
            to: stream_key_to_wire(&append.to).into(),
            message: Some(append.message.into()),
            previous: append.previous.map(key_to_wire).unwrap_or_default(),
            traceparent: trace_to_wire(append.trace),
        }
    }
}

impl TryFrom<proto::Append> for Append {
    type Error = WireError;

    fn try_from(append: proto::Append) -> Result<Self, WireError> {
        let previous = (!append.previous.is_empty()).then(|| key_from_wire(&append.previous));
        Ok(Self {
            to: stream_key(&append.to)?,
            message: required(append.message, "a message is missing")?,
            previous: previous.transpose()?,
            trace: trace_from_wire(&append.traceparent),
        })
    }
}

impl From<Operation> for proto::Operation {
    fn from(operation: Operation) -> Self {
        use proto::operation::Kind;
        let kind = match operation {
            Operation::Append(entry) => Kind::Append(entry.into()),
            Operation::Ack(position) => Kind::Ack(position.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<proto::Operation> for Operation {
    type Error = WireError;

    fn try_from(operation: proto::Operation) -> Result<Self, WireError> {
        use proto::operation::Kind;
        match operation.kind {
            Some(Kind::Append(entry)) => Ok(Self::Append(entry.try_into()?)),
            Some(Kind::Ack(position)) => Ok(Self::Ack(position.try_into()?)),
            None => Err(WireError("an operation without a kind")),
        }
    }
}

fn operations(list: Vec<proto::Operation>) -> Result<Vec<Operation>, WireError> {
    if list.is_empty() {
        return Err(WireError("no operations"));
    }
    each(bounded(list)?)
}

impl From<Install> for proto::Install {
    fn from(install: Install) -> Self {
        Self {
            key: stream_key_to_wire(&install.key),
            number: install.number,
            holders: install.holders.into_iter().map(Into::into).collect(),
            seq: install.seq,
            snapshot: Some(install.snapshot.into()),
        }
    }
}

impl TryFrom<proto::Install> for Install {
    type Error = WireError;

    fn try_from(install: proto::Install) -> Result<Self, WireError> {
        Ok(Self {
            key: stream_key(&install.key)?,
            number: counted(install.number)?,
            holders: holders(install.holders)?,
            seq: install.seq,
            snapshot: snapshot(install.snapshot)?,
        })
    }
}

impl From<Delivery> for proto::Delivery {
    fn from(delivery: Delivery) -> Self {
        Self {
            key: stream_key_to_wire(&delivery.key).into(),
            session: delivery.session.0,
            nonce: delivery.nonce,
            after: Some(delivery.after.into()),
            position: Some(delivery.position.into()),
            entries: delivery.entries.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::Delivery> for Delivery {
    type Error = WireError;

    fn try_from(delivery: proto::Delivery) -> Result<Self, WireError> {
        let (after, position) = (position(delivery.after)?, position(delivery.position)?);
        let entries = entries(delivery.entries)?;
        let last = entries.last().ok_or(WireError("a delivery of nothing"))?;
        if last.offset > position.offset {
            return Err(WireError("a delivery that ends before its last entry"));
        }
        Ok(Self {
            key: stream_key(&delivery.key)?,
            session: SessionId(delivery.session),
            nonce: delivery.nonce,
            after,
            position,
            entries,
        })
    }
}

fn replicate_to_wire(
    key: &StreamKey,
    number: u64,
    seq: u64,
    operations: Vec<Operation>,
) -> proto::Replicate {
    proto::Replicate {
        key: stream_key_to_wire(key).into(),
        number,
        seq,
        operations: operations.into_iter().map(Into::into).collect(),
    }
}

fn resume_to_wire(resume: Resume) -> proto::register::Resume {
    use proto::register::Resume as Wire;
    match resume {
        Resume::Fresh => Wire::Fresh(proto::Empty {}),
        Resume::Now => Wire::Now(proto::Empty {}),
        Resume::At(position) => Wire::At(position.into()),
        Resume::Unknown => Wire::Unknown(proto::Empty {}),
    }
}

fn resume(resume: proto::register::Resume) -> Result<Resume, WireError> {
    use proto::register::Resume as Wire;
    Ok(match resume {
        Wire::Fresh(proto::Empty {}) => Resume::Fresh,
        Wire::Now(proto::Empty {}) => Resume::Now,
        Wire::At(position) => Resume::At(position.try_into()?),
        Wire::Unknown(proto::Empty {}) => Resume::Unknown,
    })
}

fn text(user: &UserId) -> String {
    user.as_str().to_owned()
}

fn users(list: Vec<String>) -> Result<Vec<UserId>, WireError> {
    bounded(list)?.iter().map(|user| user_id(user)).collect()
}
