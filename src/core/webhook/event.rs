//! Something that happened to a user, and how a request says it.

use std::sync::Arc;

use serde::Serialize;

use crate::config::WebhookEvent;
use crate::core::stream::Message;
use crate::id::{Generation, NodeId, SessionId, UserId};

/// What an event counts against the bytes of its lane beside its texts; a guess at its memory.
const EVENT_BYTES: usize = 256;

/// Something that happened to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number at this start of the node, by which it is unique in the cluster for ever.
    pub number: u64,
    /// When it happened, in milliseconds since the Unix epoch.
    pub ts_ms: u64,
    /// To whom.
    pub user: UserId,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A session was welcomed.
    Connected(SessionId),
    /// A session that was welcomed has ended.
    Disconnected(SessionId),
    /// A message was accepted while the user had no session.
    OfflineMessage(Box<Message>),
    /// A message was refused because the user's inbox was full.
    InboxFull(Box<Message>),
}

impl What {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> WebhookEvent {
        match self {
            Self::Connected(_) => WebhookEvent::Connected,
            Self::Disconnected(_) => WebhookEvent::Disconnected,
            Self::OfflineMessage(_) => WebhookEvent::OfflineMessage,
            Self::InboxFull(_) => WebhookEvent::InboxFull,
        }
    }
}

impl Event {
    /// What it counts against the bytes of its lane.
    #[must_use]
    pub fn size(&self) -> usize {
        let message = match &self.what {
            What::Connected(_) | What::Disconnected(_) => 0,
            What::OfflineMessage(message) | What::InboxFull(message) => message.size(),
        };
        EVENT_BYTES + self.user.as_str().len() + message
    }

    fn write(&self, node: &NodeId, generation: Generation, out: &mut Vec<u8>) {
        let (session, message) = match &self.what {
            What::Connected(session) | What::Disconnected(session) => (Some(session), None),
            What::OfflineMessage(message) | What::InboxFull(message) => (None, Some(message)),
        };
        let head = Head {
            kind: self.what.kind().as_str(),
            id: format!("{node}-{generation}-{}", self.number),
            ts: self.ts_ms,
            node: node.as_str(),
            user: self.user.as_str(),
            session: session.map(ToString::to_string),
            from: message.map(|message| message.from()),
            message_id: message.map(|message| message.id()),
        };
        serde_json::to_writer(&mut *out, &head)
            .expect("texts are written into memory without fail");
        if let What::OfflineMessage(message) = &self.what {
            // As it was sent: JSON already, and checked wherever a message comes from.
            out.pop();
            out.extend_from_slice(b",\"body\":");
            out.extend_from_slice(message.body().as_bytes());
            out.push(b'}');
        }
    }
}

/// The fields of an event, in their order; a `body` comes behind them.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    ts: u64,
    node: &'a str,
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
}

/// The body of a request with these events of a node.
#[must_use]
pub fn body(node: &NodeId, generation: Generation, events: &[Arc<Event>]) -> Vec<u8> {
    let bytes = events.iter().map(|event| event.size()).sum();
    let mut out = Vec::with_capacity(bytes);
    out.extend_from_slice(b"{\"events\":[");
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        event.write(node, generation, &mut out);
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64, what: What) -> Arc<Event> {
        Arc::new(Event {
            number,
            ts_ms: 1_732_350_000_123,
            user: UserId::new("bob \"b\"").unwrap(),
            what,
        })
    }

    #[test]
    fn a_body_lists_its_events_and_leaves_the_bodies_of_messages_as_they_are() {
        let from = UserId::new("alice").unwrap();
        let message = Box::new(Message::new(&from, "m1", r#"{"a" : 1.0}"#, 7, false));
        let events = [
            event(1, What::Connected(SessionId(26))),
            event(2, What::OfflineMessage(message.clone())),
            event(3, What::InboxFull(message)),
        ];
        let node = NodeId::new("n1").unwrap();
        let text = String::from_utf8(body(&node, Generation(17), &events)).unwrap();
        let common = r#""ts":1732350000123,"node":"n1","user":"bob \"b\"""#;
        let message = r#""from":"alice","message_id":"m1""#;
        let first = format!(
            r#"{{"type":"connected","id":"n1-17-1",{common},"session":"000000000000001a"}}"#
        );
        let second = format!(
            r#"{{"type":"offline_message","id":"n1-17-2",{common},{message},"body":{{"a" : 1.0}}}}"#
        );
        let third = format!(r#"{{"type":"inbox_full","id":"n1-17-3",{common},{message}}}"#);
        assert_eq!(text, format!(r#"{{"events":[{first},{second},{third}]}}"#));
        assert_eq!(body(&node, Generation(17), &[]), br#"{"events":[]}"#);
    }
}
