use proptest::prelude::*;

use super::*;
use crate::core::stream::{Epoch, Position};
use crate::id::{Generation, NodeId};

fn user(raw: &str) -> Option<String> {
    let query = Query::parse(raw).unwrap_or_else(|why| panic!("{raw}: {why}"));
    query.user.map(|user| user.as_str().to_owned())
}

#[test]
fn users_are_form_decoded() {
    for (raw, name) in [
        ("user=alice", Some("alice")),
        ("&&user=alice&", Some("alice")),
        ("user=Zo%C3%AB+%2B1%26", Some("Zoë +1&")),
        ("user=a=b", Some("a=b")),
        ("%75ser=alice", Some("alice")),
        ("user=%25zz", Some("%zz")),
        ("user=ë", Some("ë")),
        ("", None),
        ("User=alice", None),
        ("x=1&x=2&y", None),
    ] {
        assert_eq!(user(raw).as_deref(), name, "{raw}");
    }
}

#[test]
fn every_known_parameter_is_read() {
    let raw = "user=a&redirect=never&hop=1&epoch=e_-9&offset=17&token=t&ticket=u";
    let query = Query {
        user: UserId::new("a").ok(),
        redirect: Some(RedirectMode::Never),
        hop: true,
        ticket: Some(Hidden::new("u")),
        token: Some(Hidden::new("t")),
        resume: Resume::Unknown,
    };
    assert_eq!(Query::parse(raw), Ok(query));
    assert!(Query::parse("hop").unwrap().hop);
    assert!(Query::parse("hop=0").unwrap().hop);
    assert!(!Query::parse("hops=1").unwrap().hop);
}

#[test]
fn what_is_broken_or_unclear_is_refused() {
    let long = format!("user={}", "a".repeat(257));
    for raw in [
        "user=a&user=a",
        "user=a&%75ser=b",
        "token=a&token=a",
        "ticket=a&ticket=a",
        "hop=1&hop=1",
        "redirect=http&redirect=http",
        "user=%",
        "user=%4",
        "user=%4x",
        "user=%+1",
        "x=%zz",
        "%=1",
        "user=%ff",
        "x=%C3",
        "user=%C3+%AB",
        "user=",
        "user",
        "user=%00",
        "user=a%0Ab",
        "redirect=",
        "redirect=HTTP",
        "redirect=http+",
        "epoch=&offset=1",
        "epoch=a.b&offset=1",
        "epoch=0&epoch=0&offset=1",
        "epoch=0&offset=",
        "epoch=0&offset=-1",
        "epoch=0&offset=+1",
        "epoch=0&offset=%2B1",
        "epoch=0&offset=9007199254740992",
        "epoch=0&offset=99999999999999999999999",
        &long,
    ] {
        let answer = Query::parse(raw);
        assert!(answer.is_err(), "{raw}: {answer:?}");
    }
}

#[test]
fn a_position_is_given_whole_or_not_at_all() {
    let at = |epoch, offset| Resume::At(Position { epoch, offset });
    let epoch = Epoch::opened(3, &NodeId::new("n1").unwrap(), Generation(1));
    let last = format!("offset=9007199254740991&epoch={epoch}");
    for (raw, resume) in [
        ("user=a", Resume::Fresh),
        ("epoch=0&offset=0", at(Epoch::ROOT, 0)),
        ("epoch=%30&offset=007", at(Epoch::ROOT, 7)),
        (&last, at(epoch, OFFSET_END - 1)),
        ("epoch=another-clusters&offset=5", Resume::Unknown),
    ] {
        let query = Query::parse(raw).unwrap_or_else(|why| panic!("{raw}: {why}"));
        assert_eq!(query.resume, resume, "{raw}");
    }
    for raw in ["epoch=0", "user=a&offset=0&hop=1", "epoch=others"] {
        let BadQuery(message) = Query::parse(raw).unwrap_err();
        let both = message.contains("`epoch`") && message.contains("`offset`");
        assert!(both, "{raw}: {message}");
    }
}

