//! What was accepted and what arrived: losses, repeats and order, by number and in bits.
//!
//! A sender keeps which of its messages were accepted, a receiver which arrived; when both are
//! done, they are compared. Nobody shares anything while messages run.

use std::collections::HashMap;

/// How many targets a sender writes to in turn, unless there are so few senders that each needs
/// more. A guess: enough to spread over the nodes, few enough to keep count of every pair.
const FAN_OUT: usize = 16;
/// Most violations of order that are kept for the comparison. Past it, all count.
const VIOLATIONS_MAX: usize = 10_000;

/// Who writes to whom: every sender to a fixed number of targets in turn, so that a message's number
/// says who gets it, and every target gets some. A target is one receiver or, if there are more of
/// those, a group of them.
#[derive(Debug, Clone, Copy)]
pub struct Pairing {
    senders: usize,
    targets: usize,
    receivers: usize,
    fan_out: usize,
}

impl Pairing {
    /// To single receivers. Both at least 1.
    pub fn new(senders: usize, receivers: usize) -> Self {
        Self::groups(senders, receivers, receivers)
    }

    /// To groups, among which the receivers are shared out. All at least 1.
    pub fn groups(senders: usize, groups: usize, receivers: usize) -> Self {
        Self {
            senders,
            targets: groups,
            receivers,
            fan_out: FAN_OUT.max(groups.div_ceil(senders)).min(groups),
        }
    }

    /// Which target gets this message.
    pub fn target(&self, sender: usize, number: u64) -> usize {
        let first = sender * self.targets / self.senders;
        (first + self.turn(number)) % self.targets
    }

    /// The target that a receiver is, or is in.
    pub fn target_of(&self, receiver: usize) -> usize {
        receiver % self.targets
    }

    /// The receivers of a target.
    fn receivers(&self, target: usize) -> impl ExactSizeIterator<Item = usize> + use<> {
        (target..self.receivers).step_by(self.targets)
    }

    /// How many receivers get this message.
    pub fn deliveries(&self, sender: usize, number: u64) -> u64 {
        self.receivers(self.target(sender, number)).len() as u64
    }

    /// Which message of its sender to its target it is, from 0.
    fn index(&self, number: u64) -> u64 {
        number / self.fan_out as u64
    }

    fn turn(&self, number: u64) -> usize {
        // Below `fan_out`, which is a usize.
        usize::try_from(number % self.fan_out as u64).unwrap_or(0)
    }
}

/// A growing set of small numbers.
#[derive(Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// Adds a number; whether it is new.
    pub fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = place(number);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    pub fn contains(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The numbers in it, in order.
    fn iter(&self) -> impl Iterator<Item = u64> {
        let words = (0_u64..).zip(&self.words);
        words.flat_map(|(index, word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| index * 64 + bit)
        })
    }
}

fn place(number: u64) -> (usize, u64) {
    let word = usize::try_from(number / 64).unwrap_or(usize::MAX);
    (word, 1 << (number % 64))
}

/// What came to one receiver.
#[derive(Debug)]
pub struct Arrivals {
    pairing: Pairing,
    senders: HashMap<usize, FromSender>,
    /// Counts the receiver's sessions.
    session: u32,
    /// Came twice to one session.
    pub repeated: u64,
    /// Came again to a later session.
    pub redelivered: u64,
    /// Sender and number of what came first after a later one.
    violations: Vec<(usize, u64)>,
    violations_more: u64,
}

#[derive(Debug, Default)]
struct FromSender {
    /// By [`Pairing::index`].
    arrived: Bits,
    /// The same for the session of this number, once there is a second one.
    session: (u32, Bits),
    /// One more than the highest index that arrived.
    next: u64,
}

impl Arrivals {
    pub fn new(pairing: Pairing) -> Self {
        Self {
            pairing,
            senders: HashMap::new(),
            session: 0,
            repeated: 0,
            redelivered: 0,
            violations: Vec::new(),
            violations_more: 0,
        }
    }

    /// A new session begins.
    pub fn begin_session(&mut self) {
        self.session += 1;
    }

    /// Takes down a message; whether it is here for the first time.
    pub fn note(&mut self, sender: usize, number: u64) -> bool {
        let from = self.senders.entry(sender).or_default();
        let index = self.pairing.index(number);
        let new = from.arrived.insert(index);
        // In the first session the one set says it all.
        let new_here = if self.session > 1 {
            if from.session.0 != self.session {
                from.session = (self.session, Bits::default());
            }
            from.session.1.insert(index)
        } else {
            new
        };
        if !new_here {
            self.repeated += 1;
        } else if !new {
            self.redelivered += 1;
        }
        if new && index < from.next {
            if self.violations.len() < VIOLATIONS_MAX {
                self.violations.push((sender, number));
            } else {
                self.violations_more += 1;
            }
        }
        from.next = from.next.max(index + 1);
        new
    }

    fn contains(&self, sender: usize, number: u64) -> bool {
        let from = self.senders.get(&sender);
        from.is_some_and(|from| from.arrived.contains(self.pairing.index(number)))
    }
}

/// What the comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Deliveries of what was accepted that never came.
    pub lost: u64,
    /// Delivered twice to one session.
    pub repeated: u64,
    /// Delivered again to a later session of the receiver, as at least once allows.
    pub redelivered: u64,
    /// Accepted, and delivered after a later one of the same sender to the same receiver.
    pub out_of_order: u64,
}

