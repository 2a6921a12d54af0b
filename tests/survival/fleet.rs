//! Many users at once, each with a thread and a connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::ledger::{Ledger, Numbered, Promises};
use crate::random::Random;
use crate::support::{Client, PATIENCE, wait_until, within};
use crate::user::{Habit, Shared, User, name};

/// Users that are there from the start, and send.
const PRESENT: usize = 40;
/// Users that come only in the end, and find what was sent to them.
const ABSENT: usize = 20;
/// After the last message was sent, all have their outcome and all that was accepted has come. More
/// than a sender is left in doubt for.
const SETTLED: Duration = Duration::from_secs(40);

pub struct Fleet {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    random: Random,
}

impl Fleet {
    /// Sends its users to these nodes and waits until all are in and messages flow.
    #[track_caller]
    pub fn start(nodes: Vec<SocketAddr>, random: &Random) -> Self {
        let shared = Arc::new(Shared {
            nodes,
            ledger: Ledger::new(PRESENT + ABSENT),
            users: PRESENT + ABSENT,
            sending: AtomicBool::new(true),
            over: AtomicBool::new(false),
        });
        let mut fleet = Self {
            shared,
            threads: Vec::new(),
            random: random.clone(),
        };
        (0..PRESENT).for_each(|user| fleet.add(user));
        wait_until(3 * PATIENCE, "every sender has a receipt", || {
            (0..PRESENT).all(|user| !fleet.shared.ledger.of(user).accepted.is_empty())
        });
        fleet
    }

    fn add(&mut self, user: usize) {
        let user = User::new(user, Arc::clone(&self.shared), &self.random);
        // A few calls deep, and there are many.
        let thread = thread::Builder::new().stack_size(512 * 1024);
        let thread = thread.spawn(move || user.run());
        self.threads.push(thread.expect("a thread starts"));
    }

    /// The users whose clients are where their owner is, once they have been told.
    pub fn steady() -> impl Iterator<Item = String> {
        let steady = |user: &usize| Habit::of(*user) == Habit::Steady;
        (0..PRESENT).filter(steady).map(name)
    }

    /// Lets the absent users in, sends no more, waits until everything has come, and checks that all
    /// is as promised.
    #[track_caller]
    pub fn finish(mut self, promises: Promises) {
        self.shared.sending.store(false, Ordering::Relaxed);
        (PRESENT..PRESENT + ABSENT).for_each(|user| self.add(user));
        let start = Instant::now();
        let ledger = &self.shared.ledger;
        // What has not come by then is told below.
        let _ = within(SETTLED, || {
            assert!(
                self.threads.iter().all(|t| !t.is_finished()),
                "a user has panicked"
            );
            ledger.pending() == 0 && ledger.missing().is_empty()
        });
        println!(
            "all had come {:?} after the end; {}",
            start.elapsed(),
            ledger.summary()
        );
        let mut faults = ledger.faults(promises);
        for (user, missing) in ledger.missing() {
            faults.push(self.look_for(user, &missing));
        }
        assert!(
            faults.is_empty(),
            "{} faults:\n{}",
            faults.len(),
            faults.join("\n")
        );
    }
}

impl Fleet {
    /// Where the messages are that a user did not get, as a sentence.
    fn look_for(&self, user: usize, missing: &[Numbered]) -> String {
        let node = self.shared.nodes[0];
        // Nobody knows this epoch: all that is kept is replayed.
        let url = format!("ws://{node}/ws?user={}&epoch=look&offset=0", name(user));
        let (mut client, welcome) = Client::welcomed(&url);
        let mut there = Vec::new();
        while let Some(message) = client.find(Duration::from_secs(1), |m| m["type"] == "message") {
            let from = message["from"]
                .as_str()
                .and_then(|from| from[1..].parse().ok());
            there.extend(
                from.zip(message["body"].as_u64())
                    .zip(message["offset"].as_u64()),
            );
        }
        let found = there
            .iter()
            .filter(|(message, _)| missing.contains(message));
        let found: Vec<_> = found.map(|(_, offset)| offset).collect();
        let last = there.last().map(|(_, offset)| offset);
        format!(
            "u{user} stopped at {:?}; of {} that it lacks {} are in its inbox at {}, at {found:?} of {} to {last:?}",
            self.shared.ledger.of(user).last,
            missing.len(),
            found.len(),
            welcome["node"],
            there.len(),
        )
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "a user has panicked");
        }
    }
}

/// A count that names probes, so that no two are alike.
pub static PROBES: AtomicU64 = AtomicU64::new(0);
