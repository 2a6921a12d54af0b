//! A small HTTP/1.1 client: one request a connection, with or without an upgrade to WebSocket.
//!
//! Nothing is followed and nothing is tried again.

use base64::Engine as _;
use bytes::Bytes;
use fastwebsockets::handshake::generate_key;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Parts};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::address::Target;
use super::error::Error;
use super::tls::Socket;

/// Largest answer that is read, in bytes. A cluster view of 1,000 members has about 200 KiB.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body, of 16 MiB at most.
    pub body: Bytes,
}

impl Answer {
    /// One line on an answer that was not hoped for: its status and what its body says.
    #[must_use]
    pub fn sentence(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let message = value
            .pointer("/error/message")
            .or_else(|| value.get("message"));
        let detail = message
            .and_then(serde_json::Value::as_str)
            .unwrap_or(text.trim());
        let detail: String = detail.chars().take(200).collect();
        if detail.is_empty() {
            self.status.to_string()
        } else {
            format!("{}: {detail}", self.status)
        }
    }
}

/// Asks for a path.
///
/// # Errors
/// [`Error::Connect`], and [`Error::Strange`] for what is not HTTP or too large. Every status is an
/// answer.
pub async fn get(target: &Target, path: &str) -> Result<Answer, Error> {
    get_as(target, path, None).await
}

/// Asks for a path, with an `Authorization`.
///
/// # Errors
/// As [`get`].
pub async fn get_as(
    target: &Target,
    path: &str,
    authorization: Option<HeaderValue>,
) -> Result<Answer, Error> {
    let mut headers = HeaderMap::new();
    headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut connection = JoinSet::new();
    let response = exchange(target, path, headers, &mut connection).await?;
    read(target, response).await
}

/// What became of a handshake.
#[derive(Debug)]
pub enum Handshake {
    /// The socket, and what came behind the server's 101.
    Open(Socket, Bytes),
    /// Any status but 101.
    Refused(Answer),
}

/// Asks for a path and an upgrade to WebSocket with the subprotocol `ringpost.v1.json`.
///
/// # Errors
/// [`Error::Connect`], and [`Error::Strange`] for what is no WebSocket server.
pub async fn upgrade(
    target: &Target,
    path: &str,
    authorization: Option<HeaderValue>,
) -> Result<Handshake, Error> {
    let key = generate_key();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONNECTION, "Upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_PROTOCOL, "ringpost.v1.json"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let key_value = HeaderValue::from_str(&key).map_err(|error| strange(target, &error))?;
    headers.insert(header::SEC_WEBSOCKET_KEY, key_value);
    headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));

    let mut connection = JoinSet::new();
    let response = exchange(target, path, headers, &mut connection).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Handshake::Refused(read(target, response).await?));
    }
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != accept_of(&key).as_bytes()) {
        return Err(Error::Strange {
            node: target.clone(),
            reason: "is not a WebSocket server: Sec-WebSocket-Accept is wrong".to_owned(),
        });
    }
    match connection.join_next().await {
        Some(Ok(Ok(parts))) => Ok(Handshake::Open(parts.io.into_inner(), parts.read_buf)),
        Some(Ok(Err(error))) => Err(strange(target, &error)),
        Some(Err(error)) => Err(strange(target, &error)),
        None => Err(strange(target, &"there is no connection")),
    }
}

/// RFC 6455, section 4.2.2.
fn accept_of(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

type Connection = JoinSet<hyper::Result<Parts<TokioIo<Socket>>>>;

/// Sends the request; the connection is driven by the only task of the set, and ends with it.
async fn exchange(
    target: &Target,
    path: &str,
    headers: HeaderMap,
    connection: &mut Connection,
) -> Result<Response<Incoming>, Error> {
    let uri: Uri = path
        .parse()
        .map_err(|error| strange(target, &format!("{error} in its path")))?;
    let stream = connect(target).await?;
    let (mut sender, driven) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| strange(target, &error))?;
    connection.spawn(driven.without_shutdown());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    let host = HeaderValue::from_str(&target.authority).map_err(|error| strange(target, &error))?;
    request.headers_mut().insert(header::HOST, host);
    let agent = concat!("ringpost/", env!("CARGO_PKG_VERSION"));
    let agent = HeaderValue::from_static(agent);
    request.headers_mut().insert(header::USER_AGENT, agent);
    sender
        .send_request(request)
        .await
        .map_err(|error| strange(target, &error))
}

async fn connect(target: &Target) -> Result<Socket, Error> {
    let failed = |os_error, reason| Error::Connect {
        node: target.clone(),
        os_error,
        reason,
    };
    let stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(|error| failed(error.raw_os_error(), error.to_string()))?;
    // Small frames must not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    if !target.tls {
        return Ok(Socket::Plain(stream));
    }
    let connected = target.roots.connect(&target.host, stream).await;
    connected.map_err(|reason| failed(None, reason))
}

async fn read(target: &Target, response: Response<Incoming>) -> Result<Answer, Error> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Error::Strange {
        node: target.clone(),
        reason: format!("gave an answer that broke off or is over {BODY_BYTES_MAX} bytes: {error}"),
    })?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    })
}

fn strange(target: &Target, error: &impl std::fmt::Display) -> Error {
    Error::Strange {
        node: target.clone(),
        reason: format!("did not answer as an HTTP server: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_that_of_the_example_in_rfc_6455() {
        assert_eq!(
            accept_of("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
