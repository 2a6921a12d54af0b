use super::*;

const SINCE: u64 = 1_732_350_000_123;

fn user(name: &str) -> StreamKey {
    StreamKey::Inbox(crate::id::UserId::new(name).unwrap())
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn open(
    directory: &mut Directory<char>,
    (name, id): (&str, u64),
    handle: char,
    owner: Option<NodeId>,
) -> Option<Registration> {
    directory.open(&user(name), (SessionId(id), SINCE), handle, owner, None)
}

fn guest(at: &NodeId, session: u64) -> Guest {
    Guest {
        node: at.clone(),
        session: SessionId(session),
        nonce: 1,
        since_ms: SINCE,
        leaving_until: None,
        progress: None,
    }
}

fn register(directory: &mut Directory<char>, name: &str, at: &NodeId, session: u64) {
    directory.register(&user(name), guest(at, session));
}

/// What the owner's answer to a registration wakes up.
fn registered(directory: &mut Directory<char>, asked: &Registration, by: &NodeId) -> Option<char> {
    let local = directory.registered(&asked.key, (asked.session, asked.nonce), by);
    local.map(|local| local.handle)
}

#[test]
fn a_user_is_online_from_the_first_session_to_the_last() {
    let mut directory = Directory::default();
    let (bob, n2) = (user("bob"), node("n2"));
    assert!(!directory.is_online(&bob));
    assert_eq!(open(&mut directory, ("bob", 1), 'a', None), None);
    for session in [1, 1, 9] {
        register(&mut directory, "bob", &n2, session);
    }
    assert_eq!(directory.sessions_of(&bob).collect::<Vec<_>>(), [&'a']);
    assert_eq!(directory.guest_nodes(&bob), std::slice::from_ref(&n2));
    assert_eq!(directory.counts(), (1, 2));
    directory.close(&bob, SessionId(1));
    directory.unregister(&bob, &n2, SessionId(1));
    assert!(directory.is_online(&bob));
    directory.unregister(&bob, &n2, SessionId(9));
    assert!(!directory.is_online(&bob));
    assert_eq!(directory.counts(), (0, 0));
    assert_eq!(directory.by_key.len(), 0);
}

#[test]
fn a_session_is_known_with_its_beginning_here_and_at_its_owner() {
    let mut directory = Directory::default();
    let (bob, n2) = (user("bob"), node("n2"));
    let asked = open(&mut directory, ("bob", 1), 'a', Some(n2.clone())).unwrap();
    assert_eq!(asked.since_ms, SINCE);
    register(&mut directory, "bob", &n2, 9);
    let (here, elsewhere) = directory.all_of(&bob);
    let here: Vec<_> = here.iter().map(|l| (l.id, l.since_ms)).collect();
    assert_eq!(here, [(SessionId(1), SINCE)]);
    let elsewhere: Vec<_> = elsewhere.iter().map(|g| (g.session, g.since_ms)).collect();
    assert_eq!(elsewhere, [(SessionId(9), SINCE)]);
    let (here, elsewhere) = directory.all_of(&user("carol"));
    assert!(here.is_empty() && elsewhere.is_empty());
}

#[test]
fn a_guest_that_is_to_leave_is_registered_anew_with_that() {
    let mut directory = Directory::default();
    let (bob, n2) = (user("bob"), node("n2"));
    let leaving = Leaving {
        reason: crate::core::protocol::Reason::Drain,
        after_ms: 350,
        within_ms: 1000,
        told: false,
    };
    open(&mut directory, ("ann", 2), 'b', None);
    let at_home = directory.leaves(&user("ann"), SessionId(2), leaving);
    assert_eq!(at_home, None, "it is at home");
    directory.close(&user("ann"), SessionId(2));
    let first = open(&mut directory, ("bob", 1), 'a', Some(n2.clone())).unwrap();
    assert_eq!((first.new, first.leaving_ms), (true, 0));
    assert_eq!(registered(&mut directory, &first, &n2), Some('a'));
    let again = directory.leaves(&bob, SessionId(1), leaving).unwrap();
    assert!(!again.new && again.leaving_ms > 1000 && again.nonce > first.nonce);
    assert_eq!(registered(&mut directory, &first, &n2), None);
    assert_eq!(registered(&mut directory, &again, &n2), Some('a'));
    // Another owner has to know as well; this node does.
    directory.rehome(|_| Some(node("n3")));
    let other = directory.take_unregistered().remove(0);
    assert_eq!(other.leaving_ms, again.leaving_ms);
    directory.rehome(|_| None);
    directory.rehome(|_| Some(node("n3")));
    assert_eq!(directory.take_unregistered()[0].leaving_ms, 0);
}

#[test]
fn a_registration_that_was_overtaken_changes_nothing() {
    let mut directory: Directory<char> = Directory::default();
    let bob = user("bob");
    for nonce in [1, 3, 2] {
        let guest = Guest {
            node: node("n2"),
            session: SessionId(1),
            nonce,
            since_ms: SINCE,
            leaving_until: None,
            progress: None,
        };
        directory.register(&bob, guest);
    }
    let nonces = directory.guests_mut(&bob).iter().map(|guest| guest.nonce);
    assert_eq!(nonces.collect::<Vec<_>>(), [3]);
    assert_eq!(directory.counts(), (0, 1));
}

#[test]
fn a_guest_is_registered_with_its_owner_and_taken_back_when_it_ends() {
    let mut directory = Directory::default();
    let (bob, n2) = (user("bob"), node("n2"));
    let asked = open(&mut directory, ("bob", 1), 'a', Some(n2.clone())).unwrap();
    assert_eq!((&asked.owner, &asked.key), (&n2, &bob));
    assert_eq!(registered(&mut directory, &asked, &node("n3")), None);
    let outdated = Registration {
        nonce: asked.nonce + 1,
        ..asked.clone()
    };
    assert_eq!(registered(&mut directory, &outdated, &n2), None);
    assert_eq!(registered(&mut directory, &asked, &n2), Some('a'));
    assert_eq!(registered(&mut directory, &asked, &n2), None);
    let left = Registration {
        new: false,
        ..asked
    };
    assert_eq!(directory.close(&bob, SessionId(1)), Some(left));
}

#[test]
fn who_comes_and_goes_is_remembered_once_somebody_wants_to_know() {
    let mut directory = Directory::default();
    let (alice, bob) = (user("alice"), user("bob"));
    directory.open(&alice, (SessionId(1), 0), 'a', None, None);
    assert!(directory.take_turned(false).is_empty());
    directory.remember_turned();
    directory.open(&bob, (SessionId(2), 0), 'b', None, None);
    directory.close(&alice, SessionId(1));
    let turned: Vec<_> = directory.take_turned(true).into_iter().collect();
    assert_eq!(turned, [bob.clone(), alice]);
    directory.close(&bob, SessionId(2));
    assert!(directory.take_turned(false).contains(&bob));
    directory.open(&bob, (SessionId(3), 0), 'c', None, None);
    assert!(directory.take_turned(false).is_empty());
}

#[test]
fn a_session_whose_owner_changed_is_registered_anew() {
    let mut directory = Directory::default();
    let (bob, n2, n3) = (user("bob"), node("n2"), node("n3"));
    open(&mut directory, ("bob", 1), 'a', None);
    let moved = directory.rehome(|_| Some(node("n2")));
    assert_eq!((moved[0].home, &moved[0].left), (false, &None));
    let asked = directory.take_unregistered().remove(0);
    assert_eq!(asked.owner, n2);
    assert!(directory.take_unregistered().is_empty());
    assert_eq!(directory.rehome(|_| Some(node("n2"))), []);
    let moved = directory.rehome(|_| Some(node("n3")));
    assert_eq!(moved[0].left.as_ref().unwrap().owner, n2);
    assert_eq!(registered(&mut directory, &asked, &n2), None);
    assert_eq!(directory.take_unregistered()[0].owner, n3);
    assert!(directory.rehome(|_| None)[0].home);
    assert!(directory.take_unsubscribed().contains(&bob));
    directory.registration_failed(&bob, SessionId(1));
    assert!(directory.take_unregistered().is_empty(), "it is at home");
}

#[test]
fn the_guests_of_a_dead_node_are_gone_and_others_stay() {
    let mut directory: Directory<char> = Directory::default();
    for (name, at) in [("a", "n2"), ("a", "n3"), ("b", "n2")] {
        register(&mut directory, name, &node(at), 1);
    }
    assert_eq!(directory.retain_guests(|at| *at != node("n2")), []);
    assert!(directory.is_online(&user("a")));
    assert!(!directory.is_online(&user("b")));
    assert_eq!(directory.counts(), (0, 1));
}

#[test]
fn the_rooms_of_a_dead_node_are_named() {
    let mut directory: Directory<char> = Directory::default();
    let room = |name| StreamKey::Room(crate::id::RoomName::new(name).unwrap());
    for (name, at) in [("x", "n2"), ("x", "n3"), ("y", "n2"), ("z", "n3")] {
        directory.register(&room(name), guest(&node(at), 1));
    }
    let mut rooms = directory.retain_guests(|at| *at != node("n2"));
    rooms.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    assert_eq!(rooms, [room("x"), room("y")]);
    assert_eq!(directory.retain_guests(|at| *at != node("n2")), []);
}

#[test]
fn a_new_connection_to_the_owner_tells_it_every_guest_again() {
    let mut directory = Directory::default();
    let n2 = node("n2");
    let asked = open(&mut directory, ("a", 1), 'a', Some(n2.clone())).unwrap();
    open(&mut directory, ("b", 2), 'b', Some(node("n3")));
    open(&mut directory, ("c", 3), 'c', None);
    registered(&mut directory, &asked, &n2);
    let again = directory.registrations_at(&n2);
    assert_eq!(again.len(), 1);
    assert_eq!(registered(&mut directory, &again[0], &n2), Some('a'));
}
