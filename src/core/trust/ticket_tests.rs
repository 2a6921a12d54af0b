use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_700_000_000_000;

fn owner(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn key() -> TicketKey {
    TicketKey::new([7; 32])
}

fn alice() -> Principal {
    Principal {
        user: UserId::new("alice").unwrap(),
        expires_at: Some(NOW + 90_000),
        claims: None,
    }
}

fn redeemed(ticket: &str, spent: &mut SpentTickets) -> Result<Principal, BadTicket> {
    key().redeem(ticket, &owner("n2"), NOW, spent)
}

#[test]
fn a_ticket_is_good_once() {
    let mut spent = SpentTickets::default();
    let ticket = key().issue(&alice(), &owner("n2"), NOW + TICKET_MS, [1; 16]);
    assert_eq!(redeemed(&ticket, &mut spent), Ok(alice()));
    assert_eq!(redeemed(&ticket, &mut spent), Err(BadTicket::Spent));
    let another = key().issue(&alice(), &owner("n2"), NOW + TICKET_MS, [2; 16]);
    assert_eq!(redeemed(&another, &mut spent), Ok(alice()));
}

#[test]
fn a_ticket_is_for_one_node_at_one_start() {
    let mut spent = SpentTickets::default();
    let elsewhere = key().issue(&alice(), &owner("n3"), NOW + 1, [1; 16]);
    assert_eq!(redeemed(&elsewhere, &mut spent), Err(BadTicket::Wrong));
    let before = TicketKey::new([8; 32]).issue(&alice(), &owner("n2"), NOW + 1, [1; 16]);
    assert_eq!(redeemed(&before, &mut spent), Err(BadTicket::Wrong));
    assert!(spent.is_empty());
}

#[test]
fn a_ticket_ends_by_itself_and_with_its_token() {
    let mut spent = SpentTickets::default();
    let late = key().issue(&alice(), &owner("n2"), NOW, [1; 16]);
    assert_eq!(redeemed(&late, &mut spent), Err(BadTicket::Expired));
    let expired = Principal {
        expires_at: Some(NOW),
        ..alice()
    };
    let ticket = key().issue(&expired, &owner("n2"), NOW + 1, [1; 16]);
    assert_eq!(redeemed(&ticket, &mut spent), Err(BadTicket::Expired));
    let far = key().issue(&alice(), &owner("n2"), NOW + AHEAD_MS_MAX + 1, [1; 16]);
    assert_eq!(redeemed(&far, &mut spent), Err(BadTicket::Wrong));
}

#[test]
fn claims_go_along_unless_they_are_long() {
    let mut spent = SpentTickets::default();
    let with = |text: &str| {
        let claims = serde_json::json!({"sub": "alice", "role": text});
        Principal {
            claims: Some(Arc::new(claims.as_object().unwrap().clone())),
            expires_at: None,
            ..alice()
        }
    };
    let ticket = key().issue(&with("admin"), &owner("n2"), NOW + 1, [1; 16]);
    assert_eq!(redeemed(&ticket, &mut spent), Ok(with("admin")));
    let long = key().issue(
        &with(&"x".repeat(CLAIMS_BYTES_MAX)),
        &owner("n2"),
        NOW + 1,
        [2; 16],
    );
    let principal = redeemed(&long, &mut spent).unwrap();
    assert_eq!((principal.user.as_str(), principal.claims), ("alice", None));
}

#[test]
fn spent_tickets_are_forgotten_when_they_would_be_refused_anyway() {
    let mut spent = SpentTickets::default();
    for number in 0..10_000_u64 {
        let now = NOW + number * 100;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        spent.spend(nonce, now + TICKET_MS, now).unwrap();
        assert_eq!(
            spent.spend(nonce, now + TICKET_MS, now),
            Err(BadTicket::Spent)
        );
        // Ten a second for thirty seconds are still good.
        assert!(spent.len() <= 2 * SpentTickets::SWEEP_MIN);
    }
}

#[test]
fn a_key_is_not_shown() {
    assert_eq!(format!("{:?}", TicketKey::new([65; 32])), "TicketKey");
}

proptest! {
    #[test]
    fn a_changed_ticket_is_none(at in 0_usize..200, bit in 0_u8..8, user in "[a-z]{1,40}") {
        let principal = Principal { user: UserId::new(&user).unwrap(), ..alice() };
        let ticket = key().issue(&principal, &owner("n2"), NOW + 1, [1; 16]);
        let mut bytes = URL_SAFE_NO_PAD.decode(&ticket).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let changed = URL_SAFE_NO_PAD.encode(&bytes);
        prop_assert_eq!(redeemed(&changed, &mut SpentTickets::default()), Err(BadTicket::Wrong));
        prop_assert_eq!(redeemed(&ticket, &mut SpentTickets::default()), Ok(principal));
    }

    #[test]
    fn no_text_breaks_the_reading(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let mut spent = SpentTickets::default();
        prop_assert!(redeemed(&text, &mut spent).is_err());
        prop_assert!(redeemed(&URL_SAFE_NO_PAD.encode(bytes), &mut spent).is_err());
    }
}
