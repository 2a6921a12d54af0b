//! What happened in the cluster lately, as one node has seen it: members that came and went, rings, and
//! streams that were handed over.
//!
//! Every node keeps its own. What members do is seen by all nodes alike, so a node tells the others only of
//! its streams.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::ring::Digest;
use super::view::{Member, MemberState, View};
use crate::id::{Generation, NodeId};

/// Moments of a node that are kept; the oldest give way. Of all other nodes together as many.
pub const MOMENTS_MAX: usize = 256;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Grows with each, from 1. Means nothing at another node.
    pub number: u64,
    /// Milliseconds since the Unix epoch, by the clock of the node that tells it.
    pub at_ms: u64,
    /// Who tells it.
    pub node: NodeId,
    /// What it is.
    pub what: Happened,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A node was heard of for the first time, or again under a new generation.
    Up(NodeId, Generation),
    /// It did not answer somebody.
    Suspect(NodeId),
    /// It was suspect, and answers.
    Refuted(NodeId),
    /// It leaves the ring.
    Draining(NodeId),
    /// It is gone.
    Down(NodeId),
    /// Another ring, of so many nodes.
    Ring(Digest, usize),
    /// Streams of this node wait to be handed over, taken over or copied: so many at first.
    HandOverBegun(u64),
    /// None waits any more.
    HandOverFinished(HandOver),
}

/// What was done to the streams of one node after the ring had changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandOver {
    /// Most that waited at one time.
    pub streams: u64,
    /// Those that the node took over from others.
    pub taken_over: u64,
    /// From the change of the ring to the end, in milliseconds.
    pub took_ms: u64,
}

impl Happened {
    /// Whether only the node itself knows of it.
    const fn is_of_streams(&self) -> bool {
        matches!(self, Self::HandOverBegun(_) | Self::HandOverFinished(_))
    }
}

/// The last moments of a node, and what others have told of theirs.
#[derive(Debug)]
pub struct Timeline {
    me: NodeId,
    /// The number of the last moment.
    last: u64,
    own: VecDeque<Moment>,
    others: VecDeque<Moment>,
    /// The last moment that each node has told, by the number that it has there.
    heard: BTreeMap<NodeId, (Generation, u64)>,
    moving: Option<Moving>,
}

/// Since the ring has changed.
#[derive(Debug)]
struct Moving {
    since: Duration,
    taken_over_before: u64,
    /// 0: none has waited yet.
    streams: u64,
}

impl Timeline {
    /// Nothing has happened.
    #[must_use]
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            last: 0,
            own: VecDeque::new(),
            others: VecDeque::new(),
            heard: BTreeMap::new(),
            moving: None,
        }
    }

    /// A new view took the place of another. `taken_over` is what the node had taken over before.
    pub fn on_view(
        &mut self,
        now: Duration,
        at_ms: u64,
        (old, new): (&View, &View),
        taken_over: u64,
    ) {
        for member in &new.members {
            for what in changes(old.member(&member.id), member) {
                self.note(at_ms, what);
            }
        }
        if old.digest() != new.digest() {
            self.note(at_ms, Happened::Ring(new.digest(), new.ring.len()));
            // One that goes on is the same hand-over.
            self.moving.get_or_insert(Moving {
                since: now,
                taken_over_before: taken_over,
                streams: 0,
            });
        }
    }

    /// Whether a hand-over is under way, or about to begin.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// So many streams of this node wait now. `is_settled`: everybody agrees about the ring, so no more
    /// of them will turn up.
    pub fn on_waiting(
        &mut self,
        now: Duration,
        at_ms: u64,
        waiting: u64,
        taken_over: u64,
        is_settled: bool,
    ) {
        let Some(moving) = &mut self.moving else {
            return;
        };
        let begins = moving.streams == 0 && waiting > 0;
        moving.streams = moving.streams.max(waiting);
        if begins {
            self.note(at_ms, Happened::HandOverBegun(waiting));
        } else if waiting == 0 && is_settled {
            let took = now.saturating_sub(moving.since).as_millis();
            let done = HandOver {
                streams: moving.streams,
                taken_over: taken_over.saturating_sub(moving.taken_over_before),
                took_ms: u64::try_from(took).unwrap_or(u64::MAX),
            };
            self.moving = None;
            if done.streams > 0 || done.taken_over > 0 {
                self.note(at_ms, Happened::HandOverFinished(done));
            }
        }
    }

    fn note(&mut self, at_ms: u64, what: Happened) {
        self.last += 1;
        let moment = Moment {
            number: self.last,
            at_ms,
            node: self.me.clone(),
            what,
        };
        push(&mut self.own, moment);
    }

    /// The last moment that a start of a node has told, to be told the next ones; 0 for none.
    #[must_use]
    pub fn heard_of(&self, node: &NodeId, generation: Generation) -> u64 {
        let heard = self.heard.get(node);
        heard.map_or(
            0,
            |&(start, number)| if start == generation { number } else { 0 },
        )
    }

    /// A node tells what happened to its streams, with the numbers that this has there.
    pub fn heard(&mut self, node: &NodeId, generation: Generation, moments: Vec<Moment>) {
        let mut last = self.heard_of(node, generation);
        for moment in moments {
            if moment.number <= last || !moment.what.is_of_streams() {
                continue;
            }
            last = moment.number;
            self.last += 1;
            let number = self.last;
            push(&mut self.others, Moment { number, ..moment });
        }
        self.heard.insert(node.clone(), (generation, last));
    }

    /// Forgets how far nodes were that are no members any more.
    pub fn retain(&mut self, is_member: impl Fn(&NodeId) -> bool) {
        self.heard.retain(|node, _| is_member(node));
    }

    /// What others are told: what happened to this node's streams behind a number.
    #[must_use]
    pub fn of_streams(&self, after: u64) -> Vec<Moment> {
        let told = |moment: &&Moment| moment.number > after && moment.what.is_of_streams();
        self.own.iter().filter(told).cloned().collect()
    }

    /// All that is known behind a number, by the time at which it happened. What other nodes tell comes later
    /// than what this one sees, so the last one need not have the largest number.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<Moment> {
        let all = self.own.iter().chain(&self.others);
        let mut all: Vec<_> = all.filter(|m| m.number > number).cloned().collect();
        all.sort_unstable_by_key(|moment| (moment.at_ms, moment.number));
        all
    }
}

