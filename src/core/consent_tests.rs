use super::*;
use crate::core::ring::Seed;
use crate::core::view::Member;

const SEED: Seed = Seed(7);

fn holder(name: &str) -> Holder {
    Holder {
        node: NodeId::new(name).unwrap(),
        generation: Generation(1),
    }
}

fn view(names: &[&str], revision: u32) -> View {
    let members = names.iter().map(|name| Member {
        id: NodeId::new(name).unwrap(),
        generation: Generation(1),
        revision: if *name == "n1" { revision } else { 0 },
        peer: "127.0.0.1:1".into(),
        url: "ws://127.0.0.1:2".into(),
        weight: 1,
        draining: false,
        state: MemberState::Alive,
    });
    let mut view = View::new(NodeId::new("n1").unwrap(), SEED, members.collect(), None);
    view.accepted = names.len() > 1;
    view
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A key of n1's with these members, and of another's with those.
fn key_of_n1(with: &[&str], and_not_with: &[&str]) -> KeyHash {
    let (mine, others) = (view(with, 0), view(and_not_with, 0));
    let owner = |view: &View, name: &str| view.owner(name).is_some_and(|m| m.id == view.me);
    let name = (0..10_000)
        .map(|n| format!("u{n}"))
        .find(|name| owner(&mine, name) && !owner(&others, name))
        .expect("there are many keys");
    mine.ring.hash(name.as_bytes())
}

/// The questions that are due, answered as if the members had that ring.
fn answer(consents: &mut Consents, now: Duration, here: &View, there: &[&str]) {
    let nodes = there.iter().map(|name| RingNode {
        id: NodeId::new(name).unwrap(),
        weight: 1,
    });
    let nodes: Vec<_> = nodes.collect();
    let members: Vec<_> = there.iter().map(|name| holder(name)).collect();
    for question in consents.questions(now) {
        consents.answered(now, &question, (Some(nodes.clone()), &members), here);
    }
}

#[test]
fn a_node_serves_nothing_before_it_knows_its_cluster() {
    let alone = view(&["n1"], 0);
    let mut consents = Consents::new(&alone);
    let key = alone.ring.hash(b"u");
    assert!(!consents.given(key));
    consents.join();
    assert!(consents.given(key) && consents.is_settled());
}

#[test]
fn a_node_that_has_only_heard_of_another_has_not_joined() {
    let alone = view(&["n1"], 0);
    let mut consents = Consents::new(&alone);
    let mut heard = view(&["n1", "n2"], 0);
    heard.accepted = false;
    consents.on_view(at(0), &heard);
    consents.on_view(at(1), &alone);
    assert!(!consents.has_joined() && !consents.given(alone.ring.hash(b"u")));
    consents.on_view(at(2), &view(&["n1", "n2"], 0));
    assert!(consents.has_joined());
}

#[test]
fn a_member_that_has_not_answered_withholds_its_consent() {
    let both = view(&["n1", "n2"], 0);
    let mut consents = Consents::new(&view(&["n1"], 0));
    consents.on_view(at(0), &both);
    let key = key_of_n1(&["n1", "n2"], &["n2"]);
    assert!(consents.has_joined() && !consents.given(key));
    let asked = consents.questions(at(0));
    assert_eq!(asked[0].member, holder("n2"));
    assert!(consents.questions(at(0)).is_empty(), "it is under way");
    consents.failed(at(0), &holder("n2"));
    assert!(consents.questions(at(99)).is_empty());
    answer(&mut consents, at(100), &both, &["n1", "n2"]);
    assert!(consents.given(key) && consents.is_settled());
}

#[test]
fn a_word_counts_only_for_the_keys_that_its_ring_gives() {
    let (two, three) = (["n1", "n2"], ["n1", "n2", "n3"]);
    let here = view(&two, 0);
    let mut consents = Consents::new(&view(&["n1"], 0));
    consents.on_view(at(0), &here);
    let questions = consents.questions(at(0));
    // It still thinks that n3 is there, whom this node knows, and takes for dead.
    let nodes = three.map(|name| RingNode {
        id: NodeId::new(name).unwrap(),
        weight: 1,
    });
    let members = [holder("n1"), holder("n2")];
    consents.answered(
        at(0),
        &questions[0],
        (Some(nodes.to_vec()), &members),
        &here,
    );
    let n3s = key_of_n1(&two, &three);
    assert!(!consents.given(n3s) && !consents.is_settled());
    let both = (0..1000).map(|n| here.ring.hash(format!("u{n}").as_bytes()));
    let given = both.filter(|key| consents.given(*key)).count();
    assert!((200..500).contains(&given), "{given}");
    answer(&mut consents, at(100), &here, &two);
    assert!(consents.given(n3s));
}

#[test]
fn a_word_of_one_who_knows_more_members_does_not_count_yet() {
    let here = view(&["n1", "n2"], 0);
    let mut consents = Consents::new(&view(&["n1"], 0));
    consents.on_view(at(0), &here);
    answer(&mut consents, at(0), &here, &["n1", "n2", "n3"]);
    let key = key_of_n1(&["n1", "n2", "n3"], &["n2"]);
    assert!(!consents.given(key), "n3 was not asked what it holds");
}

#[test]
fn a_key_that_was_away_needs_a_new_word() {
    let (two, three) = (view(&["n1", "n2"], 0), view(&["n1", "n2", "n3"], 0));
    let mut consents = Consents::new(&view(&["n1"], 0));
    consents.on_view(at(0), &two);
    answer(&mut consents, at(0), &two, &["n1", "n2"]);
    let stays = key_of_n1(&["n1", "n2", "n3"], &["n2"]);
    let away = key_of_n1(&["n1", "n2"], &["n1", "n2", "n3"]);
    consents.on_view(at(1), &three);
    consents.on_view(at(2), &two);
    assert!(consents.given(stays));
    assert!(!consents.given(away), "n3 may have had it written");
    answer(&mut consents, at(3), &two, &["n1", "n2"]);
    assert!(consents.given(away));
}

#[test]
fn who_was_taken_for_dead_asks_for_everything_again() {
    let mut consents = Consents::new(&view(&["n1"], 0));
    let both = view(&["n1", "n2"], 0);
    consents.on_view(at(0), &both);
    answer(&mut consents, at(0), &both, &["n1", "n2"]);
    let key = key_of_n1(&["n1", "n2"], &["n2"]);
    assert!(consents.given(key));
    let risen = view(&["n1", "n2"], 1);
    consents.on_view(at(1), &risen);
    assert!(!consents.given(key));
}

#[test]
fn an_answer_from_before_the_node_was_taken_for_dead_counts_no_more() {
    let mut consents = Consents::new(&view(&["n1"], 0));
    let both = view(&["n1", "n2"], 0);
    consents.on_view(at(0), &both);
    let asked = consents.questions(at(0));
    let risen = view(&["n1", "n2"], 1);
    consents.on_view(at(1), &risen);
    let members = [holder("n1"), holder("n2")];
    for question in &asked {
        consents.answered(at(2), question, (None, &members), &risen);
    }
    let key = key_of_n1(&["n1", "n2"], &["n2"]);
    assert_eq!((asked.len(), consents.given(key)), (1, false));
    answer(&mut consents, at(200), &risen, &["n1", "n2"]);
    assert!(consents.given(key));
}

#[test]
fn a_member_that_never_agrees_is_passed_over_after_a_while() {
    let both = view(&["n1", "n2"], 0);
    let mut consents = Consents::new(&view(&["n1"], 0));
    consents.on_view(at(0), &both);
    let key = key_of_n1(&["n1", "n2"], &["n2"]);
    assert!(consents.lose_patience(at(3999)).is_empty());
    assert_eq!(consents.lose_patience(at(4000)), [holder("n2").node]);
    assert!(consents.given(key));
    assert!(
        consents.lose_patience(at(9000)).is_empty(),
        "once is enough"
    );
}

#[test]
fn patience_begins_with_the_ring_that_needs_it() {
    let mut consents = Consents::new(&view(&["n1"], 0));
    let (three, two) = (view(&["n1", "n2", "n3"], 0), view(&["n1", "n2"], 0));
    consents.on_view(at(0), &three);
    answer(&mut consents, at(0), &three, &["n1", "n2", "n3"]);
    // Somebody is suspected: another view, the same ring.
    consents.on_view(at(9000), &three);
    consents.on_view(at(10_000), &two);
    assert!(consents.lose_patience(at(13_999)).is_empty());
    assert_eq!(consents.lose_patience(at(14_000)), [holder("n2").node]);
}