/// Compares what each sender had accepted with what came to each receiver.
pub fn compare(pairing: Pairing, accepted: &[Bits], arrivals: &[Arrivals]) -> Findings {
    let mut findings = Findings::default();
    for (sender, accepted) in accepted.iter().enumerate() {
        for number in accepted.iter() {
            let receivers = pairing.receivers(pairing.target(sender, number));
            let lost = receivers.filter(|receiver| !arrivals[*receiver].contains(sender, number));
            findings.lost += lost.count() as u64;
        }
    }
    for arrivals in arrivals {
        findings.repeated += arrivals.repeated;
        findings.redelivered += arrivals.redelivered;
        // One whose receipt said `failed` has no place in the order.
        let violations = arrivals.violations.iter().filter(|(sender, number)| {
            let accepted = accepted.get(*sender);
            accepted.is_some_and(|accepted| accepted.contains(*number))
        });
        findings.out_of_order += violations.count() as u64 + arrivals.violations_more;
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn bits(numbers: impl IntoIterator<Item = u64>) -> Bits {
        let mut bits = Bits::default();
        for number in numbers {
            bits.insert(number);
        }
        bits
    }

    proptest! {
        #[test]
        fn every_receiver_has_a_sender_and_every_message_an_index_of_its_own(
            senders in 1_usize..60, groups in 1_usize..60, more in 0_usize..60
        ) {
            let receivers = groups + more;
            let pairing = Pairing::groups(senders, groups, receivers);
            let mut receivers_seen = HashSet::new();
            for sender in 0..senders {
                let mut pairs = HashSet::new();
                for number in 0..200 {
                    let target = pairing.target(sender, number);
                    prop_assert!(target < groups);
                    prop_assert!(pairs.insert((target, pairing.index(number))));
                    let of_target: Vec<_> = pairing.receivers(target).collect();
                    let in_it = |receiver: &usize| pairing.target_of(*receiver) == target;
                    prop_assert!(of_target.iter().all(in_it));
                    prop_assert_eq!(of_target.len() as u64, pairing.deliveries(sender, number));
                    receivers_seen.extend(of_target);
                }
            }
            prop_assert_eq!(receivers_seen.len(), receivers);
        }

        #[test]
        fn bits_are_a_set(numbers in prop::collection::vec(0_u64..500, 0..50)) {
            let set: std::collections::BTreeSet<_> = numbers.iter().copied().collect();
            prop_assert!(bits(numbers).iter().eq(set));
        }
    }

    #[test]
    fn what_was_accepted_and_never_came_is_lost() {
        let pairing = Pairing::new(1, 2);
        let mut arrivals = [Arrivals::new(pairing), Arrivals::new(pairing)];
        for number in [0, 2] {
            assert!(arrivals[pairing.target(0, number)].note(0, number));
        }
        let findings = compare(pairing, &[bits([0, 1, 2, 3])], &arrivals);
        let expected = Findings {
            lost: 2,
            ..Findings::default()
        };
        assert_eq!(findings, expected);
    }

    #[test]
    fn what_goes_to_a_group_has_to_come_to_each_in_it() {
        let pairing = Pairing::groups(1, 2, 5);
        let mut arrivals: Vec<_> = (0..5).map(|_| Arrivals::new(pairing)).collect();
        // Number 0 is for 0, 2 and 4, number 1 for 1 and 3.
        for (receiver, number) in [(0, 0), (2, 0), (3, 1)] {
            arrivals[receiver].note(0, number);
        }
        let findings = compare(pairing, &[bits([0, 1])], &arrivals);
        assert_eq!(findings.lost, 2);
    }

    #[test]
    fn a_repeat_is_one_within_a_session_and_a_redelivery_in_a_later_one() {
        let pairing = Pairing::new(1, 1);
        let mut arrivals = Arrivals::new(pairing);
        arrivals.begin_session();
        assert!(arrivals.note(0, 0));
        assert!(!arrivals.note(0, 0));
        arrivals.begin_session();
        assert!(!arrivals.note(0, 0));
        assert_eq!((arrivals.repeated, arrivals.redelivered), (1, 1));
        assert!(!arrivals.note(0, 0));
        assert!(arrivals.note(0, 1));
        let findings = compare(pairing, &[bits([0, 1])], &[arrivals]);
        let expected = Findings {
            repeated: 2,
            redelivered: 1,
            ..Findings::default()
        };
        assert_eq!(findings, expected);
    }

    #[test]
    fn order_is_broken_by_what_was_accepted_and_came_late() {
        let pairing = Pairing::new(1, 1);
        let mut arrivals = Arrivals::new(pairing);
        arrivals.begin_session();
        for number in [0, 3, 1, 2, 3, 4] {
            arrivals.note(0, number);
        }
        // Number 2 was not accepted.
        let findings = compare(pairing, &[bits([0, 1, 3, 4])], &[arrivals]);
        let expected = Findings {
            repeated: 1,
            out_of_order: 1,
            ..Findings::default()
        };
        assert_eq!(findings, expected);
    }

    #[test]
    fn senders_are_independent_of_each_other() {
        let pairing = Pairing::new(2, 1);
        let mut arrivals = Arrivals::new(pairing);
        for (sender, number) in [(0, 5), (1, 0), (0, 6), (1, 1)] {
            assert!(arrivals.note(sender, number));
        }
        let accepted = [bits([5, 6]), bits([0, 1])];
        assert_eq!(
            compare(pairing, &accepted, &[arrivals]),
            Findings::default()
        );
    }
}
