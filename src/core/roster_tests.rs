use super::*;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn lobby() -> RoomName {
    RoomName::new("lobby").unwrap()
}

const NOW: Duration = Duration::from_secs(100);

fn told(rosters: &mut Rosters, by: &str, users: &[(&str, Standing)]) -> Vec<(String, bool)> {
    told_at(NOW, rosters, by, false, users)
}

fn told_at(
    now: Duration,
    rosters: &mut Rosters,
    by: &str,
    whole: bool,
    users: &[(&str, Standing)],
) -> Vec<(String, bool)> {
    let users: Vec<_> = users.iter().map(|(name, how)| (user(name), *how)).collect();
    names(rosters.update(now, &lobby(), &node(by), (whole, &users)))
}

fn names(changes: Vec<Change>) -> Vec<(String, bool)> {
    let changes = changes.into_iter();
    changes
        .map(|change| (change.user.as_str().to_owned(), change.joined))
        .collect()
}

fn there(rosters: &Rosters) -> Vec<String> {
    let page = rosters.page(&lobby(), None, 100);
    assert_eq!(page.count, page.users.len() as u64);
    page.users.iter().map(|u| u.as_str().to_owned()).collect()
}

fn joined(name: &str) -> (String, bool) {
    (name.to_owned(), true)
}

fn left(name: &str) -> (String, bool) {
    (name.to_owned(), false)
}

#[test]
fn a_user_comes_once_however_many_nodes_say_so() {
    let mut rosters = Rosters::default();
    assert_eq!(
        told(&mut rosters, "n1", &[("a", Standing::Came)]),
        [joined("a")]
    );
    assert_eq!(told(&mut rosters, "n2", &[("a", Standing::Came)]), []);
    assert_eq!(told(&mut rosters, "n1", &[("a", Standing::Left)]), []);
    assert_eq!(there(&rosters), ["a"]);
    assert_eq!(
        told(&mut rosters, "n2", &[("a", Standing::Left)]),
        [left("a")]
    );
    assert!(there(&rosters).is_empty() && rosters.is_empty());
}

#[test]
fn who_was_there_before_this_node_knew_is_not_announced() {
    let mut rosters = Rosters::default();
    assert_eq!(told(&mut rosters, "n1", &[("a", Standing::There)]), []);
    assert_eq!(there(&rosters), ["a"]);
    assert_eq!(
        told(&mut rosters, "n1", &[("a", Standing::Left)]),
        [left("a")]
    );
}

#[test]
fn who_comes_back_in_time_has_never_left() {
    let mut rosters = Rosters::default();
    told(&mut rosters, "n1", &[("a", Standing::Came)]);
    assert_eq!(told(&mut rosters, "n1", &[("a", Standing::Gone)]), []);
    assert!(there(&rosters).is_empty(), "who is gone is not there");
    let soon = NOW + LEAVE_AFTER / 2;
    assert!(rosters.expire(soon).is_empty());
    assert_eq!(told(&mut rosters, "n2", &[("a", Standing::Came)]), []);
    assert!(rosters.expire(NOW + LEAVE_AFTER).is_empty());
    assert_eq!(there(&rosters), ["a"]);
    // And once more, from then on.
    told_at(soon, &mut rosters, "n2", false, &[("a", Standing::Gone)]);
    assert!(rosters.expire(NOW + LEAVE_AFTER).is_empty());
    assert_eq!(names(rosters.expire(soon + LEAVE_AFTER)), [left("a")]);
    assert!(rosters.is_empty());
}

#[test]
fn who_is_not_in_the_whole_is_gone() {
    let mut rosters = Rosters::default();
    told(
        &mut rosters,
        "n1",
        &[("a", Standing::Came), ("b", Standing::Came)],
    );
    told(
        &mut rosters,
        "n2",
        &[("b", Standing::Came), ("c", Standing::Came)],
    );
    let whole = [("d", Standing::Came)];
    assert_eq!(
        told_at(NOW, &mut rosters, "n1", true, &whole),
        [joined("d")]
    );
    assert_eq!(there(&rosters), ["b", "c", "d"]);
    assert_eq!(names(rosters.expire(NOW + LEAVE_AFTER)), [left("a")]);
}

