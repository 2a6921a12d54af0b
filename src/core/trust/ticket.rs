//! Tickets: one node's word to another that a user has shown a token.
//!
//! A client that is redirected gets one in its new URL instead of its token, since most libraries drop
//! the `Authorization` of a request that goes to another host, and others show it to anybody. A ticket is
//! good for a short time, once, at one node, for one user.
//!
//! The key is the *owner's*, made anew at every start and told to the other nodes over their links. So
//! what the owner remembers of spent tickets, in memory, covers all tickets that it would take.
//!
//! Layout, before base64url (RFC 4648, section 5, no padding): version 1 (1 byte), the ticket's end (8,
//! milliseconds since the Unix epoch, big-endian), the token's end (8, likewise, all ones: never), a nonce (16),
//! HMAC-SHA256 (32) of a label and all but itself, the length of the user id (2), the user id, the
//! token's claims in JSON or nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{Claims, Principal};
use crate::id::{NodeId, UserId};

/// How long a ticket is good, in milliseconds.
pub const TICKET_MS: u64 = 30_000;
/// How far a ticket's end may lie ahead, in milliseconds: [`TICKET_MS`], the longest spread of a drain, and
/// clocks that differ.
const AHEAD_MS_MAX: u64 = 25 * 60 * 60 * 1000;
/// Bytes of claims that a ticket carries; one with more carries none. It stands in a URL.
const CLAIMS_BYTES_MAX: usize = 2048;
/// Spent tickets that are remembered at most; past it tickets are refused, and tokens still work. Each costs
/// about 50 bytes.
const SPENT_MAX: usize = 1_000_000;

const VERSION: u8 = 1;
const LABEL: &[u8] = b"ringpost ticket 1\0";
const NONCE_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
const NEVER: u64 = u64::MAX;

/// Makes and checks the tickets for one node.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey([u8; 32]);

/// Why a ticket is not taken. The client's token is not concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTicket {
    /// It is none, or was made for another node or another start of this one.
    #[error("the ticket is not for this node; start again with a token")]
    Wrong,
    /// Its time is over, or its token's.
    #[error("the ticket has expired; start again with a token")]
    Expired,
    /// It was used before.
    #[error("the ticket was used before; start again with a token")]
    Spent,
    /// Too many were used in a short time.
    #[error("too many tickets in a short time; start again with a token")]
    TooMany,
}

impl TicketKey {
    /// A key of these random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key as another node has sent it; `None` if it cannot be one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The key, to be sent to another node.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A ticket at `owner`, good until `ends_at` (milliseconds since the Unix epoch). No two may have the same
    /// nonce.
    #[must_use]
    pub fn issue(
        &self,
        principal: &Principal,
        owner: &NodeId,
        ends_at: u64,
        nonce: [u8; NONCE_BYTES],
    ) -> String {
        let user = principal.user.as_str().as_bytes();
        let mut tail = u16::try_from(user.len())
            .expect("a user id is short")
            .to_be_bytes()
            .to_vec();
        tail.extend_from_slice(user);
        if let Some(claims) = &principal.claims {
            let claims = serde_json::to_vec(&**claims).expect("claims have a JSON form");
            if claims.len() <= CLAIMS_BYTES_MAX {
                tail.extend_from_slice(&claims);
            }
        }
        let mut ticket = vec![VERSION];
        ticket.extend_from_slice(&ends_at.to_be_bytes());
        ticket.extend_from_slice(&principal.expires_at.unwrap_or(NEVER).to_be_bytes());
        ticket.extend_from_slice(&nonce);
        let mac = self.mac(owner, &ticket, &tail).finalize().into_bytes();
        ticket.extend_from_slice(&mac);
        ticket.extend_from_slice(&tail);
        URL_SAFE_NO_PAD.encode(ticket)
    }

