//! The API for backends over HTTP: bodies in, answers out.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, Response, StatusCode};
use tokio::sync::oneshot;

use super::{Admin, Body, json, status};
use crate::core::api::order::{Item, Order, Refused, parse};
use crate::core::api::route::RoomQuery;
use crate::core::api::{Fault, body_bytes_max, reply};
use crate::core::protocol::{self, Receipt};
use crate::core::trace::TraceContext;
use crate::error::ErrorCode;
use crate::id::{NodeId, UserId};

/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a user may still have a session.
pub(super) const NOT_ALL_CLOSED: &str =
    "a node has not answered; the sessions on all others are closed";

impl Admin {
    /// `POST /v1/send`.
    pub(super) async fn send(&self, request: Request<Incoming>) -> Result<Response<Body>, Fault> {
        let trace = trace_of(request.headers());
        let body = self.body(request).await?;
        Ok(match parse(&body, self.message_bytes_max)? {
            Order::One(item) => {
                let (id, receipt) = self.send_one(item, trace).wait().await;
                let body = protocol::reply::receipt(id.as_deref(), &receipt);
                json(status(reply::status(&receipt)), body.into())
            }
            Order::Many(items) => {
                let receipts = wait_for_all(self.send_all(items, trace)).await;
                let all = receipts
                    .iter()
                    .map(|(id, receipt)| (id.as_deref(), receipt));
                json(StatusCode::OK, reply::receipts(all))
            }
        })
    }

    /// `GET /v1/users/ID`.
    pub(super) async fn sessions(&self, user: &UserId) -> Result<Response<Body>, Fault> {
        let known = self.dispatch.user(user).await?;
        let preference: Vec<NodeId> = {
            let topology = self.dispatch.topology();
            let preference = topology.view.preference(user.as_str());
            preference.map(|member| member.id.clone()).collect()
        };
        Ok(json(StatusCode::OK, reply::user(user, &known, &preference)))
    }

    /// `GET /v1/rooms/NAME`.
    pub(super) async fn room(&self, query: &RoomQuery) -> Result<Response<Body>, Fault> {
        let RoomQuery { room, after, limit } = query;
        let page = self.dispatch.room(room, after.as_ref(), *limit).await?;
        Ok(json(StatusCode::OK, reply::room(room, &page)))
    }

    /// `DELETE /v1/users/ID/sessions`.
    pub(super) async fn disconnect(&self, user: &UserId) -> Result<Response<Body>, Fault> {
        let closed = self
            .dispatch
            .disconnect(user)
            .await
            .map_err(|code| Fault::new(code, NOT_ALL_CLOSED))?;
        Ok(json(StatusCode::OK, reply::closed(user, closed)))
    }

    /// Sends a message, unless it is refused already.
    pub(super) fn send_one(
        &self,
        item: Result<Item<'_>, Refused>,
        trace: Option<TraceContext>,
    ) -> Sent {
        match item {
            Ok(Item { from, send }) => Sent::Waits {
                id: send.id.clone().into_owned(),
                receipt: self.dispatch.send_of_backend(&from, &send, trace),
            },
            Err(refused) => Sent::Refused(refused),
        }
    }

    /// Sends all that is not refused already, before the first receipt is waited for.
    pub(super) fn send_all<'a>(
        &self,
        items: impl IntoIterator<Item = Result<Item<'a>, Refused>>,
        trace: Option<TraceContext>,
    ) -> Vec<Sent> {
        let sent = items.into_iter().map(|item| self.send_one(item, trace));
        sent.collect()
    }

    async fn body(&self, request: Request<Incoming>) -> Result<Bytes, Fault> {
        if !is_json(&request) {
            let message = "a body is JSON, and its Content-Type application/json";
            return Err(Fault::with_status(415, ErrorCode::BadRequest, message));
        }
        let bytes_max = body_bytes_max(self.message_bytes_max);
        let body = Limited::new(request.into_body(), bytes_max).collect();
        match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let message = format!("a request may have {bytes_max} bytes");
                Err(Fault::new(ErrorCode::TooLarge, message))
            }
            Ok(Err(_)) => Err(Fault::new(ErrorCode::BadRequest, "the body broke off")),
            Err(_) => {
                let message = "the body did not come in time";
                Err(Fault::with_status(408, ErrorCode::BadRequest, message))
            }
        }
    }
}

/// A message on its way.
pub(super) enum Sent {
    /// Its receipt is to come.
    Waits {
        id: String,
        receipt: oneshot::Receiver<Receipt>,
    },
    /// It never was.
    Refused(Refused),
}

impl Sent {
    /// Its id, if it has a usable one, and its receipt.
    pub async fn wait(self) -> (Option<String>, Receipt) {
        match self {
            Self::Waits { id, receipt } => {
                let receipt = receipt.await.unwrap_or_else(|_| ErrorCode::Unknown.into());
                (Some(id), receipt)
            }
            Self::Refused(refused) => refused.into_receipt(),
        }
    }
}

/// What [`Sent::wait`] says of each, in their order.
pub(super) async fn wait_for_all(all: Vec<Sent>) -> Vec<(Option<String>, Receipt)> {
    let mut receipts = Vec::with_capacity(all.len());
    for sent in all {
        receipts.push(sent.wait().await);
    }
    receipts
}

/// The trace that a backend's call belongs to, by its header or metadata `traceparent`.
pub(super) fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all("traceparent").iter();
    match (values.next(), values.next()) {
        (Some(value), None) => TraceContext::parse(value.to_str().ok()?),
        _ => None,
    }
}

/// Whether the body may be taken for JSON. A program that says nothing of it, or that calls all it posts a form by
/// habit, is believed; a page of a browser is not.
fn is_json<B>(request: &Request<B>) -> bool {
    let Some(kind) = request.headers().get(CONTENT_TYPE) else {
        return true;
    };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    let is_of_page = request.headers().contains_key("sec-fetch-site");
    is("application/json") || is("application/x-www-form-urlencoded") && !is_of_page
}
