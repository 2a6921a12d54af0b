//! Sessions of this node that want to hear when somebody comes and goes: a user, or the users of a
//! room.
//!
//! For each key the node asks the owner once, whoever wants to hear of it, and the owner tells it what
//! changes from then on ([`Watchers`]). What the owner says first after it has changed is compared with
//! what was known before. That a user has gone is believed when the owner says so again a little
//! later: most of those who go come back at once, and an owner that has just become one does not know
//! all sessions yet.
//!
//! `H` is the handle by which the shell reaches a session.

use std::time::Duration;

use super::map::{Map, Set};
use crate::id::{Generation, NodeId, SessionId, StreamKey};

/// After this the owner is asked again whether a user has gone. A guess at what a reconnect takes that
/// needs no back-off.
pub const GONE_AFTER: Duration = Duration::from_secs(1);

/// One shard of the keys.
#[derive(Debug)]
pub struct Watches<H> {
    by_key: Map<StreamKey, Watch<H>>,
    /// Keys whose owner is to be asked.
    unasked: Set<StreamKey>,
    /// Keys whose owner is to be asked again, at these times, in their order.
    doubtful: Vec<(Duration, StreamKey)>,
}

#[derive(Debug)]
struct Watch<H> {
    /// Since when each watches.
    watchers: Map<SessionId, (H, Duration)>,
    /// How many are there: of a room its users, of a user 1 or 0.
    count: Option<u64>,
    /// Whom this node takes for the owner; `None`: itself.
    owner: Option<(NodeId, Generation)>,
    /// The number of the last question.
    asked: u64,
    /// That the user has gone is to be believed if it is said from then on.
    doubted_until: Option<Duration>,
}

/// Something that watchers are to be told.
#[derive(Debug, PartialEq, Eq)]
pub struct News<H> {
    /// How many are there now.
    pub count: u64,
    /// Whom to tell.
    pub watchers: Vec<H>,
}

impl<H> Default for Watches<H> {
    fn default() -> Self {
        Self {
            by_key: Map::default(),
            unasked: Set::default(),
            doubtful: Vec::new(),
        }
    }
}

impl<H: Clone> Watches<H> {
    /// A session wants to hear of a key from now on. How many are there it is told by the owner.
    pub fn add(&mut self, now: Duration, key: &StreamKey, id: SessionId, handle: H) {
        let watch = (self.by_key.entry(key.clone())).or_insert_with(|| {
            self.unasked.insert(key.clone());
            Watch {
                watchers: Map::default(),
                count: None,
                owner: None,
                asked: 0,
                doubted_until: None,
            }
        });
        watch.watchers.insert(id, (handle, now));
    }

    /// A session does not want to hear of a key any more. Says whether nobody here does.
    pub fn remove(&mut self, key: &StreamKey, id: SessionId) -> bool {
        let Some(watch) = self.by_key.get_mut(key) else {
            return false;
        };
        watch.watchers.swap_remove(&id);
        let last = watch.watchers.is_empty();
        if last {
            self.by_key.swap_remove(key);
            self.unasked.swap_remove(key);
        }
        last
    }

    /// Those who want to hear of a key.
    pub fn watchers(&self, key: &StreamKey) -> impl Iterator<Item = &H> {
        let watch = self.by_key.get(key).into_iter();
        watch.flat_map(|watch| watch.watchers.values().map(|(handle, _)| handle))
    }

    /// Keys whose owner is to be asked now.
    pub fn due(&mut self, now: Duration) -> Vec<StreamKey> {
        let doubtful = self.doubtful.partition_point(|(at, _)| *at <= now);
        let again = self.doubtful.drain(..doubtful).map(|(_, key)| key);
        self.unasked.extend(again);
        let due = std::mem::take(&mut self.unasked).into_iter();
        due.filter(|key| self.by_key.contains_key(key)).collect()
    }

    /// The owner is asked about a key; returns the question's number.
    pub fn asking(&mut self, key: &StreamKey, owner: Option<(NodeId, Generation)>) -> Option<u64> {
        let watch = self.by_key.get_mut(key)?;
        watch.asked += 1;
        watch.owner = owner;
        Some(watch.asked)
    }

    /// A question has no answer: it is asked again.
    pub fn not_answered(&mut self, key: &StreamKey) {
        self.unasked.insert(key.clone());
    }

    /// The owner has answered a question, and tells what changes from now on.
    pub fn answered(
        &mut self,
        now: Duration,
        key: &StreamKey,
        (number, count): (u64, u64),
    ) -> Option<News<H>> {
        let watch = self.by_key.get_mut(key)?;
        if watch.asked != number {
            return None;
        }
        if watch.count.is_none() && number == 1 {
            // Whoever watches was told that by the answer to the request.
            watch.count = Some(count);
            return None;
        }
        self.heard(now, key, count)
    }