fn push(list: &mut VecDeque<Moment>, moment: Moment) {
    if list.len() == MOMENTS_MAX {
        list.pop_front();
    }
    list.push_back(moment);
}

/// What became of a member, in its order.
fn changes(old: Option<&Member>, new: &Member) -> Vec<Happened> {
    let id = || new.id.clone();
    let mut all = Vec::new();
    let before = old.filter(|old| old.generation == new.generation);
    let was = before.map_or(MemberState::Down, |before| before.state);
    match (was, new.state) {
        (MemberState::Down, MemberState::Alive) => all.push(Happened::Up(id(), new.generation)),
        (MemberState::Down, MemberState::Suspect) => {
            all.push(Happened::Up(id(), new.generation));
            all.push(Happened::Suspect(id()));
        }
        (MemberState::Alive, MemberState::Suspect) => all.push(Happened::Suspect(id())),
        (MemberState::Suspect, MemberState::Alive) => all.push(Happened::Refuted(id())),
        (MemberState::Alive | MemberState::Suspect, MemberState::Down) => {
            all.push(Happened::Down(id()));
        }
        (MemberState::Alive, MemberState::Alive)
        | (MemberState::Suspect, MemberState::Suspect)
        | (MemberState::Down, MemberState::Down) => {}
    }
    let drained = before.is_some_and(|before| before.draining);
    if new.draining && !drained && new.state != MemberState::Down {
        all.push(Happened::Draining(id()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ring::Seed;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn member(name: &str, state: MemberState) -> Member {
        Member {
            id: id(name),
            generation: Generation(7),
            revision: 0,
            peer: "127.0.0.1:1".into(),
            url: "ws://127.0.0.1:2".into(),
            weight: 1,
            draining: false,
            state,
        }
    }

    fn view(members: &[Member]) -> View {
        View::new(id("n1"), Seed(1), members.to_vec(), None)
    }

    fn kinds(timeline: &Timeline) -> Vec<Happened> {
        let ring = |what: &Happened| matches!(what, Happened::Ring(..));
        let all = timeline.after(0).into_iter().map(|moment| moment.what);
        all.filter(|what| !ring(what)).collect()
    }

    #[test]
    fn what_becomes_of_a_member_is_told_in_its_order() {
        use MemberState::{Alive, Down, Suspect};
        let mut timeline = Timeline::new(id("n1"));
        let me = || member("n1", Alive);
        let leaving = Member {
            draining: true,
            ..member("n2", Alive)
        };
        let again = Member {
            generation: Generation(8),
            ..member("n2", Alive)
        };
        let steps = [
            vec![me()],
            vec![me(), member("n2", Alive)],
            vec![me(), member("n2", Suspect)],
            vec![me(), member("n2", Alive)],
            vec![me(), leaving],
            vec![me(), member("n2", Down)],
            vec![me(), again],
        ];
        for pair in steps.windows(2) {
            let (old, new) = (view(&pair[0]), view(&pair[1]));
            timeline.on_view(Duration::ZERO, 5, (&old, &new), 0);
        }
        let n2 = || id("n2");
        let expected = [
            Happened::Up(n2(), Generation(7)),
            Happened::Suspect(n2()),
            Happened::Refuted(n2()),
            Happened::Draining(n2()),
            Happened::Down(n2()),
            Happened::Up(n2(), Generation(8)),
        ];
        assert_eq!(kinds(&timeline), expected);
        let rings = timeline.after(0).into_iter();
        let rings = rings.filter(|m| matches!(m.what, Happened::Ring(..)));
        // It came, left to drain, and came again; to be suspect or down changes nothing more.
        assert_eq!(rings.count(), 3);
    }

    #[test]
    fn a_hand_over_lasts_from_the_change_of_the_ring_until_nothing_waits() {
        let mut timeline = Timeline::new(id("n1"));
        let alone = view(&[member("n1", MemberState::Alive)]);
        let both = view(&[
            member("n1", MemberState::Alive),
            member("n2", MemberState::Alive),
        ]);
        let at = Duration::from_millis;
        timeline.on_waiting(at(10), 10, 3, 0, true);
        assert!(timeline.after(0).is_empty(), "new streams are no hand-over");
        timeline.on_view(at(100), 100, (&alone, &both), 40);
        timeline.on_waiting(at(150), 150, 0, 40, false);
        timeline.on_waiting(at(200), 200, 9, 41, true);
        timeline.on_waiting(at(250), 250, 12, 45, true);
        timeline.on_waiting(at(400), 400, 0, 47, true);
        timeline.on_waiting(at(450), 450, 5, 47, true);
        let told = timeline.of_streams(0).into_iter().map(|m| m.what);
        let done = HandOver {
            streams: 12,
            taken_over: 7,
            took_ms: 300,
        };
        let expected = [Happened::HandOverBegun(9), Happened::HandOverFinished(done)];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_another_node_tells_is_taken_once_and_only_of_its_streams() {
        let (mut told, mut timeline) = (Timeline::new(id("n2")), Timeline::new(id("n1")));
        let streams = |number, streams| Moment {
            number,
            at_ms: 1,
            node: id("n2"),
            what: Happened::HandOverBegun(streams),
        };
        told.note(1, Happened::Down(id("n3")));
        told.note(1, Happened::HandOverBegun(4));
        assert_eq!(told.of_streams(0), [streams(2, 4)]);
        let foreign = Moment {
            what: Happened::Down(id("n1")),
            ..streams(3, 0)
        };
        let n2 = id("n2");
        for _ in 0..2 {
            let moments = vec![streams(2, 4), foreign.clone()];
            timeline.heard(&n2, Generation(7), moments);
        }
        assert_eq!(timeline.after(0), [streams(1, 4)]);
        assert_eq!(timeline.heard_of(&n2, Generation(7)), 2);
        assert_eq!(timeline.heard_of(&n2, Generation(8)), 0, "another start");
        timeline.heard(&n2, Generation(8), vec![streams(1, 5)]);
        assert_eq!(timeline.after(1), [streams(2, 5)]);
    }

    #[test]
    fn what_another_node_tells_late_stands_where_it_belongs() {
        let mut timeline = Timeline::new(id("n1"));
        timeline.note(10, Happened::Up(id("n2"), Generation(7)));
        timeline.note(30, Happened::Down(id("n3")));
        let late = Moment {
            number: 1,
            at_ms: 20,
            node: id("n2"),
            what: Happened::HandOverBegun(4),
        };
        timeline.heard(&id("n2"), Generation(7), vec![late]);
        let all = timeline.after(0).into_iter();
        let all: Vec<_> = all.map(|moment| (moment.at_ms, moment.number)).collect();
        assert_eq!(all, [(10, 1), (20, 3), (30, 2)]);
    }

    #[test]
    fn the_oldest_moments_give_way() {
        let mut timeline = Timeline::new(id("n1"));
        for number in 0..300 {
            timeline.note(number, Happened::Suspect(id("n2")));
        }
        let kept = timeline.after(0);
        assert_eq!((kept.len(), kept[0].number), (MOMENTS_MAX, 45));
    }
}
