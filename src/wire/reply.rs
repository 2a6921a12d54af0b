//! Replies of a link, to and from their wire form.

use super::check::{at_most, bounded, counted, each, moment, node_id, offset};
use super::copies::{offers, offers_to_wire};
use super::stream::position;
use super::{WireError, proto};
use crate::config::Config;
use crate::core::peer::{Answer, InboxReport, Outcome, Reply, UserReport, UserSession};
use crate::core::ring::{NODES_MAX, POINTS_MAX, POINTS_PER_WEIGHT, PREFERENCE_MAX, RingNode};
use crate::id::SessionId;

impl From<Reply> for proto::Reply {
    fn from(reply: Reply) -> Self {
        Self {
            seq: reply.seq,
            outcome: proto::Outcome::from(reply.outcome).into(),
            answer: answer_to_wire(reply.answer),
        }
    }
}

impl TryFrom<proto::Reply> for Reply {
    type Error = WireError;

    fn try_from(reply: proto::Reply) -> Result<Self, WireError> {
        Ok(Self {
            seq: reply.seq,
            outcome: reply.outcome().into(),
            answer: answer(reply.answer)?,
        })
    }
}

impl From<Outcome> for proto::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Offline => Self::Offline,
            Outcome::Unreachable => Self::Unreachable,
            Outcome::Unknown => Self::Unknown,
            Outcome::NotOwner => Self::NotOwner,
            Outcome::Busy => Self::Busy,
            Outcome::OutOfOrder => Self::OutOfOrder,
            Outcome::InboxFull => Self::InboxFull,
            Outcome::Outdated => Self::Outdated,
            Outcome::Diverged => Self::Diverged,
            Outcome::TooMany => Self::TooMany,
            Outcome::RateLimited => Self::RateLimited,
        }
    }
}

impl From<proto::Outcome> for Outcome {
    fn from(outcome: proto::Outcome) -> Self {
        match outcome {
            proto::Outcome::Done => Self::Done,
            proto::Outcome::Offline => Self::Offline,
            proto::Outcome::Unreachable => Self::Unreachable,
            proto::Outcome::NotOwner => Self::NotOwner,
            proto::Outcome::Busy => Self::Busy,
            proto::Outcome::OutOfOrder => Self::OutOfOrder,
            proto::Outcome::InboxFull => Self::InboxFull,
            proto::Outcome::Outdated => Self::Outdated,
            proto::Outcome::Diverged => Self::Diverged,
            proto::Outcome::TooMany => Self::TooMany,
            proto::Outcome::RateLimited => Self::RateLimited,
            // What a newer node says and this one does not understand may mean anything.
            proto::Outcome::Unknown | proto::Outcome::Unspecified => Self::Unknown,
        }
    }
}

fn answer_to_wire(answer: Answer) -> Option<proto::reply::Answer> {
    use proto::reply::Answer as Wire;
    Some(match answer {
        Answer::None => return None,
        Answer::Online(online) => Wire::Online(proto::Online { online }),
        Answer::Accepted { copies, duplicate } => Wire::Accepted(proto::Accepted {
            copies: u32::from(copies),
            duplicate,
        }),
        Answer::Registered {
            position,
            recovered,
        } => Wire::Registered(proto::Registered {
            position: Some(position.into()),
            recovered,
        }),
        Answer::Number(number) => Wire::Number(number),
        Answer::Consented {
            ring,
            members,
            offers,
            under_replicated,
        } => Wire::Consented(proto::Consented {
            ring: ring.map(ring_to_wire),
            members: members.into_iter().map(Into::into).collect(),
            offers: offers_to_wire(offers),
            under_replicated,
        }),
        Answer::Pulled(pulled) => Wire::Pulled(proto::PullAnswer {
            copy: pulled.map(|pulled| (*pulled).into()),
        }),
        Answer::MayGo(may_go) => Wire::MayGo(proto::MayGo { may_go }),
        Answer::Sessions(user) => Wire::Sessions(proto::Sessions {
            sessions: user.sessions.into_iter().map(Into::into).collect(),
            inbox: user.inbox.map(Into::into),
        }),
        Answer::Closed(sessions) => Wire::Closed(sessions),
        Answer::Count(count) => Wire::Count(count),
        Answer::History(history) => Wire::History((*history).into()),
        Answer::Roster(page) => Wire::Roster(page.into()),
    })
}

