//! Which proof counts where a request has several: ticket, then `Authorization`, then subprotocol, then
//! the query's token.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};

use super::tokens;
use crate::core::trust::Hidden;

/// A subprotocol that is a token; it is never the one that is answered with.
const BEARER_SUBPROTOCOL: &str = "ringpost.bearer.";

/// The proof of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Another node's word.
    Ticket(Hidden),
    /// A token.
    Token(Hidden),
    /// Something in a place of tokens that cannot be one, such as two of them.
    Unreadable,
}

impl Credential {
    /// The proof that counts, of a request with these headers and with these in its query.
    #[must_use]
    pub fn of(
        headers: &HeaderMap,
        ticket: Option<&Hidden>,
        query_token: Option<&Hidden>,
    ) -> Option<Self> {
        if let Some(ticket) = ticket {
            return Some(Self::Ticket(ticket.clone()));
        }
        authorization(headers)
            .or_else(|| subprotocol(headers))
            .or_else(|| query_token.cloned().map(Self::Token))
    }
}

/// Another scheme than `Bearer` is none of ours: a proxy's, as a rule.
fn authorization(headers: &HeaderMap) -> Option<Credential> {
    let mut bearers = (headers.get_all(AUTHORIZATION).iter()).filter_map(|value| {
        let value = value.to_str().unwrap_or_default().trim();
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim_start())
    });
    let token = bearers.next()?;
    Some(match bearers.next() {
        None => Credential::Token(Hidden::new(token)),
        Some(_) => Credential::Unreadable,
    })
}

fn subprotocol(headers: &HeaderMap) -> Option<Credential> {
    let mut bearers = tokens(headers, &SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|name| name.strip_prefix(BEARER_SUBPROTOCOL));
    let token = bearers.next()?;
    Some(match bearers.next() {
        None => Credential::Token(Hidden::new(token)),
        Some(_) => Credential::Unreadable,
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn token(text: &str) -> Credential {
        Credential::Token(Hidden::new(text))
    }

    #[test]
    fn the_first_place_that_has_a_proof_counts() {
        let (ticket, in_query) = (Hidden::new("ticket"), Hidden::new("query"));
        let bearer = ("authorization", "Bearer header");
        let offered = ("sec-websocket-protocol", "a, ringpost.bearer.sub.pro.tocol");
        let both = headers(&[bearer, offered]);
        let all = Credential::of(&both, Some(&ticket), Some(&in_query));
        assert_eq!(all, Some(Credential::Ticket(ticket)));
        assert_eq!(
            Credential::of(&both, None, Some(&in_query)),
            Some(token("header"))
        );
        let offered = headers(&[offered]);
        let found = Credential::of(&offered, None, Some(&in_query));
        assert_eq!(found, Some(token("sub.pro.tocol")));
        let none = HeaderMap::new();
        assert_eq!(
            Credential::of(&none, None, Some(&in_query)),
            Some(token("query"))
        );
        assert_eq!(Credential::of(&none, None, None), None);
    }

    #[test]
    fn other_schemes_are_passed_over_and_two_tokens_are_none() {
        let basic = headers(&[
            ("authorization", "Basic abc"),
            ("authorization", "bEaReR x"),
        ]);
        assert_eq!(Credential::of(&basic, None, None), Some(token("x")));
        for fields in [
            [("authorization", "Bearer a"), ("authorization", "Bearer b")],
            [
                ("sec-websocket-protocol", "ringpost.bearer.a"),
                ("sec-websocket-protocol", "ringpost.bearer.b"),
            ],
        ] {
            let found = Credential::of(&headers(&fields), None, None);
            assert_eq!(found, Some(Credential::Unreadable));
        }
    }

    #[test]
    fn a_proof_is_not_shown() {
        let shown = format!("{:?}", token("secret.secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