    /// The owner says that something has changed.
    pub fn heard(&mut self, now: Duration, key: &StreamKey, count: u64) -> Option<News<H>> {
        let watch = self.by_key.get_mut(key)?;
        let gone = !key.is_room() && count == 0 && watch.count != Some(0);
        if gone {
            match watch.doubted_until {
                Some(until) if until <= now => {}
                Some(_) => return None,
                None => {
                    let until = now + GONE_AFTER;
                    watch.doubted_until = Some(until);
                    self.doubtful.push((until, key.clone()));
                    return None;
                }
            }
        }
        let doubted = watch.doubted_until.take();
        let changed = watch.count.replace(count) != Some(count);
        // Who began to watch while that was doubted, or just before, may have been told by the owner
        // what the others were not.
        let misled = |since: Duration| doubted.is_some_and(|until| since + 2 * GONE_AFTER >= until);
        let watchers = watch.watchers.values();
        let told = watchers.filter(|(_, since)| changed || misled(*since));
        let watchers: Vec<H> = told.map(|(handle, _)| handle.clone()).collect();
        (!watchers.is_empty()).then_some(News { count, watchers })
    }

    /// These own the keys now: who is not the one that was asked, or has started anew, is asked.
    pub fn on_view(&mut self, owner_of: impl Fn(&StreamKey) -> Option<(NodeId, Generation)>) {
        for (key, watch) in &self.by_key {
            if watch.owner != owner_of(key) {
                self.unasked.insert(key.clone());
            }
        }
    }

    /// That node may have forgotten that this one wants to hear.
    pub fn forgotten_by(&mut self, node: &NodeId) {
        for (key, watch) in &self.by_key {
            if watch.owner.as_ref().is_some_and(|(owner, _)| owner == node) {
                self.unasked.insert(key.clone());
            }
        }
    }

    /// Whether nobody watches anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

/// Nodes that want to hear of keys that this node owns.
#[derive(Debug, Default)]
pub struct Watchers {
    by_key: Map<StreamKey, Vec<NodeId>>,
}

impl Watchers {
    /// A node wants to hear of a key.
    pub fn add(&mut self, key: &StreamKey, node: &NodeId) {
        let nodes = self.by_key.entry(key.clone()).or_default();
        if !nodes.contains(node) {
            nodes.push(node.clone());
        }
    }

    /// A node does not want to hear of a key any more.
    pub fn remove(&mut self, key: &StreamKey, node: &NodeId) {
        if let Some(nodes) = self.by_key.get_mut(key) {
            nodes.retain(|known| known != node);
            if nodes.is_empty() {
                self.by_key.swap_remove(key);
            }
        }
    }

    /// The nodes that want to hear of a key.
    #[must_use]
    pub fn of(&self, key: &StreamKey) -> &[NodeId] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// Keeps only nodes that `keep` names, and keys that `mine` does.
    pub fn retain(&mut self, keep: impl Fn(&NodeId) -> bool, mine: impl Fn(&StreamKey) -> bool) {
        self.by_key.retain(|key, nodes| {
            nodes.retain(|node| keep(node));
            !nodes.is_empty() && mine(key)
        });
    }

    /// Whether no node wants to hear of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{RoomName, UserId};

    const NOW: Duration = Duration::from_secs(100);
    const EARLIER: Duration = Duration::from_secs(50);
    const ID: SessionId = SessionId(1);

    fn bob() -> StreamKey {
        StreamKey::Inbox(UserId::new("bob").unwrap())
    }

    fn lobby() -> StreamKey {
        StreamKey::Room(RoomName::new("lobby").unwrap())
    }

    fn owner(name: &str) -> Option<(NodeId, Generation)> {
        let node = NodeId::new(name).ok()?;
        Some((node, Generation(1)))
    }

    /// Somebody watches a key, and the owner has said how many are there.
    fn watching(key: &StreamKey, count: u64) -> Watches<char> {
        let mut watches = Watches::default();
        watches.add(EARLIER, key, ID, 'a');
        assert_eq!(watches.due(NOW), std::slice::from_ref(key));
        let number = watches.asking(key, owner("n1")).unwrap();
        assert_eq!(watches.answered(NOW, key, (number, count)), None);
        assert_eq!(watches.due(NOW), []);
        watches
    }

    fn news(count: u64) -> News<char> {
        let watchers = vec!['a'];
        News { count, watchers }
    }

    #[test]
    fn a_change_is_told_once() {
        let mut watches = watching(&bob(), 0);
        assert_eq!(watches.heard(NOW, &bob(), 1), Some(news(1)));
        assert_eq!(watches.heard(NOW, &bob(), 1), None);
        let mut watches = watching(&lobby(), 2);
        assert_eq!(watches.heard(NOW, &lobby(), 0), Some(news(0)));
        assert_eq!(watches.heard(NOW, &lobby(), 3), Some(news(3)));
    }

