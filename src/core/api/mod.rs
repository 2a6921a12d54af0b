//! The HTTP API for backends: what is asked for, what is answered. Pure: a method, a path and a body
//! in, a status and a body out.

pub mod order;
pub mod reply;
pub mod route;

use crate::error::ErrorCode;

/// Most messages in one request.
pub const BATCH_MESSAGES_MAX: usize = 1000;
/// Largest body of a request, in bytes, unless one message may be larger.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The largest body of a request where one message may have `message_bytes_max`.
#[must_use]
pub fn body_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max.max(BODY_BYTES_MAX)
}

/// Why a request is not acted on at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// Why.
    pub code: ErrorCode,
    /// The same for a human.
    pub message: String,
    /// The methods that would do, with status 405.
    pub allow: Option<&'static str>,
}

impl Fault {
    /// A fault with the status that goes with its code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::with_status(reply::status_of(code), code, message)
    }

    /// A fault that has a status of its own.
    pub fn with_status(status: u16, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            allow: None,
        }
    }
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.message())
    }
}
