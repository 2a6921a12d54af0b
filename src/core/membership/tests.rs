//! What one membership makes of what it is told.

use super::identity::tests::node;
use super::*;
use crate::core::view::MemberState;
use crate::wire::GossipCodec;

const NOW: Duration = Duration::from_secs(1);

fn membership(id: &str, generation: u64) -> Membership<GossipCodec> {
    let config = GossipConfig::default();
    Membership::new(node(id, generation), "test", 1, config, GossipCodec, 1)
}

/// It asks, and takes in the answer.
fn exchange(asking: &mut Membership<GossipCodec>, asked: &mut Membership<GossipCodec>) {
    let exchange = Exchange {
        from: asking.own_record(),
        digest: asking.digest(),
        members: Vec::new(),
    };
    let answer = asked.exchange_asked(NOW, exchange);
    let target = Target::Peer(Arc::clone(&asked.identity().peer));
    asking.handle(NOW, Input::ExchangeAnswered { target, answer });
}

/// It hears this of others.
fn hear(membership: &mut Membership<GossipCodec>, from: &str, members: Vec<Record>) {
    let answer = ExchangeReply {
        from: Record::alive(node(from, 1)),
        digest: 0,
        members,
    };
    let target = Target::Seed(0);
    membership.handle(NOW, Input::ExchangeAnswered { target, answer });
}

fn state(membership: &Membership<GossipCodec>, id: &str) -> Option<MemberState> {
    let id = NodeId::new(id).unwrap();
    membership.view().member(&id).map(|member| member.state)
}

fn replaced_by(membership: &mut Membership<GossipCodec>) -> Option<Generation> {
    std::iter::from_fn(|| membership.poll_output()).find_map(|output| match output {
        Output::Replaced { by } => Some(by),
        _ => None,
    })
}

#[test]
fn only_a_newcomer_is_told_of_dead_nodes_that_it_never_met() {
    let mut newcomer = membership("n1", 1);
    hear(&mut newcomer, "n2", vec![Record::down(node("n3", 1))]);
    assert_eq!(state(&newcomer, "n3"), Some(MemberState::Down));
    hear(&mut newcomer, "n2", vec![Record::down(node("n4", 1))]);
    assert_eq!(state(&newcomer, "n4"), None, "it may have been forgotten");
}

#[test]
fn the_death_of_a_member_is_news_to_everybody() {
    let mut membership = membership("n1", 1);
    hear(&mut membership, "n2", vec![Record::alive(node("n3", 1))]);
    hear(&mut membership, "n2", vec![Record::down(node("n3", 1))]);
    assert_eq!(state(&membership, "n3"), Some(MemberState::Down));
}

#[test]
fn the_dead_do_not_count_in_the_fingerprint() {
    let (mut one, mut other) = (membership("n1", 1), membership("n2", 1));
    hear(&mut one, "n3", vec![Record::down(node("n4", 1))]);
    exchange(&mut one, &mut other);
    exchange(&mut other, &mut one);
    assert_eq!(one.digest(), other.digest());
}

#[test]
fn a_node_that_is_said_to_be_down_comes_back_under_its_generation() {
    let mut membership = membership("n1", 7);
    hear(&mut membership, "n2", Vec::new());
    hear(&mut membership, "n2", vec![Record::down(node("n1", 7))]);
    let identity = membership.identity();
    assert_eq!((identity.generation, identity.revision), (Generation(7), 1));
}

#[test]
fn a_node_that_has_left_does_not_say_that_it_is_alive() {
    let (mut leaving, mut other) = (membership("n1", 1), membership("n2", 1));
    leaving.handle(NOW, Input::Leave);
    exchange(&mut other, &mut leaving);
    assert_ne!(state(&other, "n1"), Some(MemberState::Alive));
    assert_eq!(leaving.next_deadline(), None);
}

#[test]
fn a_suspicion_that_was_denied_cannot_be_raised_again_by_an_exchange() {
    let (mut suspect, mut other) = (membership("n1", 1), membership("n2", 1));
    exchange(&mut suspect, &mut other);
    hear(
        &mut suspect,
        "n2",
        vec![Record::new(node("n1", 1), 0, State::Suspect)],
    );
    let mut newcomer = membership("n3", 1);
    exchange(&mut newcomer, &mut suspect);
    hear(
        &mut newcomer,
        "n2",
        vec![Record::new(node("n1", 1), 0, State::Suspect)],
    );
    assert_eq!(state(&newcomer, "n1"), Some(MemberState::Alive));
}

