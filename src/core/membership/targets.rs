//! Whom to compare with, and when.

use std::sync::Arc;
use std::time::Duration;

use foca::State;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use super::{Identity, Record};

/// Whom to compare with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The seed of that place in the list: whatever its name resolves to.
    Seed(usize),
    /// A member, by its `host:port`.
    Peer(Arc<str>),
    /// A member that is told what it lacked; nobody compares any further.
    Push(Arc<str>),
}

/// A node without company tries its seeds after this, then after twice as long, and so on …
const LONELY_MIN: Duration = Duration::from_millis(100);
/// … up to this.
const LONELY_MAX: Duration = Duration::from_secs(1);
/// Members that are down are tried so many at a time.
const LOST_AT_ONCE: usize = 3;
/// A node with company asks so many of its seeds at a time.
const SEEDS_AT_ONCE: usize = 3;
/// Up to this many members are told of a departure first hand.
const FAREWELLS_MAX: usize = 8;
/// A node younger than this asks more often: others may be just about to start.
const YOUNG: Duration = Duration::from_secs(10);
/// So often.
const YOUNG_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Targets {
    seeds: usize,
    interval: Duration,
    next: Duration,
    lonely: Duration,
    rng: StdRng,
}

impl Targets {
    pub(super) fn new(seeds: usize, interval: Duration, random: u64) -> Self {
        Self {
            seeds,
            interval,
            next: Duration::ZERO,
            lonely: LONELY_MIN,
            // Any constant: this is not to walk in step with foca's generator.
            rng: StdRng::seed_from_u64(random ^ 0x5eed_5eed_5eed_5eed),
        }
    }

    pub(super) fn next_deadline(&self) -> Duration {
        self.next
    }

