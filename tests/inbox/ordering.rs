//! Many messages at once.

use std::collections::HashMap;

use crate::session_at;
use crate::support::client::outcome;
use crate::support::{Cluster, Position};

const COUNT: usize = 500;

#[test]
fn messages_sent_without_waiting_keep_their_order_and_get_one_receipt_each() {
    // Sessions that are not read answer no ping.
    let cluster = Cluster::of(3, &["--heartbeat-interval", "10m"]);
    let bob = cluster.user_of(1, "bob");
    let (mut home, _) = session_at(&cluster, 1, &bob, "");
    let (mut guest, _) = session_at(&cluster, 2, &bob, "");
    let names = ["alice", "carol"];
    std::thread::scope(|scope| {
        let (cluster, bob) = (&cluster, &bob);
        for (name, index) in names.iter().zip([0, 1]) {
            scope.spawn(move || {
                let (mut sender, _) = session_at(cluster, index, name, "");
                for number in 0..COUNT {
                    sender.send_kept(bob, &format!("m{number}"), &number.to_string());
                }
                // In the order of the sends, since all are of one session and one recipient.
                for number in 0..COUNT {
                    let receipt = sender.expect("receipt");
                    assert_eq!(receipt["id"], format!("m{number}"), "{receipt}");
                    assert_eq!(outcome(&receipt), "accepted", "{receipt}");
                    assert!(receipt.get("duplicate").is_none(), "{receipt}");
                }
                sender.assert_quiet_and_alive();
            });
        }
    });
    let mut next: HashMap<String, usize> = HashMap::new();
    let mut last = 0;
    for _ in 0..names.len() * COUNT {
        let message = home.expect("message");
        assert_eq!(message, guest.expect("message"), "both see one order");
        let offset = Position::of(&message).offset;
        assert!(offset > last, "{offset} after {last}");
        last = offset;
        let from = message["from"].as_str().expect("a name").to_owned();
        let number = next.entry(from).or_default();
        assert_eq!(message["body"], *number, "{message}");
        *number += 1;
    }
    assert_eq!(next, names.map(|name| (name.to_owned(), COUNT)).into());
    home.assert_quiet_and_alive();
    guest.assert_quiet_and_alive();
}
