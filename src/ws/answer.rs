//! What a request on the client port gets: who comes, whether they may, and where they belong.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header;
use hyper::{Request, Response, StatusCode, Version};

use super::Server;
use super::admitted::{Admitted, TooMany};
use super::responses::{
    Body, json, no_store, preflight, put, redirected, rejected, switching, text,
};
use crate::core::handshake::query::Query;
use crate::core::handshake::redirect::RedirectMode;
use crate::core::handshake::{self, Credential, Head, Rejection, origin, redirect};
use crate::core::protocol::{Encoding, Reason, Reply};
use crate::core::trust::{Hidden, Principal};
use crate::dispatch::{Protocol, SessionConfig};
use crate::error::{CloseCode, ErrorCode};
use crate::handler::Program;
use crate::id::NodeId;

const NO_USER: &str = "no user: this node takes it from ?user=";

const NO_TOKEN: &str = "no token: send it as Authorization: Bearer, as a subprotocol ringpost.bearer.TOKEN or in ?token=";

const NO_KEY: &str = "the user's node has not been reached yet: try again in a second";

const STOPPING: &str = "this node is about to stop: try another";

const STARTING: &str = "this node has not found its cluster yet: try another, or again in a second";

/// A handshake that was answered with 101: what the connection becomes.
pub(super) enum Accepted {
    Session(SessionConfig),
    /// Nothing but this frame and a Close frame.
    Goodbye {
        reply: Bytes,
        code: CloseCode,
        reason: &'static str,
    },
}

/// Where a client is to be.
enum Place {
    Here(SessionConfig),
    /// At the node that owns its user, with this URL.
    Elsewhere {
        node: NodeId,
        url: String,
    },
}

/// Why a client is not served: as a status, and for those who cannot see one as a frame and a close.
struct Refused {
    rejection: Rejection,
    code: ErrorCode,
    close: CloseCode,
    reason: &'static str,
    /// In frames only for those who ask for them by name.
    only_if_asked: bool,
}

impl Refused {
    fn origin(rejection: Rejection) -> Self {
        Self {
            rejection,
            code: ErrorCode::NotAllowed,
            close: CloseCode::NotAllowed,
            reason: "origin not allowed",
            only_if_asked: true,
        }
    }

    fn nobody(rejection: Rejection) -> Self {
        let (close, reason) = match rejection.status {
            403 => (CloseCode::NotAllowed, "not allowed"),
            _ => (CloseCode::Unauthorized, "not authorized"),
        };
        Self {
            rejection,
            code: ErrorCode::NotAllowed,
            close,
            reason,
            only_if_asked: false,
        }
    }

    fn not_serving(reason: &'static str) -> Self {
        Self {
            rejection: Rejection::new(503, reason),
            code: ErrorCode::Unreachable,
            close: CloseCode::TryLater,
            reason,
            only_if_asked: false,
        }
    }

    fn goodbye(&self, encoding: Encoding) -> Accepted {
        let error = Reply::Error {
            code: self.code,
            message: &self.rejection.message,
        };
        Accepted::Goodbye {
            reply: error.frame(encoding),
            code: self.close,
            reason: self.reason,
        }
    }
}

impl From<TooMany> for Refused {
    fn from(too_many: TooMany) -> Self {
        let TooMany { code, message, .. } = too_many;
        Self {
            rejection: too_many.into(),
            code,
            close: CloseCode::TryLater,
            reason: message,
            only_if_asked: false,
        }
    }
}

/// The answers to one client connection.
pub(super) struct Answer<'a> {
    pub server: &'a Arc<Server>,
    pub client: &'a Admitted,
}

