//! One run from its seed to its verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::scenario::{SECOND, Scenario};
use super::trace::Trace;
use super::world::World;

/// Without faults everything is as it should be after this.
const CALM: u64 = 20 * SECOND;
/// Before the end of it clients stop sending.
const QUIET: u64 = 8 * SECOND;
/// What a message takes when nothing is wrong.
const LAST_WORDS: u64 = 3 * SECOND;

/// What one run has come to.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub hash: u64,
    pub messages: usize,
    pub accepted: usize,
}

/// Runs one seed.
///
/// # Errors
/// What was wrong, with the scenario in which it was.
pub fn run(seed: u64, shown: bool) -> Result<Run, String> {
    let scenario = Scenario::random(&mut StdRng::seed_from_u64(seed));
    if shown {
        println!("{scenario}");
    }
    let text = scenario.to_string();
    let caught = catch_unwind(AssertUnwindSafe(|| simulate(scenario, seed, shown)));
    caught
        .unwrap_or_else(|_| Err("a panic".to_owned()))
        .map_err(|wrong| {
            format!(
                "{wrong}\n  with {text}\n  again: RINGPOST_SIM_SEED={seed} cargo test --test \
                 stream_simulation -- --nocapture"
            )
        })
}

/// What is done to the world at some time.
type Step = fn(&mut World);

fn simulate(scenario: Scenario, seed: u64, shown: bool) -> Result<Run, String> {
    let end = scenario.end;
    let mut world = World::new(scenario, seed, Trace::new(shown));
    let steps: [(u64, Step); 5] = [
        (end, World::calm_down),
        (end + CALM - QUIET, |world| world.quiet = true),
        (end + CALM, World::check_settled),
        (end + CALM, World::last_words),
        (end + CALM + LAST_WORDS, |world| {
            world.check_last_words();
            world.check_received();
            world.check_copies_are_equal();
        }),
    ];
    for (at, step) in steps {
        world.run_until(at);
        if world.ledger.wrong.is_none() {
            step(&mut world);
        }
        if let Some(wrong) = world.ledger.wrong {
            return Err(format!("at {} ms: {wrong}", world.now / 1000));
        }
    }
    let accepted = world.ledger.messages.iter().filter(|m| m.accepted);
    Ok(Run {
        hash: world.trace.hash(),
        accepted: accepted.count(),
        messages: world.ledger.messages.len(),
    })
}