#[test]
fn a_former_start_under_a_later_clock_is_overtaken() {
    let same_address = Record::alive(node("n1", 9));
    let elsewhere = node("n1", 9).revised(|parts| parts.peer = "other:7101".into());
    for (accepted, former) in [
        (true, same_address),
        (true, Record::down(elsewhere.clone())),
        (false, Record::alive(elsewhere)),
    ] {
        let mut membership = membership("n1", 5);
        if accepted {
            hear(&mut membership, "n2", Vec::new());
        }
        hear(&mut membership, "n2", vec![former]);
        assert_eq!(membership.identity().generation, Generation(10));
        assert_eq!(replaced_by(&mut membership), None);
    }
}

#[test]
fn another_process_that_was_started_later_ends_this_one_without_another_word() {
    let mut membership = membership("n1", 5);
    hear(&mut membership, "n2", Vec::new());
    let rival = node("n1", 9).revised(|parts| parts.peer = "other:7101".into());
    hear(&mut membership, "n2", vec![Record::alive(rival)]);
    assert_eq!(replaced_by(&mut membership), Some(Generation(9)));
    let mut rest = std::iter::from_fn(|| membership.poll_output());
    assert!(rest.all(|output| matches!(output, Output::ViewChanged(_))));
    assert_eq!(membership.next_deadline(), None);
}

#[test]
fn behind_the_last_generation_there_is_none_to_come_back_under() {
    let mut membership = membership("n1", 5);
    hear(&mut membership, "n2", Vec::new());
    let last = Generation::END - 1;
    hear(
        &mut membership,
        "n2",
        vec![Record::alive(node("n1", last - 1))],
    );
    assert_eq!(membership.identity().generation, Generation(last));
    hear(&mut membership, "n2", vec![Record::alive(node("n1", last))]);
    assert_eq!(replaced_by(&mut membership), None, "it is that one itself");

    let mut membership = self::membership("n1", 5);
    hear(&mut membership, "n2", vec![Record::alive(node("n1", last))]);
    assert_eq!(replaced_by(&mut membership), Some(Generation(last)));
    let answer = membership.exchange_asked(
        NOW,
        Exchange {
            from: Record::alive(node("n2", 1)),
            digest: 0,
            members: Vec::new(),
        },
    );
    let wire = crate::wire::proto::ExchangeReply::from(answer);
    assert!(
        ExchangeReply::try_from(wire).is_ok(),
        "others understand it"
    );
}

#[test]
fn a_packet_from_ones_own_name_is_enough_to_know_of_a_twin() {
    let mut membership = membership("n1", 5);
    hear(&mut membership, "n2", Vec::new());
    let rival = node("n1", 9).revised(|parts| parts.peer = "other:7101".into());
    let header = foca::Header {
        src: rival,
        src_incarnation: 0,
        dst: membership.identity().clone(),
        message: foca::Message::Announce,
    };
    let mut packet = Vec::new();
    foca::Codec::encode_header(&mut GossipCodec, &header, &mut packet).unwrap();
    membership.handle(NOW, Input::Packet(packet.into()));
    assert_eq!(replaced_by(&mut membership), Some(Generation(9)));
}

#[test]
fn an_earlier_process_under_ones_name_changes_nothing() {
    let mut membership = membership("n1", 5);
    hear(&mut membership, "n2", Vec::new());
    let earlier = node("n1", 3).revised(|parts| parts.peer = "other:7101".into());
    hear(&mut membership, "n2", vec![Record::alive(earlier)]);
    assert_eq!(replaced_by(&mut membership), None);
    assert_eq!(*membership.identity(), node("n1", 5));
}

/// A packet of one node to another that tells of these.
fn packet(from: Identity, to: &Membership<GossipCodec>, members: &[Record]) -> Bytes {
    let header = foca::Header {
        src: from,
        src_incarnation: 0,
        dst: to.identity().clone(),
        message: foca::Message::Gossip,
    };
    let mut packet = Vec::new();
    foca::Codec::encode_header(&mut GossipCodec, &header, &mut packet).unwrap();
    if !members.is_empty() {
        let count = u16::try_from(members.len()).unwrap();
        packet.extend_from_slice(&count.to_be_bytes());
    }
    for member in members {
        foca::Codec::encode_member(&mut GossipCodec, member, &mut packet).unwrap();
    }
    packet.into()
}

