//! A user who sends.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ledger::{Bits, Pairing};
use super::messages::{Incoming, Position};
use super::pace::{Pace, Schedule};
use super::role::Role;
use super::stats::Stats;
use super::template::Template;
use super::timeline::Timeline;

/// Most bytes that wait for the socket before the sender stops adding to them.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// How far the oldest unanswered message may be behind the newest. Past it the sender waits.
const SPAN_MAX: usize = 262_144;
/// How long a sender of the closed loop waits after a failure, so as not to spin. A guess.
const PAUSE_US: u64 = 10_000;

/// What all senders have in common.
#[derive(Debug, Clone)]
pub struct SenderPlan {
    pub run: u64,
    pub qos: u8,
    pub pairing: Pairing,
    pub timeline: Arc<Timeline>,
}

/// Sends, waits for receipts, and repeats after a reconnect what has none.
#[derive(Debug)]
pub struct Sender {
    plan: SenderPlan,
    user: String,
    index: usize,
    pace: Pace,
    template: Template,
    /// What was sent, from the oldest without a receipt on.
    sends: VecDeque<Send>,
    /// The number of the first of these.
    first: u64,
    /// How many of these have been written to this connection.
    written: usize,
    /// How many of these have no receipt.
    unanswered: usize,
    accepted: Bits,
    paused_until_us: u64,
}

#[derive(Debug)]
struct Send {
    /// When it was sent, or was to be sent.
    time_us: u64,
    answered: bool,
}

/// What remains of a sender.
#[derive(Debug)]
pub struct Sent {
    pub accepted: Bits,
    /// Never had a receipt.
    pub unanswered: u64,
    /// Scheduled and never sent.
    pub missed: u64,
}

impl Sender {
    pub fn new(
        plan: SenderPlan,
        user: String,
        index: usize,
        pace: Pace,
        template: Template,
    ) -> Self {
        Self {
            plan,
            user,
            index,
            pace,
            template,
            sends: VecDeque::new(),
            first: 0,
            written: 0,
            unanswered: 0,
            accepted: Bits::default(),
            paused_until_us: 0,
        }
    }

    /// The end of the load test.
    pub fn into_sent(self) -> Sent {
        let timeline = &self.plan.timeline;
        let length_us = timeline.stop_us().saturating_sub(timeline.begin_us());
        let scheduled = match self.pace {
            Pace::Window(_) => 0,
            Pace::Schedule(schedule) => Schedule::before(&schedule, length_us),
        };
        Sent {
            missed: scheduled.saturating_sub(self.next_number()),
            unanswered: self.unanswered as u64,
            accepted: self.accepted,
        }
    }

    fn next_number(&self) -> u64 {
        self.first + self.sends.len() as u64
    }

    /// When the next message is, or was, to be sent, if it may be sent now.
    fn due_us(&self, now_us: u64) -> Option<u64> {
        let timeline = &self.plan.timeline;
        if !timeline.is_sending(now_us)
            || now_us < self.paused_until_us
            || self.sends.len() >= SPAN_MAX
        {
            return None;
        }
        let begin = timeline.begin_us();
        let due = self
            .pace
            .due(self.next_number(), self.unanswered, now_us - begin)?;
        Some(begin + due)
    }

    fn append(&self, output: &mut Vec<u8>, number: u64, time_us: u64) {
        let target = self.plan.pairing.target(self.index, number);
        let mask = rand::random();
        self.template.append(output, mask, number, target, time_us);
    }

    /// Takes down that a send has its receipt; when it was sent, if it had none before.
    fn answer(&mut self, number: u64) -> Option<u64> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let send = self.sends.get_mut(place).filter(|send| !send.answered)?;
        send.answered = true;
        let time_us = send.time_us;
        self.unanswered -= 1;
        while self.sends.front().is_some_and(|send| send.answered) {
            self.sends.pop_front();
            self.first += 1;
            self.written = self.written.saturating_sub(1);
        }
        Some(time_us)
    }
}

impl Role for Sender {
    fn user(&self) -> &str {
        &self.user
    }

    fn opened(&mut self, _: Option<Position>) {
        self.written = 0;
    }

    fn closed(&mut self, stats: &mut Stats) {
        if self.plan.qos > 0 {
            return;
        }
        // A message of qos 0 is not repeated.
        for (number, send) in (self.first..).zip(&self.sends) {
            if !send.answered {
                stats.fail("connection_ended");
                stats.expected += self.plan.pairing.deliveries(self.index, number);
            }
        }
        self.first = self.next_number();
        self.sends.clear();
        self.unanswered = 0;
    }

