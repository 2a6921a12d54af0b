use std::collections::HashMap;

use proptest::prelude::*;

use super::addresses::IDLE_MAX;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits(connections_max: usize, per_address_max: usize) -> AdmissionLimits {
    AdmissionLimits {
        connections_max,
        per_address_max,
        handshakes: Rate::new(10, 20),
        connects: Rate::new(1_000, 10_000),
        exempt: vec!["192.0.2.0/24".parse().unwrap()],
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn number(number: u32) -> IpAddr {
    IpAddr::V4((0x0a00_0000 + number).into())
}

#[test]
fn one_connection_too_many_of_the_node_gets_an_answer_and_then_none() {
    let mut node = Admission::new(limits(2, 100));
    let mut open = |n| node.open(number(n), SECOND);
    assert_eq!([open(1), open(2)], [Verdict::Admitted; 2]);
    for n in 0..u32::try_from(OVER_MAX).unwrap() {
        assert_eq!(open(n), Verdict::Over(Limit::Node));
    }
    assert_eq!(open(3), Verdict::Dropped(Limit::Node));
    node.close(number(3), Verdict::Dropped(Limit::Node), SECOND);
    assert_eq!(node.open(number(3), SECOND), Verdict::Dropped(Limit::Node));
    node.close(number(0), Verdict::Over(Limit::Node), SECOND);
    assert_eq!(node.open(number(3), SECOND), Verdict::Over(Limit::Node));
    node.close(number(1), Verdict::Admitted, SECOND);
    assert_eq!(node.open(number(3), SECOND), Verdict::Admitted);
    assert_eq!(node.connections(), 2);
}

#[test]
fn a_connection_that_finds_no_room_in_the_node_does_not_count_for_its_address() {
    let mut node = Admission::new(limits(1, 1));
    assert_eq!(node.open(number(1), SECOND), Verdict::Admitted);
    assert_eq!(node.open(number(2), SECOND), Verdict::Over(Limit::Node));
    node.close(number(2), Verdict::Over(Limit::Node), SECOND);
    node.close(number(1), Verdict::Admitted, SECOND);
    assert_eq!(node.open(number(2), SECOND), Verdict::Admitted);
}

#[test]
fn an_address_is_one_of_ipv4_or_a_64_of_ipv6_and_some_are_not_bounded() {
    let mut node = Admission::new(limits(100, 1));
    for (first, second, same) in [
        ("198.51.100.1", "198.51.100.1", true),
        ("198.51.100.2", "::ffff:198.51.100.2", true),
        ("198.51.100.3", "198.51.100.4", false),
        ("2001:db8::1", "2001:db8::ffff:1", true),
        ("2001:db8:1::1", "2001:db8:1:1::1", false),
        ("192.0.2.7", "192.0.2.7", false),
        ("::ffff:192.0.2.8", "192.0.2.8", false),
    ] {
        assert_eq!(node.open(address(first), SECOND), Verdict::Admitted);
        let expected = if same {
            Verdict::Over(Limit::Address)
        } else {
            Verdict::Admitted
        };
        assert_eq!(node.open(address(second), SECOND), expected, "{second}");
    }
    assert!((0..100).all(|_| node.handshake(address("192.0.2.7"), SECOND)));
}

#[test]
fn of_one_address_a_burst_of_handshakes_passes_and_of_others_as_well() {
    let mut node = Admission::new(limits(100, 100));
    let mut passed = |n, now| (0..50).filter(|_| node.handshake(number(n), now)).count();
    assert_eq!(passed(1, SECOND), 20);
    assert_eq!(passed(2, SECOND), 20);
    assert_eq!(passed(1, SECOND * 2), 10);
}

#[test]
fn connections_that_come_too_fast_are_dropped() {
    let mut limits = limits(100, 100);
    limits.connects = Rate::new(1, 3);
    let mut node = Admission::new(limits);
    for _ in 0..3 {
        let verdict = node.open(number(1), SECOND);
        assert_eq!(verdict, Verdict::Admitted);
        node.close(number(1), verdict, SECOND);
    }
    assert_eq!(node.open(number(1), SECOND), Verdict::Dropped(Limit::Rate));
    assert_eq!(node.open(number(2), SECOND), Verdict::Admitted);
    assert_eq!(node.open(number(1), SECOND * 2), Verdict::Admitted);
}

#[test]
fn an_address_with_nothing_to_remember_is_forgotten() {
    let mut node = Admission::new(limits(1000, 100));
    for n in 0..100 {
        node.handshake(number(n), SECOND);
    }
    assert_eq!(node.addresses.len(), 100);
    assert_eq!(node.open(number(0), SECOND), Verdict::Admitted);
    node.handshake(number(200), SECOND * 60);
    // The one with a connection, and the new one.
    assert_eq!(node.addresses.len(), 2);
    node.close(number(0), Verdict::Admitted, SECOND * 120);
    assert_eq!(node.addresses.len(), 0);
}

#[test]
fn more_addresses_than_can_be_remembered_push_the_oldest_out() {
    let mut node = Admission::new(limits(1000, 1));
    assert_eq!(node.open(number(0), SECOND), Verdict::Admitted);
    let mut spent = |n| while node.handshake(number(n), SECOND) {};
    spent(1);
    spent(2);
    // The second one is used again, and so the first is the oldest.
    spent(1);
    let most = u32::try_from(IDLE_MAX).unwrap();
    (3..=most + 1).for_each(&mut spent);
    assert!(!node.handshake(number(1), SECOND), "it is remembered");
    assert!(node.handshake(number(2), SECOND), "it is forgotten");
    assert_eq!(node.addresses.len(), IDLE_MAX + 1);
    let verdict = node.open(number(0), SECOND);
    assert_eq!(verdict, Verdict::Over(Limit::Address), "it is connected");
}

#[derive(Debug, Clone)]
enum Step {
    Open(u32),
    Close(usize),
    Handshake(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u32..6).prop_map(Step::Open),
        (0_usize..100).prop_map(Step::Close),
        (0_u32..6).prop_map(Step::Handshake),
        (0_u64..3_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn counts_are_those_of_the_connections_that_are_there(
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let mut node = Admission::new(limits(8, 3));
        let (mut now, mut open) = (SECOND, Vec::new());
        for step in steps {
            match step {
                Step::Open(n) => {
                    let mine = |(other, verdict): &&(u32, Verdict)| *other == n && *verdict == Verdict::Admitted;
                    let of_address = open.iter().filter(mine).count();
                    let all = open.iter().filter(|(_, verdict)| *verdict == Verdict::Admitted).count();
                    let expected = match (of_address, all) {
                        (3, _) => Verdict::Over(Limit::Address),
                        (_, 8) => Verdict::Over(Limit::Node),
                        _ => Verdict::Admitted,
                    };
                    prop_assert_eq!(node.open(number(n), now), expected);
                    open.push((n, expected));
                }
                Step::Close(at) if !open.is_empty() => {
                    let (n, verdict) = open.swap_remove(at % open.len());
                    node.close(number(n), verdict, now);
                }
                Step::Close(_) => {}
                Step::Handshake(n) => {
                    node.handshake(number(n), now);
                }
                Step::Wait(ms) => now += Duration::from_millis(ms),
            }
        }
        let mut per_address = HashMap::new();
        for (n, verdict) in &open {
            *per_address.entry(*n).or_insert(0) += usize::from(*verdict == Verdict::Admitted);
        }
        prop_assert_eq!(node.connections(), per_address.values().sum::<usize>());
        for (n, verdict) in open {
            node.close(number(n), verdict, now);
        }
        // A minute later nothing is left to remember.
        node.handshake(number(100), now + SECOND * 60);
        prop_assert_eq!((node.connections(), node.over, node.addresses.len()), (0, 0, 1));
    }
}
