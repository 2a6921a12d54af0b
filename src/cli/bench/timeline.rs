//! The one clock of a load test, in microseconds, and what its moments mean.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Senders and receivers are in one process, so one monotonic clock times both ends.
#[derive(Debug)]
pub struct Timeline {
    zero: Instant,
    /// From when on messages are sent; `u64::MAX` until all are connected.
    begin_us: AtomicU64,
    /// When no more is sent; `u64::MAX` until `begin`.
    stop_us: AtomicU64,
    warmup_us: u64,
}

impl Timeline {
    pub fn new(warmup: Duration) -> Self {
        Self {
            zero: Instant::now(),
            begin_us: AtomicU64::new(u64::MAX),
            stop_us: AtomicU64::new(u64::MAX),
            warmup_us: micros(warmup),
        }
    }

    pub fn now_us(&self) -> u64 {
        micros(self.zero.elapsed())
    }

    /// The moment as the runtime's timers take it.
    pub fn instant(&self, at_us: u64) -> tokio::time::Instant {
        (self.zero + Duration::from_micros(at_us)).into()
    }

    /// Sending begins now; after the warm-up it is measured for as long as this.
    pub fn begin(&self, duration: Duration) {
        let now = self.now_us();
        let stop = now + self.warmup_us + micros(duration);
        self.stop_us.store(stop, Ordering::Relaxed);
        self.begin_us.store(now, Ordering::Relaxed);
    }

    /// Sending ends now, if it has not ended.
    pub fn stop(&self) {
        self.stop_us.fetch_min(self.now_us(), Ordering::Relaxed);
    }

    pub fn begin_us(&self) -> u64 {
        self.begin_us.load(Ordering::Relaxed)
    }

    pub fn stop_us(&self) -> u64 {
        self.stop_us.load(Ordering::Relaxed)
    }

    /// Whether a message may be sent at this moment.
    pub fn is_sending(&self, at_us: u64) -> bool {
        at_us >= self.begin_us() && at_us < self.stop_us()
    }

    /// Whether what happens at this moment counts for the figures: after the warm-up.
    pub fn is_measured(&self, at_us: u64) -> bool {
        at_us >= self.begin_us().saturating_add(self.warmup_us) && at_us < self.stop_us()
    }

    /// How long the figures were measured.
    pub fn measured(&self) -> Duration {
        let from = self.begin_us().saturating_add(self.warmup_us);
        Duration::from_micros(self.stop_us().saturating_sub(from))
    }
}

/// Whole microseconds; half a million years are enough.
pub fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_after_the_warm_up_and_before_the_stop_is_measured() {
        let timeline = Timeline::new(Duration::from_secs(2));
        assert!(!timeline.is_sending(0) && !timeline.is_measured(u64::MAX - 1));
        timeline.begin(Duration::from_secs(10));
        let begin = timeline.begin_us();
        for (after_ms, sending, measured) in [
            (0, true, false),
            (1_999, true, false),
            (2_000, true, true),
            (11_999, true, true),
            (12_000, false, false),
        ] {
            let at = begin + after_ms * 1000;
            assert_eq!(timeline.is_sending(at), sending, "{after_ms}");
            assert_eq!(timeline.is_measured(at), measured, "{after_ms}");
        }
        assert_eq!(timeline.measured(), Duration::from_secs(10));
    }

    #[test]
    fn a_stop_during_the_warm_up_leaves_nothing_measured() {
        let timeline = Timeline::new(Duration::from_secs(2));
        timeline.begin(Duration::from_secs(10));
        timeline.stop();
        assert_eq!(timeline.measured(), Duration::ZERO);
        let stop = timeline.stop_us();
        timeline.stop();
        assert_eq!(timeline.stop_us(), stop);
    }
}
