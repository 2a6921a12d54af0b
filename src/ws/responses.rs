//! What the client port answers over HTTP.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::config::RedirectLocation;
use crate::core::handshake::{Rejection, redirect};
use crate::id::NodeId;

pub(super) type Body = Full<Bytes>;

/// 101.
pub(super) fn switching(accept: &str, subprotocol: Option<&'static str>) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    put(&mut response, header::UPGRADE, "websocket");
    put(&mut response, header::CONNECTION, "Upgrade");
    put(&mut response, header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        put(&mut response, header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

/// 307.
pub(super) fn redirected(node: &NodeId, url: &str, form: RedirectLocation) -> Response<Body> {
    let body = redirect::redirect_body(node, url);
    let mut response = no_store(json(StatusCode::TEMPORARY_REDIRECT, body));
    put(
        &mut response,
        header::LOCATION,
        &redirect::location(url, form),
    );
    // The client goes elsewhere: it has no more use for this connection.
    put(&mut response, header::CONNECTION, "close");
    response
}

/// The status and the sentence of a refusal.
pub(super) fn rejected(rejection: &Rejection) -> Response<Body> {
    let status = StatusCode::from_u16(rejection.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = no_store(text(status, &format!("{}\n", rejection.message)));
    for (name, value) in rejection.headers {
        put(&mut response, HeaderName::from_static(name), value);
    }
    if matches!(rejection.status, 429 | 503) {
        put(&mut response, header::RETRY_AFTER, "1");
    }
    // Whatever follows a bad handshake is not worth reading.
    if !response.headers().contains_key(header::CONNECTION) {
        put(&mut response, header::CONNECTION, "close");
    }
    response
}

/// What a browser asks before it asks.
pub(super) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    put(&mut response, header::ACCESS_CONTROL_ALLOW_METHODS, "GET");
    put(
        &mut response,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Authorization",
    );
    put(&mut response, header::ACCESS_CONTROL_MAX_AGE, "600");
    response
}

/// The same, for nobody to keep.
pub(super) fn no_store(mut response: Response<Body>) -> Response<Body> {
    put(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

/// A JSON text.
pub(super) fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    put(&mut response, header::CONTENT_TYPE, "application/json");
    response
}

/// Plain text.
pub(super) fn text(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    put(
        &mut response,
        header::CONTENT_TYPE,
        "text/plain; charset=utf-8",
    );
    response
}

/// Sets a header; a value that cannot stand in one is left out.
pub(super) fn put(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
