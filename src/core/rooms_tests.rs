use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::core::stream::Epoch;

/// A `join` of this room and maybe others.
#[derive(Debug, Clone, Default)]
struct Ticket {
    outcome: Rc<Cell<Option<Joined>>>,
    /// Others have no outcome yet.
    others_wait: Rc<Cell<bool>>,
}

impl Ticket {
    fn let_in(&self, outcome: Option<Joined>) -> bool {
        if outcome.is_some() {
            self.outcome.set(outcome);
        }
        self.outcome.get().is_some() && !self.others_wait.get()
    }
}

type TestRooms = Rooms<char, Ticket>;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn lobby() -> RoomName {
    RoomName::new("lobby").unwrap()
}

fn at(offset: u64) -> Position {
    Position {
        epoch: Epoch::ROOT,
        offset,
    }
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// The holders of a room; `me` is this node.
fn holders(names: &[&str]) -> Vec<Option<(NodeId, Generation)>> {
    let others = names.iter().map(|&name| (name != "me").then_some(name));
    let others = others.map(|name| name.map(|name| (node(name), Generation(1))));
    others.collect()
}

/// A room that this node owns.
fn rooms() -> TestRooms {
    TestRooms::default()
}

/// Says whether it is the first, and gives what will be answered.
fn join(rooms: &mut TestRooms, number: u64, name: &str, since: Option<Resume>) -> (bool, Ticket) {
    let handle = char::from_digit(u32::try_from(number).unwrap(), 10).unwrap();
    let member = (SessionId(number), handle, &user(name));
    let ticket = Ticket::default();
    let first = rooms.join(&lobby(), member, since, ticket.clone());
    let room = rooms.get_mut(&lobby()).unwrap();
    room.aim(&holders(&["me", "n2"]), |_, _| true);
    (first, ticket)
}

fn advance(rooms: &mut TestRooms, live: Option<Position>) -> Vec<Fetch> {
    let room = rooms.get_mut(&lobby()).unwrap();
    live.map_or_else(Vec::new, |live| {
        room.advance((live, None), |_| true, Ticket::let_in)
    })
}

fn fetch(number: u64, from: Resume) -> Fetch {
    Fetch {
        session: SessionId(1),
        number,
        from,
    }
}

/// Some of what the first member has missed has come.
fn fetched(
    rooms: &mut TestRooms,
    number: u64,
    (upto, empty): (Position, bool),
    live: Position,
) -> Option<(char, bool)> {
    let page = Fetched {
        position: at(0),
        recovered: true,
        upto,
        empty,
    };
    let room = rooms.get_mut(&lobby()).unwrap();
    room.fetched((SessionId(1), number), &page, Some(live), Ticket::let_in)
}

fn wanting(rooms: &TestRooms, offset: u64) -> String {
    let room = rooms.get(&lobby()).unwrap();
    room.wanting(at(offset))
        .map(|(handle, _)| *handle)
        .collect()
}

#[test]
fn a_member_is_in_once_the_node_is_subscribed() {
    let mut rooms = rooms();
    let (first, one) = join(&mut rooms, 1, "a", None);
    assert!(first);
    let (first, other) = join(&mut rooms, 2, "b", None);
    assert!(!first);
    assert_eq!(advance(&mut rooms, None), []);
    assert_eq!(
        (wanting(&rooms, 8), one.outcome.get()),
        (String::new(), None)
    );
    assert_eq!(advance(&mut rooms, Some(at(7))), []);
    for ticket in [one, other] {
        assert_eq!(ticket.outcome.get(), Some((at(7), None)));
    }
    assert_eq!(wanting(&rooms, 8), "12");
}

#[test]
fn a_member_catches_up_page_by_page_and_misses_and_repeats_nothing() {
    let mut rooms = rooms();
    let (_, ticket) = join(&mut rooms, 1, "a", Some(Resume::At(at(2))));
    let from = |offset| Resume::At(at(offset));
    assert_eq!(advance(&mut rooms, Some(at(9))), [fetch(1, from(2))]);
    assert_eq!(advance(&mut rooms, Some(at(9))), [], "one page at a time");
    let room = rooms.get_mut(&lobby()).unwrap();
    room.not_fetched(SessionId(1), 1);
    assert_eq!(advance(&mut rooms, Some(at(9))), [fetch(2, from(2))]);
    let page = |upto| (at(upto), false);
    assert_eq!(fetched(&mut rooms, 1, page(4), at(9)), None, "an old page");
    assert_eq!(fetched(&mut rooms, 2, page(5), at(9)), Some(('1', false)));
    assert_eq!(ticket.outcome.get(), Some((at(0), Some(true))));
    assert_eq!(fetched(&mut rooms, 2, page(6), at(9)), None, "twice");
    assert_eq!(wanting(&rooms, 10), "", "it is not that far");
    assert_eq!(advance(&mut rooms, Some(at(9))), [fetch(3, from(5))]);
    assert_eq!(fetched(&mut rooms, 3, page(11), at(10)), Some(('1', false)));
    assert_eq!(wanting(&rooms, 11), "", "it has had that");
    assert_eq!(wanting(&rooms, 12), "1");
}

#[test]
fn nothing_of_a_room_comes_before_the_others_of_the_list_are_joined() {
    for since in [None, Some(Resume::At(at(2)))] {
        let mut rooms = rooms();
        let (_, ticket) = join(&mut rooms, 1, "a", since);
        ticket.others_wait.set(true);
        if let [one] = advance(&mut rooms, Some(at(7)))[..] {
            assert_eq!(fetched(&mut rooms, one.number, (at(9), false), at(7)), None);
        }
        assert!(ticket.outcome.get().is_some());
        assert_eq!(
            (wanting(&rooms, 10), advance(&mut rooms, Some(at(9))).len()),
            (String::new(), 0)
        );
        assert!(!rooms.get(&lobby()).unwrap().is_settled());
        ticket.others_wait.set(false);
        let from = ticket.outcome.get().unwrap().0;
        let again = advance(&mut rooms, Some(at(9)));
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].from, Resume::At(from), "from what it was told");
        assert!(fetched(&mut rooms, again[0].number, (at(9), false), at(9)).is_some());
        assert_eq!(wanting(&rooms, 10), "1");
    }
}

