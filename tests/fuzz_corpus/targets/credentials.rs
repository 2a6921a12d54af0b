//! What a client shows to be let in.

use ringpost::core::handshake::query::Query;

/// Stands around a value, so that no word of ours is taken for it.
const MARK: &str = "qx7";

/// A ticket, as it stands in a query.
pub fn ticket(data: &[u8]) {
    if let Ok(ticket) = std::str::from_utf8(data) {
        never_repeated("ticket", ticket);
    }
}

/// A token, as it stands in a query.
pub fn token(data: &[u8]) {
    if let Ok(token) = std::str::from_utf8(data) {
        never_repeated("token", token);
    }
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
