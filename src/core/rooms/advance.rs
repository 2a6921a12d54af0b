//! How members that are not live become it: they are let in, and given what they have missed.

use super::{Asked, Fetch, Fetched, Joined, Room, Stage};
use crate::core::stream::{Position, Resume};
use crate::id::SessionId;

impl<H: Clone, J> Room<H, J> {
    /// Does what can be done for those that are not live, or for `one` of them, and returns what is to be
    /// fetched for them.
    ///
    /// `live` is where the node is in the stream; `has_room` says whether a session
    /// takes more at the moment. `let_in` gives a `join` its outcome for this room, if there is one, and
    /// says whether the whole of it is answered.
    pub fn advance(
        &mut self,
        (live, one): (Position, Option<SessionId>),
        has_room: impl Fn(&H) -> bool,
        let_in: impl Fn(&J, Option<Joined>) -> bool,
    ) -> Vec<Fetch> {
        let mut to_fetch = Vec::new();
        let Self {
            members,
            waiting,
            telling,
            fetches,
            ..
        } = self;
        let mut advance = |id: &SessionId| {
            let Some(member) = members.get_mut(id) else {
                return false;
            };
            if !telling.knows(&member.user) {
                return true;
            }
            let mut fetch = |from| {
                *fetches += 1;
                let (session, number) = (*id, *fetches);
                to_fetch.push(Fetch {
                    session,
                    number,
                    from,
                });
                Some(Asked { number, live })
            };
            let stage = std::mem::replace(&mut member.stage, Stage::Live { after: None });
            let stage = match stage {
                Stage::Answering { at, join } if let_in(&join, None) => {
                    Stage::CatchingUp { at, asked: None }
                }
                stage => stage,
            };
            member.stage = match stage {
                Stage::Joining {
                    since: None, join, ..
                } => {
                    if let_in(&join, Some((live, None))) {
                        Stage::Live { after: None }
                    } else {
                        Stage::Answering { at: live, join }
                    }
                }
                Stage::Joining {
                    since: Some(since),
                    join,
                    asked: None,
                } => Stage::Joining {
                    since: Some(since),
                    join,
                    asked: fetch(since),
                },
                Stage::CatchingUp { at, asked: None } if has_room(&member.handle) => {
                    let asked = fetch(Resume::At(at));
                    Stage::CatchingUp { at, asked }
                }
                waits => waits,
            };
            !matches!(member.stage, Stage::Live { .. })
        };
        match one {
            Some(id) if waiting.contains(&id) && !advance(&id) => {
                waiting.swap_remove(&id);
            }
            Some(_) => {}
            None => waiting.retain(|id| advance(id)),
        }
        to_fetch
    }

    /// The node is in another epoch of the stream than before, when it was at `from`. A member that is
    /// further than that goes on from where it is: nobody here can say what its position means there.
    pub fn node_moved(&mut self, from: Position) {
        for (id, member) in &mut self.members {
            let Stage::Live { after } = &mut member.stage else {
                continue;
            };
            let Some(at) = after.take() else {
                continue;
            };
            if at.epoch != from.epoch || at.offset > from.offset {
                member.stage = Stage::CatchingUp { at, asked: None };
                self.waiting.insert(*id);
            }
        }
    }

    /// What a member has missed could not be had: it is asked for again.
    pub fn not_fetched(&mut self, id: SessionId, number: u64) {
        match self.members.get_mut(&id).map(|member| &mut member.stage) {
            Some(Stage::Joining { asked, .. } | Stage::CatchingUp { asked, .. })
                if asked.is_some_and(|asked| asked.number == number) =>
            {
                *asked = None;
            }
            _ => {}
        }
    }

    /// Some of what a member has missed has come. Returns its handle if the page is to be given to it,
    /// with whether something is missing that it has not been told of. `let_in` as in
    /// [`Self::advance`].
    ///
    /// Where the epochs differ nobody can say which of two positions is the later one. But if the node
    /// has not moved since it asked, all there is reaches as far as the node.
    pub fn fetched(
        &mut self,
        (id, number): (SessionId, u64),
        page: &Fetched,
        live: Option<Position>,
        let_in: impl Fn(&J, Option<Joined>) -> bool,
    ) -> Option<(H, bool)> {
        let member = self.members.get_mut(&id)?;
        let (Stage::Joining { asked, .. } | Stage::CatchingUp { asked, .. }) = &member.stage else {
            return None;
        };
        let asked = asked.filter(|asked| asked.number == number)?;
        let stage = std::mem::replace(&mut member.stage, Stage::Live { after: None });
        let mut gap = false;
        if let Stage::Joining { join, .. } = stage {
            let joined = (page.position, Some(page.recovered));
            if !let_in(&join, Some(joined)) {
                let at = page.position;
                member.stage = Stage::Answering { at, join };
                return None;
            }
        } else {
            // It has gone since the page before.
            gap = !page.recovered;
        }
        let upto = page.upto;
        let reaches = |live: Position| {
            live.epoch == upto.epoch && live.offset <= upto.offset
                || live == asked.live && page.empty
        };
        member.stage = if live.is_some_and(reaches) {
            self.waiting.swap_remove(&id);
            Stage::Live { after: Some(upto) }
        } else {
            Stage::CatchingUp {
                at: upto,
                asked: None,
            }
        };
        Some((member.handle.clone(), gap))
    }
}
