//! What this node has told the holders of a room of the users that it has in it.
//!
//! A room's holders all know who is in it, so that after a death its next owner does. Each holder is
//! told by itself, one update at a time: everything, or what has changed since the last one that it
//! has acknowledged. After anything else than an acknowledgement it is told everything.
//! One that is a holder no more is told once that nothing of what it knows counts: it may be one again
//! before it has forgotten.

use super::map::{Map, Set};
use super::peer::Outcome;
use crate::id::{Generation, NodeId, UserId};

/// A room's holders, the owner first, but for this node.
#[derive(Debug, Default)]
pub struct Telling {
    holders: Vec<Told>,
    /// They are [`Self::aim`]'s.
    aimed: bool,
}

/// One holder.
#[derive(Debug)]
struct Told {
    node: NodeId,
    generation: Generation,
    /// The owner, whose word lets a member in.
    first: bool,
    /// It is a holder no more.
    former: bool,
    /// Nobody knows what it knows.
    anew: bool,
    /// What it has to be told; not kept while [`Self::anew`].
    changed: Set<UserId>,
    on_the_way: Option<OnTheWay>,
    updates: u64,
}

#[derive(Debug)]
struct OnTheWay {
    number: u64,
    /// Everything.
    whole: bool,
    users: Set<UserId>,
}

/// Something to tell one holder.
#[derive(Debug, PartialEq, Eq)]
pub struct Update {
    /// Whom.
    pub to: NodeId,
    /// Tells it from others to the same holder.
    pub number: u64,
    /// What the holder knew from this node before does not count any more.
    pub whole: bool,
    /// Of the whole, the users that are there; of a part, those that have come or gone.
    pub users: Vec<UserId>,
}

/// What the owner has acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// That these have come or gone.
    Part(Set<UserId>),
    /// Everything, but for what [`Telling::knows`] denies.
    Whole,
}

impl Telling {
    /// These hold the room, the owner first; this node, if it is among them, is `None`. Says whether
    /// that is a change. `alive` says which of the others are still there.
    pub fn aim(
        &mut self,
        holders: &[Option<(NodeId, Generation)>],
        alive: impl Fn(&NodeId, Generation) -> bool,
    ) -> bool {
        let wanted = holders.iter().enumerate();
        let wanted: Vec<_> = wanted
            .filter_map(|(index, holder)| holder.clone().map(|(n, g)| (n, g, index == 0)))
            .collect();
        self.holders
            .retain(|told| !told.former || alive(&told.node, told.generation));
        let have = self.holders.iter().filter(|told| !told.former);
        let have = have.map(|told| (told.node.clone(), told.generation, told.first));
        if self.aimed && have.eq(wanted.iter().cloned()) {
            return false;
        }
        self.aimed = true;
        let mut before: Map<_, _> = (self.holders.drain(..))
            .map(|told| ((told.node.clone(), told.generation), told))
            .collect();
        self.holders = wanted
            .into_iter()
            .map(|(node, generation, first)| {
                let key = (node, generation);
                match before.swap_remove(&key) {
                    Some(told) if !told.former => Told { first, ..told },
                    _ => Told::new(key.0, generation, first),
                }
            })
            .collect();
        let former = before.into_values();
        let former = former.filter(|told| alive(&told.node, told.generation));
        self.holders.extend(former.map(Told::into_former));
        true
    }

    /// Whether the owner knows whether this user is here. This node does, if it is the owner.
    #[must_use]
    pub fn knows(&self, user: &UserId) -> bool {
        let Some(owner) = self.holders.first().filter(|told| told.first) else {
            return self.is_owner();
        };
        let on_the_way = |way: &OnTheWay| way.whole || way.users.contains(user);
        !owner.anew
            && !owner.changed.contains(user)
            && !owner.on_the_way.as_ref().is_some_and(on_the_way)
    }

    /// Whether this node is the owner.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.aimed && !self.holders.first().is_some_and(|told| told.first)
    }

    /// A user has come or gone.
    pub fn changed(&mut self, user: &UserId) {
        let follow = |told: &&mut Told| !told.anew && !told.former;
        for told in self.holders.iter_mut().filter(follow) {
            told.changed.insert(user.clone());
        }
    }

    /// A new connection to that node: it may have lost what was on its way.
    pub fn lost(&mut self, node: &NodeId) {
        for told in self.holders.iter_mut().filter(|told| told.node == *node) {
            told.forget();
        }
    }

    /// What is to be told now: nothing to those who have not acknowledged the last. `all` are the users
    /// that are here.
    pub fn next<'a, I: Iterator<Item = &'a UserId>>(&mut self, all: impl Fn() -> I) -> Vec<Update> {
        let mut updates = Vec::new();
        for told in &mut self.holders {
            let up_to_date = !told.anew && told.changed.is_empty();
            if told.on_the_way.is_some() || up_to_date {
                continue;
            }
            let changed = std::mem::take(&mut told.changed);
            let whole = std::mem::take(&mut told.anew);
            let users = if told.former {
                Vec::new()
            } else if whole {
                all().cloned().collect()
            } else {
                changed.iter().cloned().collect()
            };
            told.updates += 1;
            told.on_the_way = Some(OnTheWay {
                number: told.updates,
                whole,
                users: changed,
            });
            updates.push(Update {
                to: told.node.clone(),
                number: told.updates,
                whole,
                users,
            });
        }
        updates
    }

    /// An update has an outcome: the holder has it, is none ([`Outcome::NotOwner`]), or nobody knows.
    /// Returns what the owner has acknowledged.
    pub fn answered(
        &mut self,
        node: &NodeId,
        number: u64,
        outcome: Outcome,
    ) -> Option<Acknowledged> {
        let same = |told: &Told| {
            told.node == *node && told.on_the_way.as_ref().is_some_and(|w| w.number == number)
        };
        let index = self.holders.iter().position(same)?;
        let told = &mut self.holders[index];
        if told.former && matches!(outcome, Outcome::Done | Outcome::NotOwner) {
            self.holders.remove(index);
            return None;
        }
        if outcome != Outcome::Done {
            told.forget();
            return None;
        }
        let acknowledged = told.on_the_way.take().filter(|_| told.first)?;
        Some(if acknowledged.whole {
            Acknowledged::Whole
        } else {
            Acknowledged::Part(acknowledged.users)
        })
    }

    /// Whether every holder knows all.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let done = |told: &Told| !told.anew && told.changed.is_empty() && told.on_the_way.is_none();
        self.holders.iter().all(done)
    }
}

impl Told {
    fn new(node: NodeId, generation: Generation, first: bool) -> Self {
        Self {
            node,
            generation,
            first,
            former: false,
            anew: true,
            changed: Set::default(),
            on_the_way: None,
            updates: 0,
        }
    }

    /// It is a holder no more.
    fn into_former(self) -> Self {
        let updates = self.updates;
        Self {
            former: true,
            updates,
            ..Self::new(self.node, self.generation, false)
        }
    }

    fn forget(&mut self) {
        self.anew = true;
        self.changed = Set::default();
        self.on_the_way = None;
    }
}
