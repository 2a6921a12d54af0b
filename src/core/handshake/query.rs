//! The query of `/ws` and `/locate`: form-encoded (`+` is a space), and strict about what it knows.

use std::borrow::Cow;
use std::fmt::Write;

use percent_encoding::percent_decode_str;

use super::{RedirectMode, Rejection};
use crate::core::stream::{OFFSET_END, Resume, is_epoch};
use crate::core::trust::Hidden;
use crate::id::UserId;

/// The parameters that have a meaning; each may stand there once.
const KNOWN: [&str; 7] = [
    "user", "token", "redirect", "epoch", "offset", "hop", "ticket",
];

/// The parameters that are for one node only, or not for a log or a page to see.
const DROPPED: [&str; 4] = ["redirect", "token", "hop", "ticket"];

/// Visible characters that RFC 3986 wants escaped in a query, and `#`, which ends it. Brackets are not
/// among them, although they should be: they are in wide use, and harm nobody.
const NOT_IN_A_QUERY: &[u8] = b"\"#<>\\^`{|}";

/// The position that a client had when it came.
const POSITION: [&str; 2] = ["epoch", "offset"];

/// What a client's query says. Parameters that are not known are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Who the client says it is, to be believed only where the node is told to.
    pub user: Option<UserId>,
    /// How it wants to be redirected.
    pub redirect: Option<RedirectMode>,
    /// It has been redirected already, so it is served where it is now; the value does not matter.
    pub hop: bool,
    /// Another node's word for it.
    pub ticket: Option<Hidden>,
    /// Its token, where it stands in no header.
    pub token: Option<Hidden>,
    /// Where it wants to go on: from `epoch` and `offset`, which come together or not at all.
    pub resume: Resume,
}

/// A query that is answered with 400, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadQuery(pub String);

impl From<BadQuery> for Rejection {
    fn from(BadQuery(message): BadQuery) -> Self {
        Self::new(400, message)
    }
}

impl Query {
    /// Reads a query as it stands after the `?`.
    ///
    /// # Errors
    /// [`BadQuery`] for a broken escape or UTF-8 in any parameter, a known parameter given twice,
    /// a value that its parameter cannot have, or half a position. The message quotes no value: it
    /// may be a token.
    pub fn parse(raw: &str) -> Result<Self, BadQuery> {
        let mut query = Self::default();
        let (mut epoch, mut offset) = (None, None);
        let mut seen = [false; KNOWN.len()];
        for pair in pairs(raw) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            let Some(place) = KNOWN.iter().position(|known| *known == name) else {
                continue;
            };
            if std::mem::replace(&mut seen[place], true) {
                return Err(BadQuery(format!("`{name}` is given twice")));
            }
            match KNOWN[place] {
                "epoch" => epoch = Some(read_epoch(value)?),
                "offset" => offset = Some(read_offset(&value)?),
                name => query.set(name, &value)?,
            }
        }
        query.resume = match (epoch, offset) {
            (None, None) => Resume::Fresh,
            (Some(epoch), Some(offset)) => Resume::given(&epoch, offset),
            _ => {
                let rule = "`epoch` and `offset` must both be there, or neither";
                return Err(BadQuery(rule.to_owned()));
            }
        };
        Ok(query)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), BadQuery> {
        match name {
            "user" => {
                let user = UserId::new(value);
                self.user = Some(user.map_err(|why| BadQuery(format!("`user`: {why}")))?);
            }
            "redirect" => {
                let rule = || BadQuery("`redirect` must be http, frame or never".to_owned());
                self.redirect = Some(RedirectMode::from_name(value).ok_or_else(rule)?);
            }
            "hop" => self.hop = true,
            "ticket" => self.ticket = Some(Hidden::new(value)),
            "token" => self.token = Some(Hidden::new(value)),
            _ => {}
        }
        Ok(())
    }

    /// The query for the node that a client is sent to before it is welcomed: its own parameters as
    /// it wrote them, without `redirect`, `token`, `hop` and `ticket`, and with `hop=1` at the end.
    ///
    /// Bytes that may not stand in a query by RFC 3986 (controls, blanks, quotes, `#`, `<`, anything
    /// beyond ASCII) come out escaped, which changes their meaning in no way; so the result can go into
    /// a header, and a page.
    #[must_use]
    pub fn onward(raw: &str) -> String {
        Self::without(raw, |name| DROPPED.contains(&name))
    }

    /// The query for a client that is sent away later, as [`Self::onward`] but without `epoch` and
    /// `offset`: by then the client has another position, and puts that one itself.
    #[must_use]
    pub fn onward_later(raw: &str) -> String {
        Self::without(raw, |name| {
            DROPPED.contains(&name) || POSITION.contains(&name)
        })
    }

    fn without(raw: &str, dropped: impl Fn(&str) -> bool) -> String {
        let mut onward = String::with_capacity(raw.len() + "&hop=1".len());
        for pair in pairs(raw) {
            let name = pair.split('=').next().unwrap_or_default();
            if decode(name).is_ok_and(|name| dropped(&name)) {
                continue;
            }
            for byte in pair.bytes() {
                if byte.is_ascii_graphic() && !NOT_IN_A_QUERY.contains(&byte) {
                    onward.push(char::from(byte));
                } else {
                    write!(onward, "%{byte:02X}").expect("a string takes all that is written");
                }
            }
            onward.push('&');
        }
        onward.push_str("hop=1");
        onward
    }
}

fn read_epoch(value: Cow<'_, str>) -> Result<Cow<'_, str>, BadQuery> {
    let rule = || BadQuery("`epoch` is none that a node gives out".to_owned());
    is_epoch(&value).then_some(value).ok_or_else(rule)
}

fn read_offset(value: &str) -> Result<u64, BadQuery> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let offset = value
        .parse()
        .ok()
        .filter(|&offset| digits && offset < OFFSET_END);
    offset.ok_or_else(|| BadQuery("`offset` must be a number below 2^53".to_owned()))
}

fn pairs(raw: &str) -> impl Iterator<Item = &str> {
    raw.split('&').filter(|pair| !pair.is_empty())
}

/// Undoes form encoding, which `percent_encoding` does for good escapes; it passes broken ones on.
fn decode(text: &str) -> Result<Cow<'_, str>, BadQuery> {
    if !escapes_are_whole(text.as_bytes()) {
        return Err(BadQuery("the query has a broken % escape".to_owned()));
    }
    let not_utf8 = |_| BadQuery("the query is not UTF-8".to_owned());
    if text.contains('+') {
        // Before unescaping, or an escaped plus would become a space, too.
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced)
            .decode_utf8()
            .map_err(not_utf8)?;
        return Ok(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().map_err(not_utf8)
}

fn escapes_are_whole(text: &[u8]) -> bool {
    let digit = |place: usize| text.get(place).is_some_and(u8::is_ascii_hexdigit);
    (text.iter().enumerate())
        .filter(|&(_, byte)| *byte == b'%')
        .all(|(place, _)| digit(place + 1) && digit(place + 2))
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