    fn handle(&mut self, incoming: &Incoming<'_>, now_us: u64, stats: &mut Stats, _: &mut Vec<u8>) {
        let Incoming::Receipt { name, outcome } = incoming else {
            return;
        };
        if name.run != self.plan.run || name.sender != self.index {
            return;
        }
        let Some(time_us) = self.answer(name.number) else {
            return;
        };
        let SenderPlan {
            timeline, pairing, ..
        } = &self.plan;
        if matches!(outcome, Ok(()) | Err("unknown")) {
            stats.expected += pairing.deliveries(self.index, name.number);
        }
        match outcome {
            Ok(()) => {
                self.accepted.insert(name.number);
                stats.accepted.add(timeline.is_measured(now_us));
                if timeline.is_measured(time_us) {
                    stats.receipt.record(now_us.saturating_sub(time_us));
                }
            }
            Err(code) => {
                stats.fail(code);
                if let Pace::Window(_) = self.pace {
                    self.paused_until_us = now_us + PAUSE_US;
                }
            }
        }
    }

    fn fill(&mut self, now_us: u64, stats: &mut Stats, output: &mut Vec<u8>) -> bool {
        while output.len() < OUTPUT_BYTES_MAX {
            // First what has been sent on an earlier connection, in its order.
            if let Some(send) = self.sends.get(self.written) {
                if !send.answered {
                    self.append(output, self.first + self.written as u64, send.time_us);
                }
                self.written += 1;
                continue;
            }
            let Some(time_us) = self.due_us(now_us) else {
                return false;
            };
            self.append(output, self.next_number(), time_us);
            self.sends.push_back(Send {
                time_us,
                answered: false,
            });
            self.unanswered += 1;
            self.written += 1;
            let measured = self.plan.timeline.is_measured(now_us);
            stats.sent.add(measured);
            if measured {
                stats.lag.record(now_us - time_us);
            }
        }
        true
    }

    fn wake_at_us(&self, now_us: u64) -> Option<u64> {
        // The schedule's moments come from the pacer, which is finer than the runtime's timers.
        (self.paused_until_us > now_us).then_some(self.paused_until_us)
    }

    fn is_settled(&self) -> bool {
        self.unanswered == 0
    }

    fn position(&self) -> Option<&Position> {
        None
    }

