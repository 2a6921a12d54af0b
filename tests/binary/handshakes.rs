//! Which protocol is spoken, and what is said instead of a welcome.

use ringpost::proto::server_message::Reply;

use crate::client::{Binary, SUBPROTOCOL};
use crate::support::{Cluster, Handshake, PATIENCE, Signal, wait_until};

#[test]
fn the_client_s_first_choice_is_spoken() {
    let cluster = Cluster::of(1, &[]);
    for (offered, named) in [
        ("ringpost.v1.json, ringpost.v1.proto", "ringpost.v1.json"),
        ("chat, ringpost.v1.proto, ringpost.v1.json", SUBPROTOCOL),
    ] {
        let url = cluster.nodes[0].url("alice");
        let handshake = Handshake::to(&url).header("Sec-WebSocket-Protocol", offered);
        let mut client = handshake.connect().expect("101");
        let answered = client.head.header("sec-websocket-protocol");
        assert_eq!(answered, Some(named), "{offered}");
        let first = client.event(PATIENCE);
        let binary = matches!(first, Some(crate::support::Event::Binary(_)));
        assert_eq!(binary, named == SUBPROTOCOL, "{first:?}");
    }
}

#[test]
fn a_redirect_is_told_in_a_binary_frame() {
    let cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let url = format!("{}&redirect=frame", cluster.nodes[0].url(&bob));
    let (replies, code) = Binary::connect(&url).read_to_close();
    let [Reply::Redirect(redirect)] = &replies[..] else {
        panic!("{replies:?}");
    };
    assert_eq!(code, Some(4307));
    assert_eq!((&*redirect.reason, redirect.after_ms), ("not_owner", None));
    let Reply::Welcome(welcome) = Binary::connect(&redirect.url).next() else {
        panic!("no welcome");
    };
    assert_eq!((welcome.user, &welcome.node), (bob, &cluster.nodes[1].id));
}

#[test]
fn a_refusal_is_told_in_a_binary_frame() {
    let cluster = Cluster::of(1, &[]);
    let url = format!("ws://{}/ws?redirect=frame", cluster.nodes[0].listen);
    let (replies, code) = Binary::connect(&url).read_to_close();
    let [Reply::Error(error)] = &replies[..] else {
        panic!("{replies:?}");
    };
    assert_eq!(code, Some(4501));
    assert_eq!((&*error.code, error.retry), ("not_allowed", false));
}

#[test]
fn a_drain_sends_it_away_with_a_time_to_wait() {
    let mut cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut client = Binary::connect(&cluster.nodes[1].url(&bob));
    assert!(matches!(client.next(), Reply::Welcome(_)));
    cluster.nodes[1].signal(Signal::Terminate);
    let Reply::Redirect(redirect) = client.next() else {
        panic!("no redirect");
    };
    assert_eq!(redirect.reason, "drain");
    assert!(redirect.after_ms.is_some(), "{redirect:?}");
    wait_until(PATIENCE, "there is a welcome elsewhere", || {
        let Reply::Welcome(welcome) = Binary::connect(&redirect.url).next() else {
            panic!("no welcome");
        };
        welcome.node == cluster.nodes[0].id
    });
}