    #[test]
    fn a_user_has_gone_when_the_owner_says_so_again() {
        let mut watches = watching(&bob(), 1);
        assert_eq!(watches.heard(NOW, &bob(), 0), None);
        assert_eq!(watches.due(NOW), []);
        let later = NOW + GONE_AFTER;
        assert_eq!(watches.due(later), [bob()]);
        let number = watches.asking(&bob(), owner("n1")).unwrap();
        assert_eq!(watches.answered(later, &bob(), (number, 0)), Some(news(0)));
    }

    #[test]
    fn a_user_who_comes_back_at_once_was_never_gone() {
        let mut watches = watching(&bob(), 1);
        assert_eq!(watches.heard(NOW, &bob(), 0), None);
        assert_eq!(watches.heard(NOW, &bob(), 1), None);
        // Gone again: it is doubted anew, from then on.
        let later = NOW + GONE_AFTER / 2;
        assert_eq!(watches.heard(later, &bob(), 0), None);
        watches.due(NOW + GONE_AFTER);
        let number = watches.asking(&bob(), owner("n1")).unwrap();
        assert_eq!(
            watches.answered(NOW + GONE_AFTER, &bob(), (number, 0)),
            None
        );
        assert_eq!(watches.heard(later + GONE_AFTER, &bob(), 0), Some(news(0)));
    }

    #[test]
    fn who_begins_to_watch_while_a_user_is_away_is_told_of_the_return() {
        let (before, soon) = (NOW - GONE_AFTER / 2, NOW + GONE_AFTER / 2);
        for since in [before, soon] {
            let mut watches = watching(&bob(), 1);
            if since < NOW {
                watches.add(since, &bob(), SessionId(2), 'b');
            }
            assert_eq!(watches.heard(NOW, &bob(), 0), None);
            if since > NOW {
                watches.add(since, &bob(), SessionId(2), 'b');
            }
            // The owner may have said to the second one that the user is away.
            let watchers = vec!['b'];
            let returned = News { count: 1, watchers };
            assert_eq!(watches.heard(soon, &bob(), 1), Some(returned));
            assert_eq!(watches.heard(soon, &bob(), 1), None);
        }
    }

    #[test]
    fn what_another_owner_says_first_is_compared_with_what_was_known() {
        let mut watches = watching(&bob(), 0);
        watches.on_view(|_| owner("n1"));
        assert_eq!(watches.due(NOW), []);
        watches.on_view(|_| owner("n2"));
        assert_eq!(watches.due(NOW), [bob()]);
        let number = watches.asking(&bob(), owner("n2")).unwrap();
        assert_eq!(
            watches.answered(NOW, &bob(), (number - 1, 1)),
            None,
            "an old answer"
        );
        assert_eq!(watches.answered(NOW, &bob(), (number, 1)), Some(news(1)));
        watches.forgotten_by(&NodeId::new("n1").unwrap());
        assert_eq!(watches.due(NOW), []);
        watches.forgotten_by(&NodeId::new("n2").unwrap());
        assert_eq!(watches.due(NOW), [bob()]);
    }

    #[test]
    fn a_first_answer_that_comes_late_is_told() {
        let mut watches = Watches::default();
        watches.add(EARLIER, &bob(), ID, 'a');
        watches.due(NOW);
        watches.asking(&bob(), owner("n1"));
        watches.not_answered(&bob());
        assert_eq!(watches.due(NOW), [bob()]);
        let number = watches.asking(&bob(), owner("n1")).unwrap();
        assert_eq!(watches.answered(NOW, &bob(), (number, 1)), Some(news(1)));
    }

    #[test]
    fn who_watches_no_more_hears_no_more() {
        let mut watches = watching(&bob(), 0);
        watches.add(NOW, &bob(), SessionId(2), 'b');
        assert!(!watches.remove(&bob(), SessionId(2)));
        assert_eq!(watches.heard(NOW, &bob(), 1), Some(news(1)));
        assert!(watches.remove(&bob(), ID) && watches.is_empty());
        assert_eq!(watches.heard(NOW, &bob(), 0), None);
    }

    #[test]
    fn an_owner_knows_which_nodes_want_to_hear() {
        let (n1, n2) = (NodeId::new("n1").unwrap(), NodeId::new("n2").unwrap());
        let mut watchers = Watchers::default();
        watchers.add(&bob(), &n1);
        watchers.add(&bob(), &n1);
        watchers.add(&bob(), &n2);
        assert_eq!(watchers.of(&bob()), [n1.clone(), n2.clone()]);
        watchers.retain(|node| *node == n2, |_| true);
        assert_eq!(watchers.of(&bob()), std::slice::from_ref(&n2));
        watchers.remove(&bob(), &n2);
        assert!(watchers.of(&bob()).is_empty() && watchers.is_empty());
        watchers.add(&bob(), &n1);
        watchers.retain(|_| true, |_| false);
        assert!(watchers.is_empty());
    }
}
