//! Where clients are sent, and the tickets that they need there.

use std::sync::Mutex;

use super::Dispatch;
use crate::core::handshake::redirect;
use crate::core::trust::ticket::TICKET_MS;
use crate::core::trust::{BadTicket, Principal, SpentTickets, TicketKey};
use crate::core::view::Member;
use crate::id::NodeId;

/// The tickets of one node.
#[derive(Debug)]
pub(super) struct Tickets {
    key: TicketKey,
    spent: Mutex<SpentTickets>,
}

impl Tickets {
    pub(super) fn new(key: TicketKey) -> Self {
        Self {
            key,
            spent: Mutex::default(),
        }
    }
}

impl Dispatch {
    /// The same, where users have to prove who they are. `key` is random.
    #[must_use]
    pub fn with_tickets(mut self, key: TicketKey) -> Self {
        self.tickets = Some(Tickets::new(key));
        self
    }

    /// The key of tickets for this node, to be told to its peers; `None` where users are believed.
    #[must_use]
    pub fn ticket_key(&self) -> Option<&TicketKey> {
        self.tickets.as_ref().map(|tickets| &tickets.key)
    }

    /// Where a client goes on, with the query `onward`, at a node it will come to within `after_ms`. `None`:
    /// users have to prove who they are, and that node's key is not known yet.
    #[must_use]
    pub fn onward_url(
        &self,
        principal: &Principal,
        node: &Member,
        onward: &str,
        after_ms: u64,
    ) -> Option<String> {
        let url = redirect::target_url(&node.url, onward);
        let Some(tickets) = &self.tickets else {
            return Some(url);
        };
        let ends_at = self.unix_ms() + after_ms + TICKET_MS;
        let issue = |key: &TicketKey| key.issue(principal, &node.id, ends_at, rand::random());
        let ticket = if node.id == self.me {
            issue(&tickets.key)
        } else {
            issue(&self.key_of(&node.id)?)
        };
        Some(redirect::with_ticket(&url, &ticket))
    }

    /// Whose ticket this is. It is spent then.
    ///
    /// # Errors
    /// [`BadTicket`]: it is not taken.
    pub fn redeem_ticket(&self, ticket: &str) -> Result<Principal, BadTicket> {
        let tickets = self.tickets.as_ref().ok_or(BadTicket::Wrong)?;
        let spent = &mut super::locked(&tickets.spent);
        tickets.key.redeem(ticket, &self.me, self.unix_ms(), spent)
    }

    fn key_of(&self, node: &NodeId) -> Option<TicketKey> {
        self.topology.load().link(node)?.ticket_key()
    }
}