#[test]
fn what_has_gone_between_two_pages_is_told() {
    let mut rooms = rooms();
    join(&mut rooms, 1, "a", Some(Resume::At(at(0))));
    let mut page = Fetched {
        position: at(0),
        recovered: false,
        upto: at(5),
        empty: false,
    };
    for (number, gap) in [(1, false), (2, true)] {
        advance(&mut rooms, Some(at(9)));
        let room = rooms.get_mut(&lobby()).unwrap();
        let given = room.fetched((SessionId(1), number), &page, Some(at(9)), Ticket::let_in);
        assert_eq!(given, Some(('1', gap)), "the first is told by the receipt");
        page.upto = at(7);
    }
}

#[test]
fn a_page_of_another_epoch_is_not_the_end_of_catching_up() {
    let mut rooms = rooms();
    join(&mut rooms, 1, "a", Some(Resume::Unknown));
    advance(&mut rooms, Some(at(1)));
    let epoch = Epoch::opened(2, &node("n1"), Generation(1));
    let elsewhere = Position { epoch, offset: 5 };
    fetched(&mut rooms, 1, (elsewhere, false), at(1));
    let next = [fetch(2, Resume::At(elsewhere))];
    assert_eq!(advance(&mut rooms, Some(at(1))), next);
}

#[test]
fn who_has_all_there_is_has_caught_up_whatever_the_epoch_unless_the_node_has_moved() {
    let elsewhere = Position {
        epoch: Epoch::opened(2, &node("n1"), Generation(1)),
        offset: 0,
    };
    for (live, there) in [(at(1), true), (at(2), false)] {
        let mut rooms = rooms();
        join(&mut rooms, 1, "a", Some(Resume::At(at(0))));
        advance(&mut rooms, Some(at(1)));
        let given = fetched(&mut rooms, 1, (elsewhere, true), live);
        assert_eq!(given, Some(('1', false)));
        assert_eq!(wanting(&rooms, 3), if there { "1" } else { "" });
        assert_eq!(advance(&mut rooms, Some(live)).is_empty(), there);
    }
}

#[test]
fn a_slow_reader_gets_no_more_history_until_it_has_read() {
    let mut rooms = rooms();
    join(&mut rooms, 1, "a", Some(Resume::At(at(0))));
    advance(&mut rooms, Some(at(9)));
    fetched(&mut rooms, 1, (at(5), false), at(9));
    let room = rooms.get_mut(&lobby()).unwrap();
    assert_eq!(room.advance((at(9), None), |_| false, Ticket::let_in), []);
    assert_eq!(
        room.advance((at(9), None), |_| true, Ticket::let_in).len(),
        1
    );
}