    fn finish(&mut self, _: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::bench::frames;
    use crate::cli::bench::messages::Name;
    use crate::cli::bench::template::Targets;

    fn sender(pace: Pace, qos: u8) -> Sender {
        let timeline = Timeline::new(Duration::ZERO);
        timeline.begin(Duration::from_secs(3600));
        let plan = SenderPlan {
            run: 1,
            qos,
            pairing: Pairing::new(1, 1),
            timeline: Arc::new(timeline),
        };
        let template = Template::new(1, 0, Targets::Users("r"), qos, 48);
        Sender::new(plan, "s0".to_owned(), 0, pace, template)
    }

    /// The numbers of what a sender writes now.
    fn written(sender: &mut Sender, stats: &mut Stats) -> Vec<u64> {
        let mut output = Vec::new();
        sender.fill(sender.plan.timeline.now_us(), stats, &mut output);
        let mut numbers = Vec::new();
        let mut rest = &mut output[..];
        while !rest.is_empty() {
            // All of them have two bytes of length; without its mask a frame is one of a server.
            let bytes = 8 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            let (frame, more) = rest.split_at_mut(bytes);
            let mask = [frame[4], frame[5], frame[6], frame[7]];
            fastwebsockets::unmask(&mut frame[8..], mask);
            let send: serde_json::Value = serde_json::from_slice(&frame[8..]).unwrap();
            numbers.push(send["body"]["n"].as_u64().unwrap());
            rest = more;
        }
        numbers
    }

    fn receipt(sender: &mut Sender, stats: &mut Stats, number: u64, outcome: Result<(), &str>) {
        let (run, sender_index) = (1, 0);
        let name = Name {
            run,
            sender: sender_index,
            number,
        };
        let now = sender.plan.timeline.now_us();
        let receipt = Incoming::Receipt { name, outcome };
        sender.handle(&receipt, now, stats, &mut Vec::new());
    }

    #[test]
    fn a_window_moves_on_with_every_receipt() {
        let (mut sender, mut stats) = (sender(Pace::Window(3), 1), Stats::default());
        sender.opened(None);
        assert_eq!(written(&mut sender, &mut stats), [0, 1, 2]);
        assert!(written(&mut sender, &mut stats).is_empty());
        receipt(&mut sender, &mut stats, 1, Ok(()));
        receipt(&mut sender, &mut stats, 1, Ok(()));
        assert_eq!(written(&mut sender, &mut stats), [3]);
        assert_eq!((stats.sent.total, stats.accepted.total), (4, 1));
        let sent = sender.into_sent();
        assert!(sent.accepted.contains(1) && !sent.accepted.contains(0));
        assert_eq!((sent.unanswered, sent.missed), (3, 0));
    }

    #[test]
    fn what_has_no_receipt_is_repeated_in_order_before_anything_new() {
        let (mut sender, mut stats) = (sender(Pace::Window(4), 1), Stats::default());
        sender.opened(None);
        assert_eq!(written(&mut sender, &mut stats), [0, 1, 2, 3]);
        receipt(&mut sender, &mut stats, 0, Ok(()));
        receipt(&mut sender, &mut stats, 2, Ok(()));
        sender.closed(&mut stats);
        sender.opened(None);
        assert_eq!(written(&mut sender, &mut stats), [1, 3, 4, 5]);
        assert_eq!((stats.sent.total, stats.failed()), (6, 0));
    }

    #[test]
    fn with_qos_0_what_has_no_receipt_has_failed_when_the_connection_ends() {
        let (mut sender, mut stats) = (sender(Pace::Window(2), 0), Stats::default());
        sender.opened(None);
        assert_eq!(written(&mut sender, &mut stats), [0, 1]);
        receipt(&mut sender, &mut stats, 0, Ok(()));
        sender.closed(&mut stats);
        assert!(sender.is_settled());
        sender.opened(None);
        assert_eq!(written(&mut sender, &mut stats), [2, 3]);
        assert_eq!(stats.failures.get("connection_ended"), Some(&1));
        receipt(&mut sender, &mut stats, 1, Ok(()));
        assert_eq!(stats.accepted.total, 1);
    }

    #[test]
    fn a_failure_is_counted_by_its_code_and_makes_a_pause() {
        let (mut sender, mut stats) = (sender(Pace::Window(1), 1), Stats::default());
        sender.opened(None);
        assert_eq!(written(&mut sender, &mut stats), [0]);
        receipt(&mut sender, &mut stats, 0, Err("inbox_full"));
        assert_eq!(stats.failures.get("inbox_full"), Some(&1));
        let until = sender.paused_until_us;
        assert!(sender.due_us(until - 1).is_none() && sender.due_us(until).is_some());
        assert_eq!(sender.wake_at_us(until - 1), Some(until));
        assert_eq!(sender.wake_at_us(until), None);
    }

    #[test]
    fn a_sender_stops_at_a_full_output_and_goes_on_when_it_is_written() {
        let (mut sender, mut stats) = (sender(Pace::Window(5000), 1), Stats::default());
        sender.opened(None);
        let mut output = Vec::new();
        let now = sender.plan.timeline.now_us();
        assert!(sender.fill(now, &mut stats, &mut output));
        assert!((OUTPUT_BYTES_MAX..OUTPUT_BYTES_MAX + 500).contains(&output.len()));
        output.clear();
        while sender.fill(now, &mut stats, &mut output) {
            output.clear();
        }
        assert_eq!(stats.sent.total, 5000);
    }

    #[test]
    fn the_open_loop_sends_what_is_due_and_says_what_it_did_not_send() {
        let schedule = Schedule {
            rate: 1000,
            senders: 1,
            sender: 0,
        };
        let (mut sender, mut stats) = (sender(Pace::Schedule(schedule), 1), Stats::default());
        sender.opened(None);
        let mut output = Vec::new();
        let begin = sender.plan.timeline.begin_us();
        sender.fill(begin + 1_500, &mut stats, &mut output);
        assert_eq!(stats.sent.total, 2);
        let lag = stats.lag.percentiles();
        assert_eq!((lag.count, lag.max), (2, 1_500));
        assert_eq!(sender.into_sent().missed, 3_600_000 - 2);
        assert!(frames::first(&output).is_err(), "it is masked");
    }
}