    /// Whose ticket this is, which is then spent. `owner` is this node.
    ///
    /// # Errors
    /// [`BadTicket`]: it is not taken.
    pub fn redeem(
        &self,
        ticket: &str,
        owner: &NodeId,
        now: u64,
        spent: &mut SpentTickets,
    ) -> Result<Principal, BadTicket> {
        let bytes = URL_SAFE_NO_PAD.decode(ticket);
        let bytes = bytes.map_err(|_| BadTicket::Wrong)?;
        let parts = Parts::of(&bytes).ok_or(BadTicket::Wrong)?;
        // In constant time.
        (self
            .mac(owner, parts.head, parts.tail)
            .verify_slice(parts.mac))
        .map_err(|_| BadTicket::Wrong)?;
        if parts.ends_at <= now || parts.token_ends_at <= now {
            return Err(BadTicket::Expired);
        }
        if parts.ends_at > now.saturating_add(AHEAD_MS_MAX) {
            return Err(BadTicket::Wrong);
        }
        let principal = parts.principal().ok_or(BadTicket::Wrong)?;
        spent.spend(parts.nonce, parts.ends_at, now)?;
        Ok(principal)
    }

    fn mac(&self, owner: &NodeId, head: &[u8], tail: &[u8]) -> Hmac<Sha256> {
        let owner = owner.as_str().as_bytes();
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(LABEL);
        // An id has no zero byte, and the head has one length.
        mac.update(owner);
        mac.update(&[0]);
        mac.update(head);
        mac.update(tail);
        mac
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey")
    }
}

/// A ticket, taken apart.
struct Parts<'a> {
    head: &'a [u8],
    ends_at: u64,
    token_ends_at: u64,
    nonce: [u8; NONCE_BYTES],
    mac: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (ends_at, rest) = rest.split_first_chunk()?;
        let (token_ends_at, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let head = &bytes[..bytes.len() - rest.len()];
        let (mac, tail) = rest.split_first_chunk::<MAC_BYTES>()?;
        (*version == VERSION).then_some(Self {
            head,
            ends_at: u64::from_be_bytes(*ends_at),
            token_ends_at: u64::from_be_bytes(*token_ends_at),
            nonce: *nonce,
            mac,
            tail,
        })
    }

    fn principal(&self) -> Option<Principal> {
        let (length, rest) = self.tail.split_first_chunk()?;
        let (user, claims) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let user = UserId::new(std::str::from_utf8(user).ok()?).ok()?;
        let claims = match claims {
            [] => None,
            claims => Some(Arc::new(serde_json::from_slice::<Claims>(claims).ok()?)),
        };
        Some(Principal {
            user,
            expires_at: Some(self.token_ends_at).filter(|at| *at != NEVER),
            claims,
        })
    }
}

/// The tickets that were used and would still be good.
#[derive(Debug)]
pub struct SpentTickets {
    /// Each ticket's end, by its nonce.
    tickets: HashMap<[u8; NONCE_BYTES], u64>,
    /// At this number those whose time is over are forgotten.
    sweep_at: usize,
}

impl Default for SpentTickets {
    fn default() -> Self {
        Self {
            tickets: HashMap::new(),
            sweep_at: Self::SWEEP_MIN,
        }
    }
}

impl SpentTickets {
    const SWEEP_MIN: usize = 1024;

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    fn spend(&mut self, nonce: [u8; NONCE_BYTES], ends_at: u64, now: u64) -> Result<(), BadTicket> {
        if self.tickets.len() >= self.sweep_at {
            self.tickets.retain(|_, ends_at| *ends_at > now);
            self.tickets.shrink_to(Self::SWEEP_MIN);
            self.sweep_at = (self.tickets.len() * 2).clamp(Self::SWEEP_MIN, SPENT_MAX);
        }
        if self.tickets.contains_key(&nonce) {
            return Err(BadTicket::Spent);
        }
        if self.tickets.len() >= SPENT_MAX {
            return Err(BadTicket::TooMany);
        }
        self.tickets.insert(nonce, ends_at);
        Ok(())
    }
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
