//! What a node decides from a request head, before any byte of a WebSocket: whether it is a good
//! handshake ([`check_upgrade`]), what its query asks for ([`query`]), whether its origin may come
//! in ([`origin`]), what it shows to prove its user ([`credential`]), and how it is sent elsewhere ([`redirect`]).
//!
//! *Invariant:* nothing here sends a client to an address that it named itself; `Host` is compared,
//! never copied.

pub mod credential;
pub mod origin;
pub mod query;
pub mod redirect;

use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use sha1::{Digest, Sha1};

use crate::core::protocol::Encoding;

pub use credential::Credential;
pub use origin::{AllowedOrigin, Origin};
pub use query::{BadQuery, Query};
pub use redirect::RedirectMode;

/// The subprotocol of JSON text messages, which is also spoken when none is asked for.
pub const SUBPROTOCOL_JSON: &str = "ringpost.v1.json";
/// The subprotocol of binary messages.
pub const SUBPROTOCOL_PROTO: &str = "ringpost.v1.proto";

/// RFC 6455, section 1.3: what is appended to the key before it is hashed.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a key once decoded: RFC 6455, section 4.1.
const KEY_BYTES: usize = 16;

/// A request head.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method, case-sensitive.
    pub method: &'a str,
    /// Whether it came as HTTP/1.1; otherwise as HTTP/1.0.
    pub http11: bool,
    /// The request target, `/path?query` or `http://host/path?query`; the host is not looked at.
    pub path_and_query: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// The path, `/` where the target has none; `*` and other odd targets come as they are.
    #[must_use]
    pub fn path(&self) -> &'a str {
        match self.split().0 {
            "" => "/",
            path => path,
        }
    }

    /// What follows the first `?`, undecoded; empty where there is none.
    #[must_use]
    pub fn query(&self) -> &'a str {
        self.split().1
    }

    /// The `Host` field, if there is exactly one and it is a host with or without a port.
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        let host = single(self.headers, &HOST)?;
        origin::split_authority(host).map(|_| host)
    }

    fn split(&self) -> (&'a str, &'a str) {
        let target = self.path_and_query.split('#').next().unwrap_or_default();
        let local = match target.split_once("://") {
            Some((_, rest)) if !target.starts_with('/') => {
                &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
            }
            _ => target,
        };
        local.split_once('?').unwrap_or((local, ""))
    }
}

/// A handshake that can be answered with 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// The value of `Sec-WebSocket-Protocol`; `None`: the field is left out, JSON is spoken.
    pub subprotocol: Option<&'static str>,
}

impl Upgrade {
    /// What is spoken.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        match self.subprotocol {
            Some(SUBPROTOCOL_PROTO) => Encoding::Proto,
            _ => Encoding::Json,
        }
    }
}

/// A request that is answered with a status instead of 101.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The status code.
    pub status: u16,
    /// A sentence for the body.
    pub message: String,
    /// Fields that the answer must have, names in lower case.
    pub headers: &'static [(&'static str, &'static str)],
}

impl Rejection {
    /// One without header fields of its own.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            headers: &[],
        }
    }

    /// 401: nobody knows who asks.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self {
            headers: &[
                ("www-authenticate", "Bearer"),
                ("cache-control", "no-store"),
            ],
            ..Self::new(401, message)
        }
    }

    fn upgrade_required(message: &str) -> Self {
        Self {
            headers: &[
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
            ],
            ..Self::new(426, message)
        }
    }
}

/// Checks a handshake by RFC 6455, section 4.2.1, and picks the subprotocol.
///
/// # Errors
/// The [`Rejection`] to answer with: 405 for the method, 400 for the HTTP version, `Host`, a body
/// or the key, 426 for what asks for no WebSocket or not for version 13.
pub fn check_upgrade(head: &Head<'_>) -> Result<Upgrade, Rejection> {
    if head.method != "GET" {
        return Err(Rejection {
            headers: &[("allow", "GET")],
            ..Rejection::new(405, "a WebSocket handshake is a GET")
        });
    }
    if !head.http11 {
        return Err(Rejection::new(400, "a WebSocket handshake needs HTTP/1.1"));
    }
    if head.host().is_none() {
        return Err(Rejection::new(400, "there must be exactly one good Host"));
    }
    if has_body(head.headers) {
        return Err(Rejection::new(400, "a WebSocket handshake has no body"));
    }
    let named =
        |name, token: &str| tokens(head.headers, name).any(|t| t.eq_ignore_ascii_case(token));
    if !named(&UPGRADE, "websocket") || !named(&CONNECTION, "upgrade") {
        return Err(Rejection::upgrade_required(
            "only WebSockets are served here",
        ));
    }
    if single(head.headers, &SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(Rejection::upgrade_required(
            "Sec-WebSocket-Version must be 13",
        ));
    }
    let key = single(head.headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    let key = key.ok_or_else(|| {
        Rejection::new(
            400,
            "Sec-WebSocket-Key must be there once, 16 bytes in base64",
        )
    })?;
    // The client's order is its preference: RFC 6455, section 4.1.
    let ours = |name| {
        [SUBPROTOCOL_JSON, SUBPROTOCOL_PROTO]
            .into_iter()
            .find(|our| *our == name)
    };
    Ok(Upgrade {
        accept: accept(key),
        subprotocol: tokens(head.headers, &SEC_WEBSOCKET_PROTOCOL).find_map(ours),
    })
}

fn accept(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID);
    base64::engine::general_purpose::STANDARD.encode(digest.finalize())
}

fn is_key(key: &str) -> bool {
    // The bits after the sixteenth byte mean nothing, and keys made up from letters have them set.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    LENIENT.decode(key).is_ok_and(|key| key.len() == KEY_BYTES)
}

fn has_body(headers: &HeaderMap) -> bool {
    let empty = |length: &str| !length.is_empty() && length.bytes().all(|byte| byte == b'0');
    headers.contains_key(TRANSFER_ENCODING)
        || (headers.get_all(CONTENT_LENGTH).iter())
            .any(|value| !value.to_str().is_ok_and(|value| empty(value.trim())))
}

/// The value of a field that is there exactly once, as visible ASCII without blanks around it.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value.trim())
}

/// The elements of a field that is a list, over all its lines; a line beyond ASCII has none.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    (headers.get_all(name).iter())
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(',').map(str::trim))
}

#[cfg(test)]
#[path = "upgrade_tests.rs"]
mod tests;