#[test]
fn who_is_ahead_of_its_node_when_the_epoch_changes_goes_on_from_where_it_is() {
    let mut rooms = rooms();
    join(&mut rooms, 1, "a", Some(Resume::At(at(2))));
    join(&mut rooms, 2, "b", None);
    advance(&mut rooms, Some(at(7)));
    fetched(&mut rooms, 1, (at(9), false), at(7));
    assert_eq!(wanting(&rooms, 8), "2", "the first has it already");
    let room = rooms.get_mut(&lobby()).unwrap();
    room.node_moved(at(7));
    assert_eq!(wanting(&rooms, 8), "2");
    let next = [fetch(2, Resume::At(at(9)))];
    assert_eq!(advance(&mut rooms, Some(at(7))), next);
    // One that is not ahead takes what comes.
    fetched(&mut rooms, 2, (at(9), true), at(7));
    let room = rooms.get_mut(&lobby()).unwrap();
    room.node_moved(at(9));
    assert_eq!(wanting(&rooms, 8), "12");
}

#[test]
fn one_can_be_let_in_without_a_look_at_the_others() {
    let mut rooms = rooms();
    let tickets = [1, 2].map(|number| join(&mut rooms, number, "a", None).1);
    let room = rooms.get_mut(&lobby()).unwrap();
    let second = Some(SessionId(2));
    room.advance((at(1), second), |_| true, Ticket::let_in);
    assert_eq!(tickets[0].outcome.get(), None);
    assert_eq!(tickets[1].outcome.get(), Some((at(1), None)));
    room.advance((at(1), second), |_| true, Ticket::let_in);
    assert_eq!(tickets[0].outcome.get(), None, "it still waits");
    room.advance((at(1), None), |_| true, Ticket::let_in);
    assert_eq!(tickets[0].outcome.get(), Some((at(1), None)));
}

#[test]
fn a_join_waits_until_another_owner_knows_the_user() {
    let mut rooms = TestRooms::default();
    let member = (SessionId(1), '1', &user("a"));
    let ticket = Ticket::default();
    rooms.join(&lobby(), member, None, ticket.clone());
    let room = rooms.get_mut(&lobby()).unwrap();
    room.advance((at(1), None), |_| true, Ticket::let_in);
    assert_eq!(ticket.outcome.get(), None, "nobody knows the owner");
    room.aim(&holders(&["n1", "n2"]), |_, _| true);
    let updates = room.updates();
    let to: Vec<_> = updates.iter().map(|update| update.to.as_str()).collect();
    assert_eq!(to, ["n1", "n2"]);
    assert!(updates.iter().all(|u| u.whole && u.users == [user("a")]));
    assert_eq!(room.standing(&user("a")), Standing::Came);
    room.update_answered(&node("n2"), updates[1].number, Outcome::Done);
    room.advance((at(1), None), |_| true, Ticket::let_in);
    assert_eq!(ticket.outcome.get(), None);
    room.update_answered(&node("n1"), updates[0].number, Outcome::Done);
    room.advance((at(1), None), |_| true, Ticket::let_in);
    assert_eq!(ticket.outcome.get(), Some((at(1), None)));
    assert_eq!(room.standing(&user("a")), Standing::There);
    assert!(room.is_settled());
}

#[test]
fn changes_wait_for_the_last_update_and_go_together() {
    let mut rooms = TestRooms::default();
    let add = |rooms: &mut TestRooms, number, name: &str| {
        rooms.join(
            &lobby(),
            (SessionId(number), 'x', &user(name)),
            None,
            Ticket::default(),
        );
    };
    let n1 = node("n1");
    add(&mut rooms, 1, "a");
    let room = rooms.get_mut(&lobby()).unwrap();
    room.aim(&holders(&["n1"]), |_, _| true);
    let first = room.updates();
    assert_eq!(first.len(), 1);
    add(&mut rooms, 2, "b");
    add(&mut rooms, 3, "b");
    rooms.leave(&lobby(), SessionId(1), true);
    rooms.leave(&lobby(), SessionId(3), true);
    let room = rooms.get_mut(&lobby()).unwrap();
    assert!(room.updates().is_empty(), "one at a time");
    room.update_answered(&n1, first[0].number + 1, Outcome::Done);
    assert!(room.updates().is_empty(), "that was none");
    room.update_answered(&n1, first[0].number, Outcome::Done);
    let next = room.updates();
    assert!(!next[0].whole);
    let mut users = next[0].users.clone();
    users.sort();
    assert_eq!(users, [user("a"), user("b")]);
    assert_eq!(room.standing(&user("a")), Standing::Left);
    assert_eq!(room.standing(&user("b")), Standing::Came);
    // Nobody knows whether that has arrived: everything again.
    room.update_answered(&n1, next[0].number, Outcome::Unknown);
    let again = room.updates();
    assert!(again[0].whole && again[0].users == [user("b")]);
    room.tell_anew(&n1);
    assert!(room.updates()[0].whole);
}

