//! The clock of the open loop: wakes each sender when a message of its is due.
//!
//! A thread of its own, since the runtime's timers are no finer than a millisecond, which would be
//! most of the latency that is to be measured.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use super::pace::turn_us;
use super::timeline::Timeline;

/// Shortest sleep. At high rates all that became due in the meantime goes out together.
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// Wakes the senders in turn, at this total rate, from now until the timeline stops.
pub fn start(rate: u64, senders: Vec<Arc<Notify>>, timeline: Arc<Timeline>) {
    thread::spawn(move || {
        let begin = timeline.begin_us();
        for (turn, sender) in (0..).zip(senders.iter().cycle()) {
            let due = begin + turn_us(rate, turn);
            loop {
                let now = timeline.now_us();
                if now >= timeline.stop_us() {
                    return;
                }
                if now >= due {
                    break;
                }
                // At most so long, lest a stop comes while a slow rate sleeps.
                let wait = Duration::from_micros(due - now).min(Duration::from_millis(100));
                thread::sleep(wait.max(SLEEP_MIN));
            }
            sender.notify_one();
        }
    });
}
