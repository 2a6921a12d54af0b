//! What a client can be told, with its defaults.

use std::fmt;
use std::time::Duration;

use hyper::header::HeaderValue;

use super::error::Error;
use super::event::Position;
use super::tls::RootCertificates;

/// Who the client is, where it begins, and its bounds.
///
/// ```
/// use ringpost::client::Options;
///
/// let mut options = Options::for_user("alice");
/// options.also.push("ws://127.0.0.1:7002".to_owned());
/// options.auto_ack = false;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Goes into `?user=`. May be `None` where a token says who it is.
    pub user: Option<String>,
    /// Goes into `Authorization: Bearer`, to the nodes that were given and to no other: where a
    /// node redirects to, its ticket counts.
    pub token: Option<Token>,
    /// More nodes, tried in turn with the first one.
    pub also: Vec<String>,
    /// Whose signatures on the certificates of `wss://` nodes are believed.
    pub root_certificates: RootCertificates,
    /// Where to go on; `None`: at the first message that is not acked.
    pub resume: Option<Position>,
    /// Take redirects. Without, the client asks to be served where it is (`redirect=never`), as it
    /// must where the nodes stand behind one address.
    pub follow_redirects: bool,
    /// Go on trying when no node answers at the start. Without, [`Client::connect`] gives up when
    /// each was tried once.
    ///
    /// [`Client::connect`]: super::Client::connect
    pub keep_trying: bool,
    /// Ack messages that were handed to the program, at most one ack every 100 ms or 64 messages.
    pub auto_ack: bool,
    /// Requests without a receipt; the next one waits. 1 or more. After a break all of them are sent again at
    /// once, so it is best below what a node takes in one burst (`--message-burst`).
    pub outstanding_max: usize,
    /// Events that wait for the program. With so many nothing more is read. 1 or more.
    pub events_ahead: usize,
    /// Names of messages by which repeats are dropped, for the inbox, for each room and for what goes
    /// to everyone; the oldest are forgotten. More than can come again after a break: a guess.
    pub seen_max: usize,
    /// From the beginning of a connection to its welcome.
    pub connect_timeout: Duration,
    /// What [`Client::close`](super::Client::close) waits for receipts.
    pub close_timeout: Duration,
    /// Least wait before a connection is tried again.
    pub backoff_min: Duration,
    /// Longest wait before the first new try. Each is drawn at random (full jitter), and the
    /// longest doubles with every failure. Clients that lost the same node come back spread over
    /// this time.
    pub backoff_first: Duration,
    /// Longest wait of all. Over `backoff_min` and `backoff_first`.
    pub backoff_max: Duration,
    /// Largest message that is read, in bytes.
    pub message_bytes_max: usize,
}

impl Options {
    /// The defaults, for a client that has a token.
    #[must_use]
    pub fn new() -> Self {
        Self {
            user: None,
            token: None,
            also: Vec::new(),
            root_certificates: RootCertificates::system(),
            resume: None,
            follow_redirects: true,
            keep_trying: false,
            auto_ack: true,
            outstanding_max: 512,
            events_ahead: 256,
            seen_max: 8192,
            connect_timeout: Duration::from_secs(15),
            close_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(20),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            message_bytes_max: 16 * 1024 * 1024,
        }
    }

    /// The defaults, for this user.
    #[must_use]
    pub fn for_user(user: &str) -> Self {
        Self {
            user: Some(user.to_owned()),
            ..Self::new()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// A secret that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The value of `Authorization`.
    ///
    /// # Errors
    /// [`Error::Token`]: it has characters that cannot stand in a header.
    pub fn authorization(&self) -> Result<HeaderValue, Error> {
        let value = HeaderValue::from_str(&format!("Bearer {}", self.0));
        let mut value = value.map_err(|_| Error::Token)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How sure a delivery is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Qos {
    /// qos 0: to whoever is there, and never twice.
    AtMostOnce,
    /// qos 1: kept for who is not, and sent again by the client after a break, under the same id.
    #[default]
    AtLeastOnce,
}

/// How one message is sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SendOptions {
    /// How sure its delivery is to be. What goes to everyone goes at most once, whatever stands
    /// here.
    pub qos: Qos,
    /// Tell me when it was delivered ([`Event::Delivered`](super::Event::Delivered)).
    pub notify: bool,
    /// If it goes to a room that I am in, I want to receive it, too.
    pub echo: bool,
    /// 1 to 64 bytes, unique for ever. `None`: 128 random bits.
    pub id: Option<String>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            qos: Qos::default(),
            notify: false,
            echo: true,
            id: None,
        }
    }
}

impl SendOptions {
    /// At most once.
    #[must_use]
    pub fn at_most_once() -> Self {
        Self {
            qos: Qos::AtMostOnce,
            ..Self::default()
        }
    }

    /// Not to me, should I be in the room.
    #[must_use]
    pub fn without_echo(mut self) -> Self {
        self.echo = false;
        self
    }

    /// With this id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let mut options = Options::new();
        options.token = Some("secret".into());
        assert!(!format!("{options:?}").contains("secret"));
    }
}
