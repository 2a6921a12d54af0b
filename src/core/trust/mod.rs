//! Whom to believe: tokens that somebody else has signed ([`token`]), and tickets that one node gives
//! for another ([`ticket`]).
//!
//! *Invariant:* nothing here, and no error of it, shows a token, a ticket or a key.

pub mod ticket;
pub mod token;

use std::fmt;
use std::sync::Arc;

use crate::id::UserId;

pub use ticket::{BadTicket, SpentTickets, TicketKey};
pub use token::{Keyring, TokenError, TokenPolicy};

/// What a token says beside its user.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// A user who has proved to be one, or who is believed without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who it is.
    pub user: UserId,
    /// When the proof loses its force, in milliseconds since the Unix epoch; `None`: never.
    pub expires_at: Option<u64>,
    /// What the token says; `None` where none was shown.
    pub claims: Option<Arc<Claims>>,
}

impl Principal {
    /// Somebody who is believed without a proof.
    #[must_use]
    pub fn believed(user: UserId) -> Self {
        Self {
            user,
            expires_at: None,
            claims: None,
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to look at it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}