#[test]
fn a_refusal_shows_no_token() {
    for raw in [
        "token=s3cret&token=s3cret",
        "token=s3cret%",
        "token=s3cret%ff",
        "epoch=s3cret.",
    ] {
        let rejection = Rejection::from(Query::parse(raw).unwrap_err());
        assert_eq!(rejection.status, 400);
        assert!(!rejection.message.contains("s3cret"), "{rejection:?}");
    }
}

#[test]
fn onward_keeps_what_is_the_clients_as_it_wrote_it() {
    for (raw, onward) in [
        ("user=alice", "user=alice&hop=1"),
        ("", "hop=1"),
        ("hop=1", "hop=1"),
        ("hop=1&user=a", "user=a&hop=1"),
        (
            "user=a&redirect=http&token=x&ticket=y&z=%2f+%2B",
            "user=a&z=%2f+%2B&hop=1",
        ),
        ("%74oken=x&tok%65n&Token=kept", "Token=kept&hop=1"),
        ("a==b&c&a=2", "a==b&c&a=2&hop=1"),
        ("user=ë#x y\r\n", "user=%C3%AB%23x%20y%0D%0A&hop=1"),
        ("offset=1&user=a&epoch=e", "offset=1&user=a&epoch=e&hop=1"),
    ] {
        assert_eq!(Query::onward(raw), onward, "{raw}");
    }
}

#[test]
fn onward_later_leaves_the_old_position_behind() {
    for (raw, onward) in [
        ("user=alice", "user=alice&hop=1"),
        ("offset=1&user=a&epoch=e", "user=a&hop=1"),
        (
            "%65poch=e&token=t&offse%74=1&Epoch=kept",
            "Epoch=kept&hop=1",
        ),
        ("user=ë&epoch=e&offset=1&z=+&hop", "user=%C3%AB&z=+&hop=1"),
    ] {
        assert_eq!(Query::onward_later(raw), onward, "{raw}");
    }
}

proptest! {
    #[test]
    fn no_query_makes_it_panic(raw in any::<String>()) {
        let _ = Query::parse(&raw);
        for onward in [Query::onward(&raw), Query::onward_later(&raw)] {
            prop_assert!(onward.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn onward_means_the_same_and_is_good_for_the_next_node(
        name in "\\PC{1,30}",
        position in proptest::option::of(("[A-Za-z0-9_-]{1,64}|[1-9a-f]-[1-9a-f]{16}", 0..OFFSET_END)),
        mode in proptest::option::of("http|frame|never"), token in proptest::option::of("[a-z]{1,9}"),
    ) {
        let mut raw = "other=%20&user=".to_owned();
        for byte in name.bytes() {
            write!(raw, "%{byte:02x}").unwrap();
        }
        let (epoch, offset) = position.clone().unzip();
        let offset = offset.map(|offset| offset.to_string());
        for (key, value) in [
            ("epoch", &epoch), ("redirect", &mode), ("token", &token), ("offset", &offset),
        ] {
            if let Some(value) = value {
                write!(raw, "&{key}={value}").unwrap();
            }
        }
        let asked = Query::parse(&raw).unwrap();
        let onward = Query::onward(&raw);
        prop_assert_eq!(asked.resume == Resume::Fresh, position.is_none());
        let expected = Query { hop: true, redirect: None, token: None, ..asked };
        prop_assert_eq!(expected.user.as_ref().map(UserId::as_str), Some(&*name));
        let later = Query { resume: Resume::Fresh, ..expected.clone() };
        prop_assert_eq!(Query::parse(&onward), Ok(expected));
        prop_assert_eq!(Query::parse(&Query::onward_later(&raw)), Ok(later));
        prop_assert_eq!(Query::onward(&onward), onward);
    }

    #[test]
    fn a_broken_escape_is_never_passed_over(
        before in "[a-z=&+]{0,9}", broken in "%|%[0-9a-f]|%[g-z+&=].|%[0-9a-f][g-z&=+%]",
    ) {
        let raw = format!("{before}{broken}");
        prop_assert!(Query::parse(&raw).is_err(), "{}", raw);
    }
}
