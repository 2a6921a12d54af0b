//! Certificates of a CA.

use ringpost::wire::proto;
use tonic::{Code, Status};

use crate::files::{Ca, give_certificate, peer_file, write};
use crate::peer::{self, Caller};
use crate::support::{Cluster, PATIENCE, wait_until};
use crate::talk::Talk;
use crate::{assert_apart, members};

/// Nodes with certificates of one CA, and one more that is not started.
fn cluster_and_stranger(count: usize, ca: &Ca) -> Cluster {
    let mut cluster = Cluster::reserve(count + 1);
    for index in 0..count {
        give_certificate(&mut cluster, index, ca, ca);
    }
    let members: Vec<usize> = (0..count).collect();
    cluster.start_in_order(&members);
    cluster.wait_settled(3 * PATIENCE);
    cluster
}

/// What the three calls of a peer are answered.
async fn three_calls(
    client: &mut proto::peer_client::PeerClient<tonic::transport::Channel>,
    caller: &Caller,
    author: &str,
) -> [Result<(), Status>; 3] {
    let batches = tokio_stream::once(caller.batch());
    [
        client.gossip(caller.packet(author)).await.map(drop),
        client.exchange(caller.exchange(author)).await.map(drop),
        client.link(batches).await.map(drop),
    ]
}

fn codes(answers: &[Result<(), Status>]) -> Vec<Code> {
    let code =
        |answer: &Result<(), Status>| answer.as_ref().map_or_else(Status::code, |()| Code::Ok);
    answers.iter().map(code).collect()
}

#[test]
fn nodes_of_one_ca_are_a_cluster_and_messages_flow() {
    let ca = Ca::new("ours");
    let cluster = cluster_and_stranger(3, &ca);
    let talk = Talk::begin(&cluster, 2, 0);
    talk.goes_on();
    talk.end();
}

#[test]
fn a_node_of_another_ca_stays_alone_and_learns_nothing() {
    let (ours, theirs) = (Ca::new("ours"), Ca::new("theirs"));
    let mut cluster = cluster_and_stranger(2, &ours);
    // It would believe the others.
    give_certificate(&mut cluster, 2, &ours, &theirs);
    cluster.nodes[2].start();
    wait_until(PATIENCE, "the others have refused it", || {
        cluster.nodes[0].metric("ringpost_peer_tls_errors_total") > 0
    });
    assert_apart(&cluster, 2);
}

#[test]
fn a_certificate_is_good_for_its_own_node_and_no_other() {
    let ca = Ca::new("ours");
    let cluster = cluster_and_stranger(1, &ca);
    let node = &cluster.nodes[0];
    let n2 = ca.certify("n2");
    peer::runtime().block_on(async {
        let connected = peer::with_certificate(node, &ca, Some(&n2)).await;
        let mut client = connected.expect("the certificate is good");
        let denied = [Code::PermissionDenied; 3];
        let as_another = three_calls(&mut client, &Caller::new("n3"), "n3").await;
        assert_eq!(codes(&as_another), denied);
        let about_another = three_calls(&mut client, &Caller::new("n2"), "n3").await;
        assert_eq!(
            codes(&about_another)[..2],
            denied[..2],
            "it speaks as another"
        );
        assert_eq!(members(node), ["n1"]);
        let as_itself = three_calls(&mut client, &Caller::new("n2"), "n2").await;
        assert_eq!(codes(&as_itself), [Code::Ok; 3]);
    });
    wait_until(PATIENCE, "it is a member", || members(node).len() == 2);
    assert!(node.metric("ringpost_peers_refused_total") >= 5);
}

#[test]
fn nobody_is_heard_without_a_certificate() {
    let (ca, theirs) = (Ca::new("ours"), Ca::new("theirs"));
    let cluster = cluster_and_stranger(1, &ca);
    let foreign = theirs.certify("n2");
    peer::runtime().block_on(async {
        for own in [None, Some(&foreign)] {
            let refused = match peer::with_certificate(&cluster.nodes[0], &ca, own).await {
                Ok(mut client) => client.exchange(Caller::new("n2").exchange("n2")).await,
                Err(status) => Err(status),
            };
            let status = refused.expect_err("it is nobody");
            assert_ne!(
                status.code(),
                Code::PermissionDenied,
                "it gets that far: {status}"
            );
        }
    });
    assert_eq!(members(&cluster.nodes[0]), ["n1"]);
}

/// The record of a node leads to the address of another one, whose certificate is as good.
#[test]
fn a_link_is_to_the_node_that_was_called() {
    let ca = Ca::new("ours");
    let cluster = cluster_and_stranger(2, &ca);
    let [n1, n2] = &cluster.nodes[..2] else {
        unreachable!()
    };
    let n9 = ca.certify("n9");
    let mut exchange = Caller::new("n9").exchange("n9");
    let from = exchange
        .from
        .as_mut()
        .and_then(|from| from.identity.as_mut());
    from.expect("it is there").peer = n2.peer.to_string();
    peer::runtime().block_on(async {
        let connected = peer::with_certificate(n1, &ca, Some(&n9)).await;
        let mut client = connected.expect("the certificate is good");
        client.exchange(exchange).await.expect("it is a member");
    });
    wait_until(PATIENCE, "the link was refused", || {
        n1.log_text().contains("and n9 was called")
    });
    assert_eq!(n1.metric("ringpost_links_connected"), 1, "to n2 alone");
}

#[test]
fn a_node_does_not_start_with_the_certificate_of_another() {
    let ca = Ca::new("ours");
    let mut cluster = Cluster::reserve(1);
    give_certificate(&mut cluster, 0, &ca, &ca);
    let other = ca.certify("n2");
    write(&peer_file(&cluster, 0, "cert"), &other.certificate);
    write(&peer_file(&cluster, 0, "key"), &other.key);
    let output = cluster.nodes[0]
        .command()
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("--peer-cert") && said.contains("this node, n1"),
        "{said}"
    );
}
