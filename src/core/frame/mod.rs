//! The WebSocket frame layer as a pure state machine: bytes in, whole messages out, and back.
//!
//! RFC 6455 without extensions: frames from clients are masked and decoded by [`Decoder`], frames to
//! clients are not masked, so [`encode`] gives [`Bytes`] that many sessions can share. The client of
//! this crate is the same with the sides exchanged. Nothing here reads, writes or waits.

mod decode;
pub mod encode;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::error::CloseCode;

pub use decode::Decoder;

/// Longest payload of a ping, a pong or a close, in bytes (RFC 6455, 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;
/// Longest reason of a close, in bytes of UTF-8: a control payload without the code.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Bounds of one message from a client. Passed to every [`Decoder::decode`], so that a connection
/// does not store them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of payload, over all fragments; the limit itself passes. Control frames do not count.
    pub message_bytes_max: usize,
    /// Frames of one message, 1 or more; the limit itself passes.
    pub fragments_max: usize,
}

/// What a client sent: a message, put together and checked, or a control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A text message. The bytes are UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// An answer to a ping, or unsolicited.
    Pong(Bytes),
    /// The last thing a client says: its code and reason, if it gave any. What follows on the
    /// connection is to be thrown away, not decoded.
    Close(Option<(u16, String)>),
}

/// Why the connection has to end: the client broke the protocol or went over a limit.
///
/// Where the next frame begins is not known any more, so the decoder is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Violation {
    /// [`CloseCode::Protocol`], [`CloseCode::InvalidUtf8`] or [`CloseCode::TooBig`].
    pub code: CloseCode,
    /// For the close frame and the log; at most [`CLOSE_REASON_BYTES_MAX`] bytes.
    pub reason: &'static str,
}

impl Violation {
    const fn protocol(reason: &'static str) -> Self {
        Self {
            code: CloseCode::Protocol,
            reason,
        }
    }

    const fn invalid_utf8(reason: &'static str) -> Self {
        Self {
            code: CloseCode::InvalidUtf8,
            reason,
        }
    }

    const fn too_big(reason: &'static str) -> Self {
        Self {
            code: CloseCode::TooBig,
            reason,
        }
    }
}

/// Whether a code may stand in a close frame: those of the IANA registry that are not reserved for
/// local use (1005, 1006, 1015) or undefined (1004), and the ranges for libraries and applications.
pub const fn close_code_is_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