impl Answer<'_> {
    /// The answer to a request, and what the connection becomes if that is a WebSocket.
    pub(super) fn answer(&self, request: &Request<Incoming>) -> (Response<Body>, Option<Accepted>) {
        let uri = request.uri();
        let head = Head {
            method: request.method().as_str(),
            http11: request.version() == Version::HTTP_11,
            path_and_query: uri.path_and_query().map_or("/", |target| target.as_str()),
            headers: request.headers(),
        };
        let answered = match head.path() {
            "/ws" => self.websocket(&head),
            "/locate" => Ok((self.locate(&head), None)),
            "/healthz" => Ok((text(StatusCode::OK, "ok\n"), None)),
            _ => Ok((
                text(
                    StatusCode::NOT_FOUND,
                    "there are /ws, /locate and /healthz\n",
                ),
                None,
            )),
        };
        answered.unwrap_or_else(|rejection| {
            self.count_refused(&rejection);
            (rejected(&rejection), None)
        })
    }

    fn count_refused(&self, rejection: &Rejection) {
        self.server.dispatch.counters().handshakes_refused.add();
        tracing::debug!(status = rejection.status, reason = %rejection.message, "refused");
    }

    fn websocket(&self, head: &Head<'_>) -> Result<(Response<Body>, Option<Accepted>), Rejection> {
        let upgrade = handshake::check_upgrade(head)?;
        let query = Query::parse(head.query())?;
        let mode = redirect::mode(query.redirect, head.headers);
        let encoding = upgrade.encoding();
        let switched = |promised| {
            let response = switching(&upgrade.accept, upgrade.subprotocol);
            Ok((response, Some(promised)))
        };
        let in_frames = mode == RedirectMode::Frame;
        match self.judge(head, &query, mode, encoding) {
            Ok(Place::Here(session)) => switched(Accepted::Session(session)),
            Ok(Place::Elsewhere { url, .. }) if in_frames => switched(Accepted::Goodbye {
                reply: not_owner(&url).frame(encoding),
                code: CloseCode::Redirect,
                reason: "not the owner",
            }),
            Ok(Place::Elsewhere { node, url }) => {
                let form = self.server.config.redirect_location;
                Ok((redirected(&node, &url, form), None))
            }
            Err(refused) if in_frames && (query.redirect.is_some() || !refused.only_if_asked) => {
                self.count_refused(&refused.rejection);
                switched(refused.goodbye(encoding))
            }
            Err(refused) => Err(refused.rejection),
        }
    }

    /// Who comes, and where they belong.
    fn judge(
        &self,
        head: &Head<'_>,
        query: &Query,
        mode: RedirectMode,
        encoding: Encoding,
    ) -> Result<Place, Refused> {
        if let Some(too_many) = self.client.handshake() {
            return Err(too_many.into());
        }
        self.check_origin(head).map_err(Refused::origin)?;
        let stays = !may_redirect(query, mode);
        if stays {
            // Before a ticket is spent: it is good for another try.
            self.check_serving()?;
        }
        let principal = self.principal(head, query, query.ticket.as_ref());
        let principal = principal.map_err(Refused::nobody)?;
        let onward = Query::onward(head.query());
        if !stays && let Some(elsewhere) = self.owner_to_go_to(&principal, &onward) {
            self.server.dispatch.counters().redirects.add();
            return Ok(elsewhere);
        }
        self.check_serving()?;
        let raw = matches!(self.server.program, Some(Program::Frames(_)));
        Ok(Place::Here(SessionConfig {
            principal: self.server.kept(principal),
            onward: Query::onward_later(head.query()).into_boxed_str(),
            resume: query.resume,
            protocol: if raw {
                Protocol::Raw
            } else {
                Protocol::of(encoding, Arc::clone(&self.server.greeting))
            },
            may_move: mode != RedirectMode::Never,
            outbound_bytes_max: self.server.config.limits.outbound_bytes_max,
        }))
    }

    fn check_serving(&self) -> Result<(), Refused> {
        let dispatch = &self.server.dispatch;
        if dispatch.is_draining() {
            return Err(Refused::not_serving(STOPPING));
        }
        if !dispatch.has_joined() {
            return Err(Refused::not_serving(STARTING));
        }
        Ok(())
    }

    /// The owner of the user and the URL there, if that is another node that can be reached.
    fn owner_to_go_to(&self, principal: &Principal, onward: &str) -> Option<Place> {
        let dispatch = &self.server.dispatch;
        let topology = dispatch.topology();
        let owner = topology.owner_elsewhere(principal.user.as_str())?;
        if !topology.is_reachable(&owner.id) {
            return None;
        }
        let url = dispatch.onward_url(&self.server.kept(principal.clone()), owner, onward, 0)?;
        Some(Place::Elsewhere {
            node: owner.id.clone(),
            url,
        })
    }

    /// Who asks. A ticket is spent by this.
    fn principal(
        &self,
        head: &Head<'_>,
        query: &Query,
        ticket: Option<&Hidden>,
    ) -> Result<Principal, Rejection> {
        let proved = self.proved(head, query, ticket);
        if proved.is_err() {
            self.server.dispatch.counters().unauthorized.add();
        }
        proved
    }

    fn proved(
        &self,
        head: &Head<'_>,
        query: &Query,
        ticket: Option<&Hidden>,
    ) -> Result<Principal, Rejection> {
        let Some(tokens) = &self.server.tokens else {
            let user = query.user.clone();
            return (user.map(Principal::believed)).ok_or_else(|| Rejection::unauthorized(NO_USER));
        };
        let dispatch = &self.server.dispatch;
        let proof = Credential::of(head.headers, ticket, query.token.as_ref());
        let principal = match proof {
            None => Err(NO_TOKEN.to_owned()),
            Some(Credential::Unreadable) => Err("there are two tokens".to_owned()),
            Some(Credential::Ticket(ticket)) => {
                (dispatch.redeem_ticket(ticket.reveal())).map_err(|error| error.to_string())
            }
            Some(Credential::Token(token)) => {
                let verified = tokens.verify(token.reveal(), dispatch.unix_ms());
                verified.map_err(|error| error.to_string())
            }
        };
        let principal = principal.map_err(Rejection::unauthorized)?;
        match &query.user {
            Some(user) if *user != principal.user => {
                let message = "`user` is not the user of the token";
                Err(Rejection::new(403, message))
            }
            _ => Ok(principal),
        }
    }

    fn check_origin(&self, head: &Head<'_>) -> Result<Option<String>, Rejection> {
        let topology = self.server.dispatch.topology();
        let urls = topology.view.members.iter().map(|member| &*member.url);
        let allowed = &self.server.allowed_origins;
        origin::allowed(allowed, head.host(), urls, head.headers).map_err(Rejection::from)
    }

    fn locate(&self, head: &Head<'_>) -> Response<Body> {
        let origin = match self.check_origin(head) {
            Ok(origin) => origin,
            Err(refused) => return rejected(&refused),
        };
        let response = match (self.client.handshake(), head.method) {
            (Some(too_many), _) => rejected(&too_many.into()),
            (None, "OPTIONS") => preflight(),
            (None, "GET" | "HEAD") => self
                .located(head)
                .unwrap_or_else(|rejection| rejected(&rejection)),
            (None, _) => {
                let mut response =
                    text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here\n");
                put(&mut response, header::ALLOW, "GET, HEAD, OPTIONS");
                response
            }
        };
        let mut response = no_store(response);
        if let Some(origin) = origin {
            put(&mut response, header::ACCESS_CONTROL_ALLOW_ORIGIN, &origin);
            put(&mut response, header::VARY, "Origin");
        }
        response
    }

    fn located(&self, head: &Head<'_>) -> Result<Response<Body>, Rejection> {
        let pass = {
            let bucket = &self.server.locate_bucket;
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(Instant::now())
        };
        if !pass {
            self.server.dispatch.counters().locates_over_rate.add();
            let mut response = text(StatusCode::TOO_MANY_REQUESTS, "too many lookups\n");
            put(&mut response, header::RETRY_AFTER, "1");
            return Ok(response);
        }
        let query = Query::parse(head.query())?;
        let principal = self.principal(head, &query, None)?;
        let user = &principal.user;
        if !self.server.dispatch.has_joined() {
            return Err(Rejection::new(503, STARTING));
        }
        let topology = self.server.dispatch.topology();
        let view = &topology.view;
        let owner = topology
            .owner_elsewhere(user.as_str())
            .or_else(|| view.me());
        let owner = owner.ok_or_else(|| Rejection::new(503, "this node is not in its view"))?;
        let onward = Query::onward(head.query());
        let dispatch = &self.server.dispatch;
        let principal = self.server.kept(principal.clone());
        let url = dispatch.onward_url(&principal, owner, &onward, 0);
        let url = url.ok_or_else(|| Rejection::new(503, NO_KEY))?;
        let digest = view.digest().to_string();
        let body = redirect::locate_body(user, &owner.id, &url, &digest);
        Ok(json(StatusCode::OK, body))
    }
}

/// A client that comes by a redirect is never sent on, and one that wants to stay is not sent.
fn may_redirect(query: &Query, mode: RedirectMode) -> bool {
    !query.hop && mode != RedirectMode::Never
}

fn not_owner(url: &str) -> Reply<'_> {
    Reply::Redirect {
        url,
        reason: Reason::NotOwner,
        after_ms: None,
    }
}
