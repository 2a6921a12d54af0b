//! All messages that were ever sent, what their senders were told, and who has them.

use std::collections::{BTreeMap, BTreeSet};

use super::scenario::SECOND;
use super::world::Pid;

/// After this every holder has an ack, or the node is not whole: it is copied on the next tick.
const ACK_COPIED: u64 = 5 * SECOND;

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    User(usize),
    Room(usize),
}

/// One message, however often it was sent.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what has become of it is no one state"
)]
pub struct Sent {
    pub id: String,
    /// The client that sends it; of it, the order is kept.
    pub client: usize,
    pub from: usize,
    pub to: Target,
    pub notify: bool,
    /// The session that sends it to a room wants to have it, too.
    pub echo: bool,
    pub attempts: u32,
    pub accepted: bool,
    /// Its sender was told that it was never kept, and has not sent it again.
    pub refused: bool,
    /// It was sent again after somebody said that nobody knows: it may stand behind later ones.
    pub unordered: bool,
    /// Clients that have it.
    pub received: BTreeSet<usize>,
    /// When a client first acked it.
    pub acked_at: Option<u64>,
    /// The node that owned its stream when that ack was seen in the log there, and when that was.
    pub ack_taken: Option<(Pid, u64)>,
    pub delivered: u32,
}

#[derive(Default)]
pub struct Ledger {
    pub messages: Vec<Sent>,
    by_id: BTreeMap<String, usize>,
    /// A node was killed while one that lives may have been taken for dead: together they may have been
    /// all holders of a stream, which then begins anew beside the one that nobody listens to, as in a
    /// split. Order is kept on each side.
    pub torn: bool,
    /// The first thing that must not be.
    pub wrong: Option<String>,
}

impl Ledger {
    pub fn fail(&mut self, text: String) {
        self.wrong.get_or_insert(text);
    }

    pub fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// A client makes a message.
    pub fn make(&mut self, client: usize, from: usize, to: Target, notify: bool) -> usize {
        let number = self.messages.len();
        let id = format!("c{client}-{number}");
        self.by_id.insert(id.clone(), number);
        self.messages.push(Sent {
            id,
            client,
            from,
            to,
            notify,
            echo: true,
            attempts: 0,
            accepted: false,
            refused: false,
            unordered: false,
            received: BTreeSet::new(),
            acked_at: None,
            ack_taken: None,
            delivered: 0,
        });
        number
    }

    pub fn is_sent(&mut self, number: usize) {
        let message = &mut self.messages[number];
        message.attempts += 1;
        message.refused = false;
    }

    pub fn is_accepted(&mut self, number: usize, copies: u64, replicas: usize) {
        let message = &mut self.messages[number];
        message.accepted = true;
        if !(1..=replicas as u64).contains(&copies) {
            self.fail(format!("{} copies of {}", copies, self.messages[number].id));
        }
    }

    /// Its sender was told that it was not kept.
    pub fn is_refused(&mut self, number: usize, code: &str) {
        let message = &mut self.messages[number];
        // Of one that was sent before, on another connection, nobody knows.
        if message.attempts == 1 {
            message.refused = true;
            if !message.received.is_empty() {
                let text = format!("{} was received, and then refused: {code}", message.id);
                self.fail(text);
            }
        }
    }

    /// A client has received something that says it is that message. Says whether it is news.
    pub fn is_received(&mut self, number: usize, client: usize, user: usize, body: usize) -> bool {
        let message = &mut self.messages[number];
        let meant = match message.to {
            Target::User(to) => to == user,
            // Whether it is in there its reader sees.
            Target::Room(_) => true,
        };
        if !meant || body != number || message.attempts == 0 {
            let text = format!("client {client} has {} wrongly: {message:?}", message.id);
            self.fail(text);
            return false;
        }
        if message.refused {
            let text = format!("{} was refused, and arrived", message.id);
            self.fail(text);
            return false;
        }
        message.received.insert(client)
    }

    /// A log says that it is acked.
    pub fn ack_is_taken(&mut self, id: &str, by: Pid, now: u64) {
        if let Some(number) = self.find(id) {
            self.messages[number].ack_taken.get_or_insert((by, now));
        }
    }

    /// A node was killed. Nobody waits for an ack: the last ones may have gone with it.
    pub fn acks_are_lost(&mut self, with: Pid, now: u64) {
        for message in &mut self.messages {
            message.ack_taken =
                (message.ack_taken).filter(|(by, at)| *by != with || at + ACK_COPIED < now);
        }
    }

    pub fn is_delivered(&mut self, id: &str, by: &str) {
        let Some(number) = self.find(id) else {
            return self.fail(format!("a notice of {id}, which nobody has sent"));
        };
        let message = &mut self.messages[number];
        message.delivered += 1;
        if !message.notify
            || message.acked_at.is_none()
            || !matches!(message.to, Target::User(to) if by == format!("u{to}"))
        {
            let text = format!("a notice by {by} that nobody has waited for: {message:?}");
            self.fail(text);
        }
    }
}
