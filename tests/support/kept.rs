//! Messages that are kept (qos 1), as a client sends, gets, acks and resumes them.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, outcome};

/// A sender is told the outcome within this, whatever happens to nodes.
pub const RECEIPT: Duration = Duration::from_secs(20);

/// A `send` of the default qos with a body that goes out as it is.
pub fn kept_text(user: &str, id: &str, body: &str) -> String {
    let (user, id) = (json!(user), json!(id));
    format!(r#"{{"type":"send","id":{id},"to":{{"user":{user}}},"body":{body}}}"#)
}

/// A place in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub epoch: String,
    pub offset: u64,
}

impl Position {
    /// That of a `welcome` or a kept `message`.
    ///
    /// # Panics
    /// When it has none.
    #[track_caller]
    pub fn of(message: &Value) -> Self {
        let epoch = message["epoch"].as_str();
        let epoch = epoch.unwrap_or_else(|| panic!("no epoch: {message}"));
        let offset = message["offset"].as_u64();
        Self {
            epoch: epoch.to_owned(),
            offset: offset.unwrap_or_else(|| panic!("no offset: {message}")),
        }
    }

    /// What a client adds to a URL to go on from here.
    pub fn query(&self) -> String {
        format!("&epoch={}&offset={}", self.epoch, self.offset)
    }

    /// The `ack` of everything up to here.
    pub fn ack(&self) -> Value {
        json!({"type":"ack","stream":"inbox","epoch":self.epoch,"offset":self.offset})
    }
}

impl Client {
    /// Sends a message that is to be kept; `body` goes out as it is.
    #[track_caller]
    pub fn send_kept(&mut self, user: &str, id: &str, body: &str) {
        self.send_text(&kept_text(user, id, body));
    }

    /// Sends a message that is to be kept and waits for its receipt.
    #[track_caller]
    pub fn keep(&mut self, user: &str, id: &str, body: &str) -> Value {
        self.send_kept(user, id, body);
        self.reply_to(id, RECEIPT)
    }

    /// As [`Self::keep`]; it must be accepted. Returns how many copies there are.
    #[track_caller]
    pub fn keep_accepted(&mut self, user: &str, id: &str, body: &str) -> u64 {
        let receipt = self.keep(user, id, body);
        assert_eq!(outcome(&receipt), "accepted", "{receipt}");
        let copies = receipt["copies"].as_u64();
        copies.unwrap_or_else(|| panic!("no copies: {receipt}"))
    }

    /// Acks everything up to this message, or this `welcome`.
    #[track_caller]
    pub fn ack(&mut self, message: &Value) {
        self.send_json(&Position::of(message).ack());
    }

    /// The next things that come are messages with these ids; returns them.
    #[track_caller]
    pub fn expect_messages(&mut self, ids: &[&str]) -> Vec<Value> {
        let messages = ids.iter().map(|id| {
            let message = self.expect("message");
            assert_eq!(message["id"], *id, "{message}");
            message
        });
        messages.collect()
    }
}