fn answer(answer: Option<proto::reply::Answer>) -> Result<Answer, WireError> {
    use proto::reply::Answer as Wire;
    Ok(match answer {
        None => Answer::None,
        Some(Wire::Online(list)) => Answer::Online(bounded(list.online)?),
        Some(Wire::Accepted(accepted)) => Answer::Accepted {
            copies: copies(accepted.copies)?,
            duplicate: accepted.duplicate,
        },
        Some(Wire::Registered(registered)) => Answer::Registered {
            position: position(registered.position)?,
            recovered: registered.recovered,
        },
        Some(Wire::Number(number)) => Answer::Number(counted(number)?),
        Some(Wire::Consented(consented)) => Answer::Consented {
            ring: consented.ring.map(ring).transpose()?,
            members: each(at_most(NODES_MAX, consented.members)?)?,
            offers: offers(consented.offers)?,
            under_replicated: consented.under_replicated,
        },
        Some(Wire::Pulled(pulled)) => {
            let copy = pulled.copy.map(TryInto::try_into).transpose()?;
            Answer::Pulled(copy.map(Box::new))
        }
        Some(Wire::MayGo(list)) => Answer::MayGo(bounded(list.may_go)?),
        Some(Wire::Sessions(user)) => Answer::Sessions(UserReport {
            sessions: each(bounded(user.sessions)?)?,
            inbox: user.inbox.map(TryInto::try_into).transpose()?,
        }),
        Some(Wire::Closed(sessions)) => Answer::Closed(sessions),
        Some(Wire::Count(count)) => Answer::Count(count),
        Some(Wire::History(history)) => Answer::History(Box::new(history.try_into()?)),
        Some(Wire::Roster(page)) => Answer::Roster(page.try_into()?),
    })
}

impl From<UserSession> for proto::UserSession {
    fn from(session: UserSession) -> Self {
        Self {
            node: session.node.as_str().to_owned(),
            session: session.session.0,
            since_ms: session.since_ms,
        }
    }
}

impl TryFrom<proto::UserSession> for UserSession {
    type Error = WireError;

    fn try_from(session: proto::UserSession) -> Result<Self, WireError> {
        Ok(Self {
            node: node_id(&session.node)?,
            session: SessionId(session.session),
            since_ms: moment(session.since_ms)?,
        })
    }
}

impl From<InboxReport> for proto::Inbox {
    fn from(inbox: InboxReport) -> Self {
        Self {
            position: Some(inbox.position.into()),
            acked: inbox.acked,
            waiting: inbox.waiting,
        }
    }
}

impl TryFrom<proto::Inbox> for InboxReport {
    type Error = WireError;

    fn try_from(inbox: proto::Inbox) -> Result<Self, WireError> {
        Ok(Self {
            position: position(inbox.position)?,
            acked: offset(inbox.acked)?,
            waiting: inbox.waiting,
        })
    }
}

fn copies(copies: u32) -> Result<u8, WireError> {
    u8::try_from(copies)
        .ok()
        .filter(|&copies| (1..=PREFERENCE_MAX).contains(&usize::from(copies)))
        .ok_or(WireError("a number of copies out of bounds"))
}

fn ring_to_wire(nodes: Vec<RingNode>) -> proto::Ring {
    let node = |node: RingNode| proto::RingNode {
        id: node.id.as_str().to_owned(),
        weight: u32::from(node.weight),
    };
    proto::Ring {
        nodes: nodes.into_iter().map(node).collect(),
    }
}

fn ring(ring: proto::Ring) -> Result<Vec<RingNode>, WireError> {
    let node = |node: proto::RingNode| {
        // 0 is right here: a node that drains has a place in no key's list of owners.
        let weight = u16::try_from(node.weight)
            .ok()
            .filter(|&weight| weight <= Config::WEIGHT_MAX)
            .ok_or(WireError("a weight out of bounds"))?;
        Ok(RingNode {
            id: node_id(&node.id)?,
            weight,
        })
    };
    let nodes = at_most(NODES_MAX, ring.nodes)?.into_iter().map(node);
    let nodes = nodes.collect::<Result<Vec<RingNode>, _>>()?;
    let points = nodes
        .iter()
        .map(|node| usize::from(node.weight) * POINTS_PER_WEIGHT);
    if points.sum::<usize>() > POINTS_MAX {
        return Err(WireError("a ring with too many points"));
    }
    Ok(nodes)
}
