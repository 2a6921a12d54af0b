//! Streams in whole clusters: the real dispatcher of every node in one thread, with simulated links,
//! clients, clocks and membership, all from one seed. Whatever happens, what is accepted is not lost, nothing arrives twice or
//! out of order, and in the end everything is where it belongs.
//!
//! `RINGPOST_SIM_RUNS=10000 cargo test --release --test stream_simulation` runs it for longer;
//! `RINGPOST_SIM_SEED=7` runs one seed and shows what happens.

mod client;
mod clock;
mod copies;
mod faults;
mod gossip;
mod ledger;
mod network;
mod node;
mod promises;
mod reader;
mod receipts;
mod rooms;
mod run;
mod scenario;
mod server;
mod serving;
mod trace;
mod verdict;
mod world;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use run::run;

/// Seeds of an everyday run: a few seconds' worth.
const RUNS: u64 = if cfg!(debug_assertions) { 8 } else { 100 };

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok();
    value.map(|value| value.parse().expect("a number"))
}

/// Runs all seeds, a few at a time; says which have failed.
fn run_all(seeds: Range<u64>, shown: bool) -> (usize, usize, Vec<u64>) {
    let next = AtomicU64::new(seeds.start);
    let all = Mutex::new((0, 0, Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let run = run(seed, shown);
            let mut all = all.lock().expect("nobody panics");
            match run {
                Ok(run) => {
                    all.0 += run.messages;
                    all.1 += run.accepted;
                }
                Err(wrong) => {
                    println!("{wrong}");
                    all.2.push(seed);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    all.into_inner().expect("nobody panics")
}

#[test]
fn whatever_happens_what_was_accepted_arrives() {
    let shown = number("RINGPOST_SIM_SEED");
    let seeds = match shown {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("RINGPOST_SIM_RUNS").unwrap_or(RUNS),
    };
    let count = seeds.end - seeds.start;
    let (messages, accepted, failed) = run_all(seeds, shown.is_some());
    assert!(
        failed.is_empty(),
        "of {count} seeds these failed: {failed:?}"
    );
    println!("{count} seeds: {messages} messages, {accepted} of them accepted");
}

#[test]
fn the_same_seed_is_the_same_run() {
    assert_eq!(run(1, false), run(1, false));
}
