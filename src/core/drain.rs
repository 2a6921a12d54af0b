//! When a drain sends which session away.

use std::time::Duration;

/// What a client that was told to move has for that, after its `after_ms`, before it is closed.
const GRACE: Duration = Duration::from_secs(5);
/// What the last of them have for reading their Close frame and answering it.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// The times of one drain, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Every session has a moment in here: to move, or to be closed if it cannot be told where to go.
    pub spread: Duration,
    /// Whoever was told to move and is still there is closed then.
    pub close_after: Duration,
}

impl Schedule {
    /// Of so many sessions, `rate` of them a second unless that takes longer than what is `left`.
    #[must_use]
    pub fn new(sessions: usize, rate: u32, left: Duration) -> Self {
        let sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
        let wanted = Duration::from_secs(1) * sessions / rate.max(1);
        let spread = wanted.min(left.saturating_sub(GRACE).max(left / 2));
        let last = left.saturating_sub(CLOSE_TIME.min(left / 2));
        Self {
            spread,
            close_after: (spread + GRACE).min(last),
        }
    }

    /// The moments of so many sessions, which are some or all of those of the drain, the earliest first. They
    /// are evenly spread, since those that are told to move draw theirs from the same time.
    pub fn moments(&self, sessions: usize) -> impl Iterator<Item = Duration> + use<> {
        let (spread, sessions) = (self.spread, u32::try_from(sessions).unwrap_or(u32::MAX));
        (0..sessions).map(move |number| spread * number / sessions)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn sessions_go_at_the_rate_and_those_that_stay_have_five_seconds_more() {
        let drain = Schedule::new(100, 50, secs(30));
        assert_eq!((drain.spread, drain.close_after), (secs(2), secs(7)));
        let moments: Vec<_> = drain.moments(4).collect();
        assert_eq!(moments, [0, 500, 1000, 1500].map(Duration::from_millis));
        // One, or none, holds up nothing.
        assert_eq!(
            Schedule::new(1, 50, secs(30)).moments(1).max(),
            Some(secs(0))
        );
        assert_eq!(Schedule::new(0, 50, secs(30)).moments(0).max(), None);
    }

    #[test]
    fn more_than_there_is_time_for_go_faster() {
        let drain = Schedule::new(30_000, 100, secs(29));
        assert_eq!((drain.spread, drain.close_after), (secs(24), secs(27)));
        // Where there is not even time for those that stay, half of it is for going.
        let drain = Schedule::new(30_000, 100, secs(2));
        assert_eq!((drain.spread, drain.close_after), (secs(1), secs(1)));
        let drain = Schedule::new(30_000, 100, secs(0));
        assert_eq!((drain.spread, drain.close_after), (secs(0), secs(0)));
    }

    proptest! {
        #[test]
        fn no_moment_has_a_herd_and_all_come_before_the_end(
            (sessions, untold) in (1_usize..20_000).prop_flat_map(|all| (Just(all), 1..=all)),
            rate in 1_u32..5_000,
            left_ms in 0_u64..100_000,
        ) {
            let left = Duration::from_millis(left_ms);
            let drain = Schedule::new(sessions, rate, left);
            prop_assert!(drain.spread <= drain.close_after && drain.close_after <= left);
            let moments: Vec<_> = drain.moments(untold).collect();
            prop_assert_eq!(moments.len(), untold);
            prop_assert!(moments.iter().all(|moment| *moment <= drain.spread));
            let pause = drain.spread / u32::try_from(untold).unwrap();
            prop_assert!(moments.windows(2).all(|next| next[0] + pause <= next[1]));
        }
    }
}
