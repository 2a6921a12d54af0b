//! What foca wants done, collected until somebody asks for it, and its timers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use foca::{Notification, Runtime, Timer};

use super::{Identity, Output};

#[derive(Debug, Default)]
pub(super) struct Effects {
    now: Duration,
    outputs: VecDeque<Output>,
    timers: BinaryHeap<Reverse<Entry>>,
    /// Tells timers of the same moment apart, first come, first served.
    next_entry: u64,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    number: u64,
    timer: Timer<Identity>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Foca wants timers of the same moment in an order of its own.
        (self.at, &self.timer, self.number).cmp(&(other.at, &other.timer, other.number))
    }
}

impl Effects {
    pub(super) fn set_now(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes back all that waits.
    pub(super) fn forget(&mut self) {
        self.outputs.clear();
    }

    /// How many outputs wait: a mark for [`Self::unsend`].
    pub(super) fn queued(&self) -> usize {
        self.outputs.len()
    }

    /// Takes back the packets to that address that were queued after the mark.
    pub(super) fn unsend(&mut self, mark: usize, address: &str) {
        let mut index = 0;
        self.outputs.retain(|output| {
            index += 1;
            let sent_there = matches!(output, Output::Send { to, .. } if **to == *address);
            index <= mark || !sent_there
        });
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.timers.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn due_timer(&mut self) -> Option<Timer<Identity>> {
        let due = self.timers.peek().is_some_and(|next| next.0.at <= self.now);
        due.then(|| self.timers.pop())?
            .map(|Reverse(entry)| entry.timer)
    }

    /// If the earliest timer is overdue by more than `late`, all are put off by that much.
    pub(super) fn put_off_late_timers(&mut self, late: Duration) {
        let Some(earliest) = self.next_deadline() else {
            return;
        };
        let missed = self.now.saturating_sub(earliest);
        if missed > late {
            let timers = std::mem::take(&mut self.timers);
            self.timers = timers
                .into_iter()
                .map(|Reverse(entry)| {
                    let at = entry.at + missed;
                    Reverse(Entry { at, ..entry })
                })
                .collect();
        }
    }
}

impl Runtime<Identity> for &mut Effects {
    fn notify(&mut self, _: Notification<'_, Identity>) {
        // Views are compared as a whole: nothing is gained by single events.
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.push(Output::Send {
            to: to.peer.clone(),
            packet: Bytes::copy_from_slice(data),
        });
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        let entry = Entry {
            at: self.now + after,
            number: self.next_entry,
            timer: event,
        };
        self.next_entry += 1;
        self.timers.push(Reverse(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::membership::identity::tests::node;

    const MS: Duration = Duration::from_millis(1);

    fn after(effects: &mut Effects, after: Duration, timer: Timer<Identity>) {
        let mut runtime = effects;
        Runtime::submit_after(&mut runtime, timer, after);
    }

    fn due(effects: &mut Effects, now: Duration) -> Vec<Timer<Identity>> {
        effects.set_now(now);
        std::iter::from_fn(|| effects.due_timer()).collect()
    }

    #[test]
    fn timers_come_when_they_are_due_and_the_earliest_first() {
        let mut effects = Effects::default();
        after(&mut effects, 30 * MS, Timer::PeriodicGossip(1));
        after(&mut effects, 10 * MS, Timer::PeriodicGossip(2));
        after(&mut effects, 20 * MS, Timer::PeriodicGossip(3));
        assert_eq!(effects.next_deadline(), Some(10 * MS));
        assert_eq!(due(&mut effects, 9 * MS), []);
        let both = [Timer::PeriodicGossip(2), Timer::PeriodicGossip(3)];
        assert_eq!(due(&mut effects, 29 * MS), both);
        assert_eq!(effects.next_deadline(), Some(30 * MS));
    }

    #[test]
    fn of_timers_for_the_same_moment_the_indirect_probe_comes_before_the_next_one() {
        let mut effects = Effects::default();
        let probed_id = node("n1", 1);
        let indirect = Timer::SendIndirectProbe {
            probed_id,
            token: 0,
        };
        after(&mut effects, MS, Timer::ProbeRandomMember(0));
        after(&mut effects, MS, indirect.clone());
        let both = [indirect, Timer::ProbeRandomMember(0)];
        assert_eq!(due(&mut effects, MS), both);
    }

    #[test]
    fn timers_that_come_very_late_are_all_put_off_by_what_was_missed() {
        let mut effects = Effects::default();
        after(&mut effects, 100 * MS, Timer::PeriodicGossip(1));
        after(&mut effects, 300 * MS, Timer::PeriodicGossip(2));
        effects.set_now(1100 * MS);
        effects.put_off_late_timers(400 * MS);
        assert_eq!(due(&mut effects, 1100 * MS), [Timer::PeriodicGossip(1)]);
        assert_eq!(effects.next_deadline(), Some(1300 * MS));
    }

    #[test]
    fn timers_that_come_a_little_late_are_left_alone() {
        let mut effects = Effects::default();
        after(&mut effects, 100 * MS, Timer::PeriodicGossip(1));
        after(&mut effects, 300 * MS, Timer::PeriodicGossip(2));
        effects.set_now(500 * MS);
        effects.put_off_late_timers(400 * MS);
        assert_eq!(due(&mut effects, 500 * MS).len(), 2);
    }

    #[test]
    fn the_time_never_runs_backwards() {
        let mut effects = Effects::default();
        effects.set_now(5 * MS);
        effects.set_now(3 * MS);
        after(&mut effects, MS, Timer::PeriodicGossip(1));
        assert_eq!(effects.next_deadline(), Some(6 * MS));
    }

    #[test]
    fn what_is_taken_back_is_what_came_after_the_mark_to_that_address() {
        let mut effects = Effects::default();
        let send = |effects: &mut Effects, to: &str, data: &[u8]| {
            let mut runtime = effects;
            Runtime::send_to(&mut runtime, node(to, 1), data);
        };
        send(&mut effects, "n1", b"before");
        let mark = effects.queued();
        send(&mut effects, "n1", b"after");
        send(&mut effects, "n2", b"to another");
        effects.unsend(mark, &node("n1", 1).peer);
        let left: Vec<Bytes> = std::iter::from_fn(|| match effects.poll()? {
            Output::Send { packet, .. } => Some(packet),
            _ => None,
        })
        .collect();
        assert_eq!(left, [&b"before"[..], &b"to another"[..]]);
    }
}