#[test]
fn another_holder_is_told_everything_and_who_stays_nothing() {
    let mut rooms = TestRooms::default();
    rooms.join(
        &lobby(),
        (SessionId(1), 'x', &user("a")),
        None,
        Ticket::default(),
    );
    let room = rooms.get_mut(&lobby()).unwrap();
    assert!(room.aim(&holders(&["n1", "n2"]), |_, _| true));
    for update in room.updates() {
        room.update_answered(&update.to, update.number, Outcome::Done);
    }
    assert!(!room.aim(&holders(&["n1", "n2"]), |_, _| true));
    let n1_has_died = |name: &NodeId, _| *name != node("n1");
    assert!(room.aim(&holders(&["n2", "n3"]), n1_has_died));
    let updates = room.updates();
    assert_eq!(updates.len(), 1);
    assert_eq!((updates[0].to.as_str(), updates[0].whole), ("n3", true));
    let mut restarted = holders(&["n2", "n3"]);
    restarted[0] = Some((node("n2"), Generation(2)));
    let generation = |name: &NodeId, generation| *name != node("n2") || generation == Generation(2);
    assert!(room.aim(&restarted, generation));
    assert_eq!(room.updates().len(), 1);
}

#[test]
fn who_holds_a_room_no_more_is_told_that_nothing_it_knows_counts() {
    let mut rooms = TestRooms::default();
    rooms.join(
        &lobby(),
        (SessionId(1), 'x', &user("a")),
        None,
        Ticket::default(),
    );
    let room = rooms.get_mut(&lobby()).unwrap();
    room.aim(&holders(&["n1", "n2"]), |_, _| true);
    for update in room.updates() {
        room.update_answered(&update.to, update.number, Outcome::Done);
    }
    assert!(room.aim(&holders(&["n1", "n3"]), |_, _| true));
    let updates = room.updates();
    let farewell = updates.iter().find(|u| u.to == node("n2")).unwrap();
    assert!(farewell.whole && farewell.users.is_empty());
    // Nobody knows whether that has arrived; and all has to be known before the room is forgotten.
    room.update_answered(&node("n2"), farewell.number, Outcome::Unknown);
    rooms.leave(&lobby(), SessionId(1), false);
    rooms.forget_if_empty(&lobby());
    let room = rooms.get_mut(&lobby()).unwrap();
    let again = room
        .updates()
        .into_iter()
        .find(|u| u.to == node("n2"))
        .unwrap();
    assert!(again.whole && again.users.is_empty());
    // It is a holder again before it has answered: what counts is what it is told from now on.
    assert!(room.aim(&holders(&["n1", "n2"]), |_, _| true));
    room.update_answered(&node("n2"), again.number, Outcome::NotOwner);
    assert!(room.updates().iter().any(|u| u.to == node("n2") && u.whole));
    // And once more not: it says so itself, which is enough.
    room.aim(&holders(&["n1"]), |name, _| *name != node("n3"));
    for update in room.updates() {
        room.update_answered(&update.to, update.number, Outcome::NotOwner);
    }
    assert!(room.updates().iter().all(|update| update.to == node("n1")));
}

#[test]
fn a_room_is_forgotten_when_all_have_left_and_all_know() {
    let mut rooms = TestRooms::default();
    rooms.join(
        &lobby(),
        (SessionId(1), 'x', &user("a")),
        None,
        Ticket::default(),
    );
    rooms
        .get_mut(&lobby())
        .unwrap()
        .aim(&holders(&["n1"]), |_, _| true);
    let left = rooms.leave(&lobby(), SessionId(1), false);
    let (empty, last_of_user) = (true, true);
    assert_eq!(
        left,
        Some(Left {
            empty,
            last_of_user
        })
    );
    assert_eq!(rooms.leave(&lobby(), SessionId(1), false), None);
    rooms.forget_if_empty(&lobby());
    let room = rooms.get_mut(&lobby()).unwrap();
    let update = room.updates().remove(0);
    assert!(update.users.is_empty());
    room.update_answered(&update.to, update.number, Outcome::Done);
    rooms.forget_if_empty(&lobby());
    assert!(rooms.get(&lobby()).is_none());
}

#[test]
fn a_join_that_waits_too_long_is_given_up() {
    let mut rooms = rooms();
    join(&mut rooms, 1, "a", None);
    let room = rooms.get_mut(&lobby()).unwrap();
    assert!(room.late(|_| false).is_empty());
    assert_eq!(room.late(|_| true), ['1']);
}
