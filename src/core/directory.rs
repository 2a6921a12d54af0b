//! Who is where: the sessions of each user on this node, and, for users this node owns, on which
//! other nodes they are guests.
//!
//! Everything is kept by *key* (the user), so a node holds many directories, one a shard of the
//! keys, and each is used under a lock of its own. `H` is the handle by which the shell reaches a
//! session.
//!
//! *Invariant:* every session of a user whose owner is another node is registered there, or stands
//! in the list of [`Directory::take_unregistered`], or has a registration under way. Every session
//! at home that takes messages has a feed, or stands in that of [`Directory::take_unsubscribed`].

mod entry;

pub use self::entry::{Guest, Home, Leaving, Local, Moved, Progress, Registration};

use super::map::{Map, Set};
use super::stream::{Position, Resume};
use crate::id::{NodeId, SessionId, StreamKey};

/// One shard of the users.
#[derive(Debug)]
pub struct Directory<H> {
    by_key: Map<StreamKey, Entry<H>>,
    /// Sessions whose registration has to be asked for (again).
    unregistered: Set<(StreamKey, SessionId)>,
    /// Users with a session at home that gets nothing yet.
    unsubscribed: Set<StreamKey>,
    /// Of users, without those of rooms.
    sessions: usize,
    /// As [`Self::sessions`].
    guests: usize,
    nonces: u64,
    /// Users who have come or gone since that was last taken; not kept unless somebody wants to know.
    turned: Option<Set<StreamKey>>,
}

#[derive(Debug)]
struct Entry<H> {
    local: Vec<Local<H>>,
    guests: Vec<Guest>,
}

impl<H> Default for Directory<H> {
    fn default() -> Self {
        Self {
            by_key: Map::default(),
            unregistered: Set::default(),
            unsubscribed: Set::default(),
            sessions: 0,
            guests: 0,
            nonces: 0,
            turned: None,
        }
    }
}

impl<H: Clone> Directory<H> {
    /// Adds a session of this node, which began at `since_ms`. `owner` is the user's owner, or `None`
    /// if this node is. Returns what to ask the owner, if it is another node. `resume` is `None` for
    /// a session that takes nothing from streams.
    pub fn open(
        &mut self,
        key: &StreamKey,
        (id, since_ms): (SessionId, u64),
        handle: H,
        owner: Option<NodeId>,
        resume: Option<Resume>,
    ) -> Option<Registration> {
        let new = owner.is_some() || !key.is_room();
        let home = owner.map_or(Home::Here, |owner| Home::At {
            owner,
            registered: false,
        });
        self.nonces += 1;
        let local = Local {
            id,
            handle,
            home,
            since_ms,
            new,
            resume,
            feed: None,
            leaving: None,
            nonce: self.nonces,
        };
        let registration = registration(key, &local);
        self.turns(key);
        let entry = self.by_key.entry(key.clone()).or_insert_with(|| Entry {
            // Nearly every user has one session: do not make room for four.
            local: Vec::with_capacity(1),
            guests: Vec::new(),
        });
        entry.local.push(local);
        self.sessions += of_user(key);
        registration
    }

    /// Removes a session of this node. Returns what to take back from the user's owner, if it is
    /// another node.
    pub fn close(&mut self, key: &StreamKey, id: SessionId) -> Option<Registration> {
        let entry = self.by_key.get_mut(key)?;
        let index = entry.local.iter().position(|local| local.id == id)?;
        let local = entry.local.swap_remove(index);
        self.sessions -= of_user(key);
        self.forget_if_empty(key);
        registration(key, &local)
    }

    /// The sessions of a user on this node, to be changed.
    pub fn locals_mut(&mut self, key: &StreamKey) -> &mut [Local<H>] {
        self.by_key
            .get_mut(key)
            .map_or(&mut [], |entry| &mut entry.local)
    }