    /// Whom to compare with now: one member, a few of the seeds (all of them if there is no member),
    /// and a few of those that are lost.
    ///
    /// Seeds are asked for ever, since only they tell a side of a healed partition of members that
    /// it never met. One of them is this node itself, and which is not remembered: a seed's name may
    /// stand for many addresses, the own one among them.
    pub(super) fn due(&mut self, now: Duration, alone: bool, known: &[&Record]) -> Vec<Target> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now + self.pause(now, alone);
        let is_down = |record: &&&Record| record.state() == State::Down;
        let address = |record: &&Record| Target::Peer(Arc::clone(&record.id().peer));
        let live = known
            .iter()
            .filter(|record| !is_down(record))
            .choose(&mut self.rng);
        let lost = known.iter().filter(is_down);
        let lost = lost.sample(&mut self.rng, LOST_AT_ONCE);
        let seeds = if alone { self.seeds } else { SEEDS_AT_ONCE };
        let seeds = (0..self.seeds).sample(&mut self.rng, seeds);
        let members = live.into_iter().chain(lost).map(address);
        let seeds = seeds.into_iter();
        seeds.map(Target::Seed).chain(members).collect()
    }

    fn pause(&mut self, now: Duration, alone: bool) -> Duration {
        let pause = if alone {
            let pause = self.lonely;
            self.lonely = (pause * 2).min(LONELY_MAX);
            pause
        } else if now < YOUNG {
            self.lonely = LONELY_MIN;
            YOUNG_INTERVAL.min(self.interval)
        } else {
            self.lonely = LONELY_MIN;
            self.interval
        };
        // So that nodes that were started together do not ask together for ever.
        pause.mul_f64(self.rng.random_range(0.8..=1.2))
    }

    /// Whom to tell of a departure first hand.
    pub(super) fn farewells<'a>(
        &mut self,
        live: impl Iterator<Item = &'a foca::Member<Identity>>,
    ) -> Vec<Target> {
        live.sample(&mut self.rng, FAREWELLS_MAX)
            .into_iter()
            .map(|record| Target::Push(Arc::clone(&record.id().peer)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::membership::identity::tests::node;

    const INTERVAL: Duration = Duration::from_secs(2);

    fn record(id: &str, state: State) -> Record {
        Record::new(node(id, 1), 0, state)
    }

    /// What is asked at each of so many turns, and when.
    fn turns(
        targets: &mut Targets,
        known: &[Record],
        count: usize,
    ) -> Vec<(Duration, Vec<Target>)> {
        let known: Vec<&Record> = known.iter().collect();
        let alone = known.iter().all(|record| record.state() == State::Down);
        let mut turn = || {
            let now = targets.next_deadline();
            (now, targets.due(now, alone, &known))
        };
        (0..count).map(|_| turn()).collect()
    }

    #[test]
    fn a_node_asks_at_once_and_not_again_before_its_time() {
        let mut targets = Targets::new(2, INTERVAL, 1);
        let now = targets.next_deadline();
        assert_eq!(now, Duration::ZERO);
        assert_eq!(targets.due(now, true, &[]).len(), 2);
        assert_eq!(targets.due(now, true, &[]), []);
        assert!(targets.next_deadline() > now);
    }

    #[test]
    fn a_node_without_company_asks_all_seeds_ever_more_slowly_but_for_ever() {
        let mut targets = Targets::new(7, INTERVAL, 1);
        let turns = turns(&mut targets, &[], 30);
        let pauses: Vec<Duration> = turns
            .windows(2)
            .map(|two| two[1].0.abs_diff(two[0].0))
            .collect();
        assert!(turns.iter().all(|(_, asked)| asked.len() == 7));
        assert!(pauses[0] <= LONELY_MIN.mul_f64(1.2));
        assert!(pauses.iter().all(|pause| *pause <= LONELY_MAX.mul_f64(1.2)));
        assert!(pauses[20] >= LONELY_MAX.mul_f64(0.8));
    }

    #[test]
    fn a_node_that_has_lost_all_others_goes_on_trying_them() {
        let mut targets = Targets::new(0, INTERVAL, 1);
        let lost = [record("n1", State::Down), record("n2", State::Down)];
        let turns = turns(&mut targets, &lost, 5);
        assert!(turns.iter().all(|(_, asked)| asked.len() == 2));
    }

    #[test]
    fn a_node_with_company_asks_few_at_a_time_and_everybody_in_time() {
        let mut targets = Targets::new(20, INTERVAL, 1);
        let known: Vec<Record> = (0..20)
            .map(|at| record(&format!("live{at}"), State::Alive))
            .chain((0..20).map(|at| record(&format!("down{at}"), State::Down)))
            .collect();
        let turns = turns(&mut targets, &known, 200);
        let most = turns.iter().map(|(_, asked)| asked.len()).max();
        assert_eq!(most, Some(SEEDS_AT_ONCE + 1 + LOST_AT_ONCE));
        let all: std::collections::HashSet<&Target> =
            turns.iter().flat_map(|(_, asked)| asked).collect();
        assert_eq!(all.len(), 60);
    }

    #[test]
    fn a_young_node_asks_more_often_than_an_old_one() {
        let mut targets = Targets::new(1, INTERVAL, 1);
        let turns = turns(&mut targets, &[record("n1", State::Alive)], 60);
        let pauses = |young: bool| {
            let of_that_age = move |now: Duration| (now < YOUNG) == young;
            turns
                .windows(2)
                .filter(move |two| of_that_age(two[0].0))
                .map(|two| two[1].0.abs_diff(two[0].0))
        };
        assert!(pauses(true).all(|pause| pause <= YOUNG_INTERVAL.mul_f64(1.2)));
        assert!(pauses(false).all(|pause| pause >= INTERVAL.mul_f64(0.8)));
        assert!(pauses(false).count() > 10);
    }

    #[test]
    fn farewells_go_to_a_few_of_many_and_to_all_of_a_few() {
        let mut targets = Targets::new(0, INTERVAL, 1);
        let many: Vec<Record> = (0..20)
            .map(|at| record(&format!("n{at}"), State::Alive))
            .collect();
        assert_eq!(targets.farewells(many.iter()).len(), FAREWELLS_MAX);
        assert_eq!(targets.farewells(many[..3].iter()).len(), 3);
    }
}
