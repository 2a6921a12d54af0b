//! What can go wrong: with a connection, and with a single request.

use std::sync::Arc;
use std::time::Duration;

use super::address::{InvalidTarget, Target};

/// Why there is no connection. A client that has one of these as its end does not try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A URL that was given is of no use. Nothing was tried.
    #[error("{url}: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: InvalidTarget,
    },
    /// Neither a user nor a token was given. Nothing was tried.
    #[error("a client needs a user or a token")]
    Nobody,
    /// The token has characters that no header can carry. Nothing was tried.
    #[error("the token has characters that no header can carry")]
    Token,
    /// No TCP connection, or no TLS over it.
    #[error("cannot connect to {node}: {reason}")]
    Connect {
        /// Where to.
        node: Target,
        /// The system's number for the failure, if it has one.
        os_error: Option<i32>,
        /// The system's reason.
        reason: String,
    },
    /// No welcome in time.
    #[error("{node} did not answer within {after:?}")]
    Timeout {
        /// Who did not.
        node: Target,
        /// The time it had.
        after: Duration,
    },
    /// Whoever answered is no Ringpost node, or speaks something else.
    #[error("{node} {reason}")]
    Strange {
        /// Who answered.
        node: Target,
        /// What it did, as the rest of a sentence that begins with the node.
        reason: String,
    },
    /// An HTTP status that is neither a welcome nor a redirect.
    #[error("{node} answered {answer}")]
    Refused {
        /// Who answered.
        node: Target,
        /// The status.
        status: u16,
        /// The status and what the body says, in one line.
        answer: String,
    },
    /// An `error` in place of the welcome.
    #[error("{node} refused: {code}, {message}")]
    Rejected {
        /// Who refused.
        node: Target,
        /// One of the protocol's error codes.
        code: String,
        /// A sentence.
        message: String,
    },
    /// More redirects in a row than any cluster makes.
    #[error("{node} redirected more than {redirects} times")]
    TooManyRedirects {
        /// Where it began.
        node: Target,
        /// How many were followed.
        redirects: u8,
    },
    /// A redirect that cannot be followed.
    #[error("a redirect to {url:?}, which is no ws:// or http:// URL")]
    BadRedirect {
        /// Where to, without its query, which may be secret.
        url: String,
    },
    /// The server closed the connection.
    #[error("{node} closed the connection with {code}{}{reason}", if .reason.is_empty() { "" } else { ": " })]
    Closed {
        /// Who closed.
        node: Target,
        /// The close code. 1005 stands for a close without one.
        code: u16,
        /// The reason it gave; may be empty.
        reason: String,
    },
    /// The connection ended without a close, or was silent for too long.
    #[error("the connection to {node} broke: {reason}")]
    Broken {
        /// The other end.
        node: Target,
        /// What was seen of it.
        reason: String,
    },
    /// The program closed the client.
    #[error("the client was closed")]
    ByProgram,
}

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The cluster says so. [`Failure::definite`] says whether it may have been delivered all the same.
    #[error("{}: {}{}", .0.code, .0.message, doubt(.0.definite))]
    Failed(Box<Failure>),
    /// The connection ended before the receipt came, and it is not to be repeated (qos 0), or the
    /// client has ended. It may or may not have been delivered.
    #[error("it may or may not have been delivered: {0}")]
    Unknown(Error),
    /// The client has ended. Definite: it was never sent.
    #[error("not sent: {0}")]
    NotSent(Error),
    /// The node takes no message of this size.
    #[error("the message has {bytes} bytes, and the node takes {bytes_max}{}", doubt(*.definite))]
    TooLarge {
        /// Bytes of the whole message, envelope included.
        bytes: usize,
        /// The node's limit.
        bytes_max: usize,
        /// Whether it was never sent: a node of an earlier connection may have taken it.
        definite: bool,
    },
    /// An id must have 1 to 64 bytes. Nothing was sent.
    #[error("an id must have 1 to 64 bytes")]
    InvalidId,
    /// A request under this id still waits for its receipt. The one that waits is not touched.
    #[error("a request under this id still waits for its receipt")]
    IdInUse,
    /// The body cannot be written as JSON. Nothing was sent.
    #[error("the body cannot be written as JSON: {0}")]
    Body(String),
}

/// A receipt `failed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One of the protocol's error codes, such as `offline`.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// Whether the very same request may succeed later. The client does not repeat it by itself.
    pub retry: bool,
    /// Whether it is certain that nothing was delivered. It is not with the code `unknown`, nor if the
    /// request was sent on an earlier connection, too, whose receipt is missing.
    pub definite: bool,
    /// The receipt as it came, in JSON.
    pub json: Arc<str>,
}

impl Failure {
    /// A reply of another kind than was asked for, which no node gives.
    pub(super) fn odd(json: &str) -> Self {
        Self {
            code: "unknown".to_owned(),
            message: "the reply is of another kind than the request".to_owned(),
            retry: false,
            definite: false,
            json: json.into(),
        }
    }
}

impl SendError {
    /// Whether it is certain that nothing was delivered of this request, on whichever connection it was
    /// sent. What became of an earlier request under the same id is not in it.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Failed(failure) => failure.definite,
            Self::TooLarge { definite, .. } => *definite,
            Self::Unknown(_) => false,
            Self::NotSent(_) | Self::InvalidId | Self::IdInUse | Self::Body(_) => true,
        }
    }
}

/// The end of a sentence about what was not delivered.
fn doubt(definite: bool) -> &'static str {
    if definite {
        ""
    } else {
        "; it may have been delivered all the same"
    }
}
