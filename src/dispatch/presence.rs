//! Where the answers to one presence request come together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::session::Session;
use crate::core::protocol::Reply;
use crate::error::ErrorCode;
use crate::id::UserId;

/// A presence request whose users have several owners.
#[derive(Debug)]
pub struct Gather {
    session: Arc<Session>,
    id: Box<str>,
    users: Vec<UserId>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    online: HashMap<UserId, bool>,
    /// Answers that are still to come.
    left: usize,
}

impl Gather {
    /// For the request `id` of `session`, to be answered in `parts` parts.
    #[must_use]
    pub fn new(session: Arc<Session>, id: Box<str>, users: Vec<UserId>, parts: usize) -> Self {
        Self {
            session,
            id,
            users,
            state: Mutex::new(State {
                online: HashMap::new(),
                left: parts,
            }),
        }
    }

    /// One part's answer; `None` if there is none. The client hears when all parts have answered,
    /// or the first has failed.
    pub fn answered(&self, users: &[UserId], online: Option<&[bool]>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.left == 0 {
            return;
        }
        let Some(online) = online.filter(|online| online.len() == users.len()) else {
            state.left = 0;
            self.session.tell(&Reply::Failed {
                id: &self.id,
                code: ErrorCode::Unreachable,
                message: "a user's node did not answer",
            });
            return;
        };
        state
            .online
            .extend(users.iter().cloned().zip(online.iter().copied()));
        state.left -= 1;
        if state.left == 0 {
            let online = self.users.iter().map(|user| {
                let online = state.online.get(user).copied().unwrap_or(false);
                (user, online)
            });
            self.session.tell(&Reply::Presence {
                id: &self.id,
                online: &online.collect::<Vec<_>>(),
            });
        }
    }
}
