//! A secret, or a CA, takes the place of another while the cluster runs and its users talk.

use std::path::Path;
use std::time::Duration;

use crate::assert_apart;
use crate::files::{Ca, give_certificate, give_secrets, peer_file, secret, secret_file, write};
use crate::support::{Cluster, Node, PATIENCE, wait_until};
use crate::talk::Talk;

/// How long a message may take while links are made anew: some attempts at it.
const RECONNECT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 3 });

/// Changes a file of a running node and waits until the node has seen that, for better or worse.
#[track_caller]
fn change(node: &Node, file: &Path, text: &str) {
    let seen = || {
        let of = |name: &str| node.metric(&format!("ringpost_{name}_total"));
        of("key_reloads") + of("key_reload_errors")
    };
    let before = seen();
    write(file, text);
    let what = format!("{} has read {}", node.id, file.display());
    wait_until(PATIENCE, &what, || seen() > before);
}

#[track_caller]
fn assert_whole(cluster: &Cluster) {
    cluster.wait_agreed(PATIENCE);
    let what = "every node has its links";
    wait_until(RECONNECT, what, || {
        cluster
            .running()
            .all(|node| node.metric("ringpost_links_connected") == 2)
    });
}

#[track_caller]
fn assert_nobody_noticed(cluster: &Cluster, talk: Talk) {
    wait_until(PATIENCE, "every link was made anew", || {
        let links = |node: &Node| node.log_text().matches("link is up").count();
        cluster.running().all(|node| links(node) >= 4)
    });
    // A node looks at its connections a moment after it has read the file.
    wait_until(PATIENCE, "every node has ended some itself", || {
        let ended = "no longer accepted: its connection ends";
        let has_ended = |node: &Node| node.log_text().contains(ended);
        cluster.running().all(has_ended)
    });
    assert_whole(cluster);
    talk.goes_on();
    let (sent, longest) = talk.end();
    assert!(sent > 100, "{sent}");
    assert!(longest < RECONNECT, "a message took {longest:?}");
    for node in cluster.running() {
        let log = node.log_text();
        assert!(!log.contains("another generation"), "{log}");
    }
}

#[test]
fn a_secret_is_changed_node_by_node_while_users_talk() {
    let (old, new) = (secret("old"), secret("new"));
    let mut cluster = Cluster::reserve(4);
    for index in 0..3 {
        give_secrets(&mut cluster, index, std::slice::from_ref(&old));
    }
    cluster.start_in_order(&[0, 1, 2]);
    cluster.wait_settled(3 * PATIENCE);
    let talk = Talk::begin(&cluster, 0, 1);
    for step in [
        format!("{old}\n{new}\n"),
        format!("{new}\n{old}\n"),
        format!("{new}\n"),
    ] {
        for index in 0..3 {
            change(&cluster.nodes[index], &secret_file(&cluster, index), &step);
            talk.goes_on();
        }
        assert_whole(&cluster);
    }
    assert_nobody_noticed(&cluster, talk);
    give_secrets(&mut cluster, 3, std::slice::from_ref(&old));
    cluster.nodes[3].start();
    wait_until(PATIENCE, "the old secret is refused", || {
        cluster.nodes[3].metric("ringpost_peer_tls_errors_total") > 0
    });
    assert_apart(&cluster, 3);
}

#[test]
fn a_ca_is_changed_file_by_file_while_users_talk() {
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let mut cluster = Cluster::reserve(3);
    for index in 0..3 {
        give_certificate(&mut cluster, index, &old, &old);
    }
    cluster = cluster.started();
    let talk = Talk::begin(&cluster, 0, 1);
    let change_all = |kind: &str, text: &str| {
        for (index, node) in cluster.nodes.iter().enumerate() {
            change(node, &peer_file(&cluster, index, kind), text);
            talk.goes_on();
        }
        assert_whole(&cluster);
    };
    change_all("ca", &format!("{}{}", old.pem, new.pem));
    for (index, node) in cluster.nodes.iter().enumerate() {
        let certified = new.certify(&node.id);
        // Until the key has come, too, what was there before stays.
        change(
            node,
            &peer_file(&cluster, index, "cert"),
            &certified.certificate,
        );
        assert_eq!(node.metric("ringpost_key_reload_errors_total"), 1);
        let unusable = || node.metric("ringpost_key_files_unusable");
        wait_until(PATIENCE, "the pair is stale", || unusable() == 1);
        talk.goes_on();
        change(node, &peer_file(&cluster, index, "key"), &certified.key);
        assert_eq!(node.metric("ringpost_key_reload_errors_total"), 1);
        assert_eq!(unusable(), 0);
        talk.goes_on();
    }
    assert_whole(&cluster);
    change_all("ca", &new.pem);
    assert_nobody_noticed(&cluster, talk);
}

#[test]
fn a_secret_that_cannot_be_used_changes_nothing() {
    let ours = secret("ours");
    let mut cluster = Cluster::reserve(2);
    for index in 0..2 {
        give_secrets(&mut cluster, index, std::slice::from_ref(&ours));
    }
    let cluster = cluster.started();
    change(&cluster.nodes[0], &secret_file(&cluster, 0), "too-short");
    assert_eq!(
        cluster.nodes[0].metric("ringpost_key_reload_errors_total"),
        1
    );
    // It is counted before it is said.
    wait_until(PATIENCE, "it is said why", || {
        cluster.nodes[0].log_text().contains("fewer than 32")
    });
    let log = cluster.nodes[0].log_text();
    assert!(!log.contains("too-short"), "{log}");
    cluster.wait_agreed(PATIENCE);
}