#[test]
fn of_what_is_told_only_that_is_taken_in_that_can_be() {
    let elsewhere = |id: &str| node(id, 1).revised(|parts| parts.peer = "192.168.0.1:1".into());
    let networks = || vec!["10.0.0.0/8".parse().unwrap()];
    let told = vec![
        Record::alive(elsewhere("n3")),
        Record::alive(node("n4", 1)),
        Record::alive(node("n5", u64::MAX >> 11)),
    ];
    let mut by_exchange = membership("n1", 1).with_networks(networks());
    by_exchange.set_wall_clock(1_732_350_000_123);
    hear(&mut by_exchange, "n2", told.clone());
    let mut by_packet = membership("n1", 1).with_networks(networks());
    by_packet.set_wall_clock(1_732_350_000_123);
    let gossip = packet(node("n2", 1), &by_packet, &told);
    by_packet.handle(NOW, Input::Packet(gossip));
    for membership in [&mut by_exchange, &mut by_packet] {
        assert_eq!(state(membership, "n2"), Some(MemberState::Alive));
        assert_eq!(state(membership, "n4"), Some(MemberState::Alive));
        assert_eq!(
            state(membership, "n3"),
            None,
            "its address is not of the cluster"
        );
        assert_eq!(state(membership, "n5"), None, "its start is yet to come");
        let (count, last) = membership.take_doubted().unwrap();
        assert_eq!(
            (count, last.node.as_str(), last.why),
            (2, "n5", Doubt::Ahead)
        );
        assert_eq!(membership.take_doubted(), None);
    }
}

#[test]
fn nobody_is_heard_who_cannot_be_himself() {
    let stranger = node("n2", 1).revised(|parts| parts.url = "http://n2".into());
    let mut membership = membership("n1", 1);
    let members = [Record::alive(node("n3", 1))];
    let gossip = packet(stranger.clone(), &membership, &members);
    membership.handle(NOW, Input::Packet(gossip));
    let exchange = Exchange {
        from: Record::alive(stranger.clone()),
        digest: 0,
        members: members.to_vec(),
    };
    membership.exchange_asked(NOW, exchange);
    let answer = ExchangeReply {
        from: Record::alive(stranger),
        digest: 0,
        members: members.to_vec(),
    };
    let target = Target::Seed(0);
    membership.handle(NOW, Input::ExchangeAnswered { target, answer });
    assert_eq!(membership.view().members.len(), 1);
    assert!(!membership.view().accepted);
    assert_eq!(membership.take_doubted().map(|(count, _)| count), Some(3));
}

#[test]
fn a_start_of_ones_own_that_cannot_have_been_is_no_rival() {
    let mut membership = membership("n1", 5);
    membership.set_wall_clock(1_732_350_000_123);
    hear(&mut membership, "n2", Vec::new());
    let absurd = Record::alive(node("n1", (1 << 53) - 1));
    hear(&mut membership, "n2", vec![absurd]);
    assert_eq!(*membership.identity(), node("n1", 5));
    assert_eq!(replaced_by(&mut membership), None);
}

#[test]
fn where_nodes_prove_who_they_are_a_twin_has_to_speak_for_itself() {
    let mut membership = membership("n1", 5).with_proof(true);
    hear(&mut membership, "n2", Vec::new());
    let twin = node("n1", 9).revised(|parts| parts.peer = "other:7101".into());
    let rumour = || vec![Record::alive(twin.clone())];
    hear(&mut membership, "n2", rumour());
    hear(&mut membership, "n2", rumour());
    let outputs: Vec<Output> = std::iter::from_fn(|| membership.poll_output()).collect();
    let asked = outputs.iter().filter(|output| {
        let target = Target::Peer(Arc::clone(&twin.peer));
        matches!(output, Output::Exchange { target: asked, .. } if *asked == target)
    });
    assert_eq!(asked.count(), 1, "it is asked, once: {outputs:?}");
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Replaced { .. }))
    );
    let answer = ExchangeReply {
        from: Record::alive(twin.clone()),
        digest: 0,
        members: Vec::new(),
    };
    let target = Target::Peer(Arc::clone(&twin.peer));
    membership.handle(NOW, Input::ExchangeAnswered { target, answer });
    assert_eq!(replaced_by(&mut membership), Some(Generation(9)));
}