    /// The sessions of a user on this node, and the guests elsewhere that it knows as the owner.
    #[must_use]
    pub fn all_of(&self, key: &StreamKey) -> (&[Local<H>], &[Guest]) {
        self.by_key
            .get(key)
            .map_or((&[], &[]), |entry| (&entry.local, &entry.guests))
    }

    /// The guests of a user whom this node owns, to be changed.
    pub fn guests_mut(&mut self, key: &StreamKey) -> &mut [Guest] {
        self.by_key
            .get_mut(key)
            .map_or(&mut [], |entry| &mut entry.guests)
    }

    /// The sessions of a user on this node.
    pub fn sessions_of(&self, key: &StreamKey) -> impl Iterator<Item = &H> {
        let entry = self.by_key.get(key);
        entry
            .into_iter()
            .flat_map(|entry| entry.local.iter().map(|local| &local.handle))
    }

    /// The nodes, each once, where a user is a guest.
    #[must_use]
    pub fn guest_nodes(&self, key: &StreamKey) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = Vec::new();
        for guest in self.by_key.get(key).into_iter().flat_map(|e| &e.guests) {
            if !nodes.contains(&guest.node) {
                nodes.push(guest.node.clone());
            }
        }
        nodes
    }

    /// Whether the user has a session here or is known to be a guest somewhere.
    #[must_use]
    pub fn is_online(&self, key: &StreamKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// A session of another node, whose user this node owns. A later registration of the same
    /// session takes the place of an earlier one; one that was overtaken by a later one changes
    /// nothing.
    pub fn register(&mut self, key: &StreamKey, guest: Guest) {
        self.turns(key);
        let entry = self.by_key.entry(key.clone()).or_insert_with(|| Entry {
            local: Vec::new(),
            guests: Vec::with_capacity(1),
        });
        let same = |known: &&mut Guest| known.session == guest.session && known.node == guest.node;
        if let Some(known) = entry.guests.iter_mut().find(same) {
            if known.nonce <= guest.nonce {
                *known = guest;
            }
        } else {
            entry.guests.push(guest);
            self.guests += of_user(key);
        }
    }

    /// That session of another node is gone.
    pub fn unregister(&mut self, key: &StreamKey, node: &NodeId, session: SessionId) {
        self.retain_guests_of(key, |guest| guest.session != session || guest.node != *node);
    }

    fn retain_guests_of(&mut self, key: &StreamKey, keep: impl FnMut(&Guest) -> bool) {
        if let Some(entry) = self.by_key.get_mut(key) {
            let before = entry.guests.len();
            entry.guests.retain(keep);
            self.guests -= (before - entry.guests.len()) * of_user(key);
            self.forget_if_empty(key);
        }
    }

    /// Keeps only the guests on nodes that `keep` names: the others died, or tell them anew. Returns the
    /// rooms that have lost one: what it had not got holds them up no more.
    pub fn retain_guests(&mut self, mut keep: impl FnMut(&NodeId) -> bool) -> Vec<StreamKey> {
        let Self { by_key, turned, .. } = self;
        let mut guests = 0;
        let mut rooms = Vec::new();
        by_key.retain(|key, entry| {
            let before = entry.guests.len();
            entry.guests.retain(|guest| keep(&guest.node));
            guests += entry.guests.len() * of_user(key);
            if key.is_room() && entry.guests.len() < before {
                rooms.push(key.clone());
            }
            let known = !(entry.local.is_empty() && entry.guests.is_empty());
            if let (Some(turned), false, false) = (&mut *turned, known, key.is_room()) {
                turned.insert(key.clone());
            }
            known
        });
        self.guests = guests;
        rooms
    }

    fn forget_if_empty(&mut self, key: &StreamKey) {
        if let Some(entry) = self.by_key.get(key)
            && entry.local.is_empty()
            && entry.guests.is_empty()
        {
            self.by_key.swap_remove(key);
            self.turns(key);
        }
    }

    fn turns(&mut self, key: &StreamKey) {
        if let (Some(turned), false) = (&mut self.turned, key.is_room()) {
            turned.insert(key.clone());
        }
    }

    /// From now on it is remembered who comes and goes.
    pub fn remember_turned(&mut self) {
        self.turned.get_or_insert_default();
    }

    /// Users who may have come or gone since the last call, if that is remembered; it is from now on
    /// only if it is `wanted`.
    pub fn take_turned(&mut self, wanted: bool) -> Set<StreamKey> {
        let turned = self.turned.take().unwrap_or_default();
        if wanted {
            self.remember_turned();
        }
        turned
    }

    /// Gives every local session the owner that `owner_of` says its user has now (`None`: this
    /// node), and returns those for which that is a change. Sessions with a new owner elsewhere are
    /// to be registered there ([`Self::take_unregistered`]).
    ///
    /// Guests of users that this node no longer owns stay known until their node takes them back:
    /// if the ring turns out to have been right before, they are still there.
    pub fn rehome(&mut self, owner_of: impl Fn(&StreamKey) -> Option<NodeId>) -> Vec<Moved<H>> {
        let mut moved = Vec::new();
        for (key, entry) in &mut self.by_key {
            if entry.local.is_empty() {
                continue;
            }
            let owner = owner_of(key);
            for local in &mut entry.local {
                let same = match (&local.home, &owner) {
                    (Home::Here, None) => true,
                    (Home::At { owner: old, .. }, Some(new)) => old == new,
                    (Home::Here, Some(_)) | (Home::At { .. }, None) => false,
                };
                if same {
                    continue;
                }
                moved.push(Moved {
                    handle: local.handle.clone(),
                    home: owner.is_none(),
                    left: registration(key, local),
                });
                local.feed = None;
                local.home = match &owner {
                    None => {
                        local.leaving = None;
                        self.unsubscribed.insert(key.clone());
                        Home::Here
                    }
                    Some(owner) => {
                        self.unregistered.insert((key.clone(), local.id));
                        Home::At {
                            owner: owner.clone(),
                            registered: false,
                        }
                    }
                };
            }
        }
        moved
    }

    /// Everything that has to be told to `owner` on a new connection: it has forgotten the guests
    /// of this node.
    pub fn registrations_at(&mut self, owner: &NodeId) -> Vec<Registration> {
        let mut all = Vec::new();
        for (key, entry) in &mut self.by_key {
            for local in &mut entry.local {
                if let Home::At {
                    owner: at,
                    registered,
                } = &mut local.home
                    && at == owner
                {
                    *registered = false;
                    self.nonces += 1;
                    local.nonce = self.nonces;
                    all.extend(registration(key, local));
                }
            }
        }
        all
    }

    /// The owner has said that it knows the session. Returns the session if that is news and that
    /// node still is the owner.
    pub fn registered(
        &mut self,
        key: &StreamKey,
        (id, nonce): (SessionId, u64),
        by: &NodeId,
    ) -> Option<&mut Local<H>> {
        let entry = self.by_key.get_mut(key)?;
        let local = entry.local.iter_mut().find(|local| local.id == id)?;
        match &mut local.home {
            Home::At { owner, registered }
                if owner == by && !*registered && local.nonce == nonce =>
            {
                *registered = true;
                local.new = false;
                Some(local)
            }
            Home::At { .. } | Home::Here => None,
        }
    }

    /// The session that something is delivered to under this registration.
    ///
    /// # Errors
    /// `true` if the owner's answer to the registration has not come yet, `false` if there is no
    /// such registration.
    pub fn registered_as(
        &mut self,
        key: &StreamKey,
        id: SessionId,
        nonce: u64,
    ) -> Result<&mut Local<H>, bool> {
        let entry = self.by_key.get_mut(key).ok_or(false)?;
        let local = entry.local.iter_mut().find(|local| local.id == id);
        let local = local.filter(|local| local.nonce == nonce).ok_or(false)?;
        match local.home {
            Home::At {
                registered: true, ..
            } => Ok(local),
            Home::At { .. } => Err(true),
            Home::Here => Err(false),
        }
    }

    /// A guest is to go to the owner, which has to know first. Returns what to tell it; `None` if the
    /// session is at home.
    pub fn leaves(
        &mut self,
        key: &StreamKey,
        id: SessionId,
        leaving: Leaving,
    ) -> Option<Registration> {
        let locals = self.by_key.get_mut(key)?.local.iter_mut();
        let local = locals.into_iter().find(|local| local.id == id)?;
        let Home::At { registered, .. } = &mut local.home else {
            return None;
        };
        *registered = false;
        local.leaving = Some(Box::new(leaving));
        self.nonces += 1;
        local.nonce = self.nonces;
        registration(key, local)
    }

    /// What the owner knows of a guest is not what is here: it registers anew.
    pub fn register_anew(&mut self, key: &StreamKey, id: SessionId) {
        let locals = self.locals_mut(key);
        if let Some(local) = locals.iter_mut().find(|local| local.id == id)
            && let Home::At { registered, .. } = &mut local.home
        {
            *registered = false;
            self.unregistered.insert((key.clone(), id));
        }
    }

    /// A session at home could not be subscribed: it is tried again by whoever takes
    /// [`Self::take_unsubscribed`] next.
    pub fn subscription_failed(&mut self, key: &StreamKey) {
        self.unsubscribed.insert(key.clone());
    }

    /// Users with sessions at home that have to be subscribed.
    pub fn take_unsubscribed(&mut self) -> Set<StreamKey> {
        std::mem::take(&mut self.unsubscribed)
    }

    /// The registration of that session did not work out: it is asked for again by whoever takes
    /// [`Self::take_unregistered`] next.
    pub fn registration_failed(&mut self, key: &StreamKey, id: SessionId) {
        self.unregistered.insert((key.clone(), id));
    }

    /// The registrations that have to be asked for now.
    pub fn take_unregistered(&mut self) -> Vec<Registration> {
        let mut all = Vec::new();
        for (key, id) in std::mem::take(&mut self.unregistered) {
            let entry = self.by_key.get_mut(&key);
            let local = entry.and_then(|entry| entry.local.iter_mut().find(|l| l.id == id));
            let Some(local) = local else {
                continue;
            };
            if let Home::At {
                registered: false, ..
            } = &local.home
            {
                self.nonces += 1;
                local.nonce = self.nonces;
                all.extend(registration(&key, local));
            }
        }
        all
    }

    /// Where the user of a local session belongs.
    #[must_use]
    pub fn home(&self, key: &StreamKey, id: SessionId) -> Option<&Home> {
        let entry = self.by_key.get(key)?;
        let local = entry.local.iter().find(|local| local.id == id)?;
        Some(&local.home)
    }

    /// Where a key's first subscriber here is in its stream, if it gets what comes.
    #[must_use]
    pub fn live_position(&self, key: &StreamKey) -> Option<Position> {
        let local = self.by_key.get(key)?.local.first()?;
        let subscribed = match &local.home {
            Home::Here => local.feed.is_some(),
            Home::At { registered, .. } => *registered,
        };
        local.resume?.position().filter(|_| subscribed)
    }

    /// Every session of this node.
    pub fn sessions(&self) -> impl Iterator<Item = &H> {
        self.by_key
            .values()
            .flat_map(|entry| entry.local.iter().map(|local| &local.handle))
    }

    /// How many sessions this node has, and how many guests elsewhere it knows as their owner.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.sessions, self.guests)
    }
}

/// 1 for what counts as a session.
fn of_user(key: &StreamKey) -> usize {
    usize::from(!key.is_room())
}

fn registration<H>(key: &StreamKey, local: &Local<H>) -> Option<Registration> {
    match &local.home {
        Home::Here => None,
        Home::At { owner, .. } => Some(Registration {
            owner: owner.clone(),
            key: key.clone(),
            session: local.id,
            nonce: local.nonce,
            since_ms: local.since_ms,
            resume: local.resume,
            new: local.new,
            leaving_ms: (local.leaving.as_ref()).map_or(0, |leaving| leaving.time_ms()),
        }),
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
