//! Waiting for a condition with a deadline, never for a fixed time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// For what has no deadline of its own in the contract: long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A time that the contract promises, as long as this machine may take for it: where others run beside
/// debug builds, `RINGPOST_TEST_SLACK` times as long.
///
/// # Panics
/// When the variable is no number.
pub fn promised(time: Duration) -> Duration {
    let slack = std::env::var("RINGPOST_TEST_SLACK");
    time * slack.map_or(1, |slack| {
        slack.parse().expect("RINGPOST_TEST_SLACK is a number")
    })
}

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// One cluster at a time: the deadlines are those of a machine that is not overloaded.
static TURN: Mutex<()> = Mutex::new(());

/// Waits until no other cluster of this process runs; none starts before this is dropped.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the condition holds and says how long that took; `None` if the deadline passes first.
pub fn within(deadline: Duration, mut condition: impl FnMut() -> bool) -> Option<Duration> {
    let start = Instant::now();
    loop {
        if condition() {
            return Some(start.elapsed());
        }
        let left = deadline.checked_sub(start.elapsed())?;
        thread::sleep(POLL.min(left));
    }
}

/// As [`within`], of what has to happen.
///
/// # Panics
/// When the deadline passes first; `what` is the sentence that would have been true.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, condition: impl FnMut() -> bool) -> Duration {
    let Some(after) = within(deadline, condition) else {
        panic!("not within {deadline:?}: {what}");
    };
    after
}

/// Watches for the whole time that a condition holds: for what must not happen.
///
/// # Panics
/// As soon as it does not hold.
#[track_caller]
pub fn holds_for(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    if let Some(after) = within(time, || !condition()) {
        panic!("no longer true after {after:?}: {what}");
    }
}