#[test]
fn the_users_of_a_dead_node_are_gone() {
    let mut rosters = Rosters::default();
    told(
        &mut rosters,
        "n1",
        &[("a", Standing::Came), ("b", Standing::Came)],
    );
    told(&mut rosters, "n2", &[("b", Standing::Came)]);
    rosters.retain_nodes(NOW, |name| *name != node("n1"));
    assert_eq!(there(&rosters), ["b"]);
    assert_eq!(names(rosters.expire(NOW + LEAVE_AFTER)), [left("a")]);
}

#[test]
fn a_room_is_read_page_by_page() {
    let mut rosters = Rosters::default();
    let users = ["c", "a", "b", "e", "d"].map(|name| (name, Standing::Came));
    told(&mut rosters, "n1", &users);
    told(&mut rosters, "n1", &[("b", Standing::Gone)]);
    let page = |after: Option<&str>, max| {
        let page = rosters.page(&lobby(), after.map(user).as_ref(), max);
        let users = page.users.iter().map(|user| user.as_str().to_owned());
        (page.count, users.collect::<Vec<_>>(), page.more)
    };
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2), (4, names(&["a", "c"]), true));
    assert_eq!(page(Some("c"), 2), (4, names(&["d", "e"]), false));
    assert_eq!(page(Some("b"), 1), (4, names(&["c"]), true));
    assert_eq!(page(Some("e"), 2), (4, names(&[]), false));
}

#[test]
fn a_room_that_is_not_held_for_a_moment_is_not_forgotten() {
    let mut rosters = Rosters::default();
    told(&mut rosters, "n1", &[("a", Standing::There)]);
    rosters.hold(NOW, |_| false);
    assert!(rosters.expire(NOW + FORGET_AFTER / 2).is_empty());
    rosters.hold(NOW + FORGET_AFTER / 2, |_| true);
    rosters.expire(NOW + FORGET_AFTER * 2);
    assert_eq!(there(&rosters), ["a"]);
    assert!(rosters.unheld.is_empty(), "nothing is looked at");
    rosters.hold(NOW, |_| false);
    rosters.hold(NOW + FORGET_AFTER / 2, |_| false);
    rosters.expire(NOW + FORGET_AFTER);
    assert!(rosters.is_empty() && rosters.unheld.is_empty());
    // One in which nobody is any more, before it was forgotten.
    told(&mut rosters, "n1", &[("a", Standing::There)]);
    rosters.hold(NOW, |_| false);
    told(&mut rosters, "n1", &[("a", Standing::Left)]);
    rosters.expire(NOW);
    assert!(rosters.unheld.is_empty());
}

/// Whether it is to be told, without a change, how many are there.
fn recounted(rosters: &mut Rosters) -> bool {
    rosters.take_recounted().contains(&lobby())
}

#[test]
fn how_many_are_there_is_told_anew_when_no_change_tells_it() {
    let mut rosters = Rosters::default();
    let here = [("a", Standing::Came), ("b", Standing::Came)];
    told(&mut rosters, "n1", &here);
    assert!(!recounted(&mut rosters), "the changes tell it");
    told(&mut rosters, "n1", &[("b", Standing::Gone)]);
    assert!(recounted(&mut rosters) && there(&rosters) == ["a"]);
    told(&mut rosters, "n2", &[("b", Standing::Came)]);
    assert!(recounted(&mut rosters), "back in time");
    told(&mut rosters, "n1", &[("b", Standing::Came)]);
    assert!(!recounted(&mut rosters), "one more device");
    told(&mut rosters, "n1", &[("b", Standing::Gone)]);
    assert!(!recounted(&mut rosters), "and one less");
    // A node that this one has just come to hear of.
    told(&mut rosters, "n3", &[("c", Standing::There)]);
    assert!(recounted(&mut rosters));
    // One that died, and one that tells all anew.
    rosters.retain_nodes(NOW, |known| *known != node("n3"));
    assert!(recounted(&mut rosters));
    told_at(NOW, &mut rosters, "n2", true, &[]);
    assert!(recounted(&mut rosters) && there(&rosters) == ["a"]);
    assert_eq!(rosters.expire(NOW + LEAVE_AFTER).len(), 2);
    assert!(!recounted(&mut rosters), "the changes tell it");
}
