//! What a client shows to be let in.

use ringpost::core::handshake::query::Query;
use ringpost::core::trust::{BadTicket, Keyring, SpentTickets, TicketKey, TokenPolicy};
use ringpost::id::NodeId;

/// Around a value, so that no word of ours is taken for it.
const MARK: &str = "qx7";
/// Milliseconds since the Unix epoch.
const NOW: u64 = 1_700_000_000_000;

/// A ticket, as it stands in a query.
pub fn ticket(data: &[u8]) {
    if let Ok(ticket) = std::str::from_utf8(data) {
        never_repeated("ticket", ticket);
        let (key, me) = (TicketKey::new([7; 32]), NodeId::new("n2").expect("an id"));
        let mut spent = SpentTickets::default();
        if let Ok(principal) = key.redeem(ticket, &me, NOW, &mut spent) {
            // Nobody but the key's holder makes one, so it is a seed.
            assert_eq!(principal.user.as_str(), "alice");
            let again = key.redeem(ticket, &me, NOW, &mut spent);
            assert_eq!(again, Err(BadTicket::Spent));
        }
    }
}

/// A token, as it stands in a query.
pub fn token(data: &[u8]) {
    if let Ok(token) = std::str::from_utf8(data) {
        never_repeated("token", token);
        let mut keys = Keyring::default();
        keys.add_secret(&[b's'; 32]).expect("it is long enough");
        let policy = TokenPolicy::default();
        if let Ok(principal) = keys.verify(token, &policy, NOW) {
            assert_eq!(principal.user.as_str(), "alice");
        }
        let marked = format!("{MARK}{token}{MARK}");
        let bad = keys.verify(&marked, &policy, NOW);
        let bad = bad.expect_err("its signature is for other bytes");
        assert!(!bad.to_string().contains(MARK), "{bad}");
    }
    // A file of keys is no secret of ours, and may be anything.
    let _ = Keyring::default().add_file(data);
}

/// The value of the parameter goes nowhere: not on to the owner, and not into what is said of a bad
/// query.
fn never_repeated(name: &str, value: &str) {
    if value.contains('&') {
        return;
    }
    let raw = format!("user=alice&{name}={MARK}{value}{MARK}&epoch=e");
    let onward = Query::onward(&raw);
    assert_eq!(onward, "user=alice&epoch=e&hop=1");
    let bad = Query::parse(&raw).expect_err("half a position");
    assert!(!bad.0.contains(MARK), "{bad}");
}
