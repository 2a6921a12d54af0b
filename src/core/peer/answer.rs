//! What became of a request, and what goes with that.

use super::{Offer, Pulled, UserReport};
use crate::core::ring::RingNode;
use crate::core::roster::RosterPage;
use crate::core::stream::{History, Holder, Position};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Handed to at least one session; appended; held; registered; answered.
    Done,
    /// The user has no session.
    Offline,
    /// No way to the node that could do it. Definite: nothing was done.
    Unreachable,
    /// It may or may not have been done.
    Unknown,
    /// Another node owns the user, as far as the asked one knows. Nothing was done.
    NotOwner,
    /// Not yet: to ask again a little later makes sense. Nothing was done.
    Busy,
    /// The message before it has not arrived. Nothing was done.
    OutOfOrder,
    /// The user's inbox is full. Nothing was done.
    InboxFull,
    /// More came to the room within the time in which repeats are recognised than are remembered.
    /// Nothing was done.
    RateLimited,
    /// The user has as many sessions as are allowed. Nothing was done.
    TooMany,
    /// The configuration is not the latest one: see [`Answer::Number`]. Nothing was done.
    Outdated,
    /// The holder has something that the installed stream has not. Nothing was done.
    Diverged,
}

/// What goes with the outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Answer {
    /// Nothing.
    #[default]
    None,
    /// Of [`super::Request::Online`], in the order of its users.
    Online(Vec<bool>),
    /// Of [`super::Request::Append`]: how many nodes hold it.
    Accepted {
        /// All holders.
        copies: u8,
        /// It was there before.
        duplicate: bool,
    },
    /// Of [`super::Request::Register`].
    Registered {
        /// Where the guest starts.
        position: Position,
        /// See [`crate::core::stream::Resumed::recovered`].
        recovered: Option<bool>,
    },
    /// Of [`Outcome::Outdated`]: the number of the latest configuration that is known.
    Number(u64),
    /// Of [`super::Request::Consent`].
    Consented {
        /// The nodes of the asked one's ring, unless it is the asker's.
        ring: Option<Vec<RingNode>>,
        /// All members that the asked one takes for alive.
        members: Vec<Holder>,
        /// The copies that it has of what the asker should own.
        offers: Vec<Offer>,
        /// See [`super::Request::UnderReplicated`].
        under_replicated: u64,
    },
    /// Of [`super::Request::Pull`]; `None` if there is no copy.
    Pulled(Option<Box<Pulled>>),
    /// Of [`super::Request::Offer`], in its order: whether the copy may go.
    MayGo(Vec<bool>),
    /// Of [`super::Request::Sessions`].
    Sessions(UserReport),
    /// Of [`super::Request::Disconnect`]: how many there were.
    Closed(u64),
    /// Of [`super::Request::Watch`].
    Count(u64),
    /// Of [`super::Request::History`].
    History(Box<History>),
    /// Of [`super::Request::Roster`].
    Roster(RosterPage),
}

impl Answer {
    /// Roughly what it takes in memory and on the wire, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 32;
        match self {
            Self::None
            | Self::Accepted { .. }
            | Self::Registered { .. }
            | Self::Number(_)
            | Self::Closed(_)
            | Self::Count(_) => FIXED,
            Self::History(history) => {
                let entries = history.entries.iter().map(|e| FIXED + e.message.size());
                FIXED + entries.sum::<usize>()
            }
            Self::Roster(page) => {
                FIXED
                    + page
                        .users
                        .iter()
                        .map(|u| u.as_str().len() + 2)
                        .sum::<usize>()
            }
            Self::Sessions(user) => FIXED * (2 + user.sessions.len()),
            Self::Online(list) | Self::MayGo(list) => FIXED + list.len(),
            Self::Consented {
                ring,
                members,
                offers,
                under_replicated: _,
            } => {
                let nodes = ring.as_ref().map_or(0, Vec::len) + members.len();
                FIXED * (1 + nodes) + 2 * FIXED * offers.len()
            }
            Self::Pulled(pulled) => {
                FIXED + pulled.as_ref().map_or(0, |pulled| pulled.snapshot.size())
            }
        }
    }
}

/// The answer to the request of that number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request's number within its stream.
    pub seq: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// What goes with that.
    pub answer: Answer,
}
