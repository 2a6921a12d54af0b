//! A small HTTP/1.1 client: one request a connection, with or without an upgrade to WebSocket.
//!
//! No TLS; it is for operators beside the cluster.

use std::fmt::{self, Write as _};
use std::io;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Role, WebSocket, handshake};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::net::TcpStream;

/// Largest answer that is read, in bytes. A cluster view of 1,000 members has about 200 KiB.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest WebSocket message that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A node's address, from `http://host:port`, `ws://host:port` or `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    /// As it stands in `Host`.
    authority: String,
}

impl Target {
    /// A whole URL, as a redirect gives it: the node and the path with the query. A URL that
    /// begins with `//` or `/` is relative to this one.
    pub fn resolve(&self, url: &str) -> Result<(Self, String), String> {
        let bad = || format!("a redirect to {url:?}, which is no ws:// or http:// URL");
        let rest = match url.split_once("://") {
            Some(("ws" | "http", rest)) => rest,
            None if url.starts_with("//") => &url[2..],
            None if url.starts_with('/') => return Ok((self.clone(), url.to_owned())),
            Some(_) | None => return Err(bad()),
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Ok((Self::from_authority(authority).ok_or_else(bad)?, path))
    }

    /// Whether it is on this machine, by its address or by the name `localhost`.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        address.map_or(self.host == "localhost", |address| address.is_loopback())
    }

    /// Opens a connection.
    pub async fn dial(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // The last small frames before a close must not wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    fn from_authority(text: &str) -> Option<Self> {
        let authority: hyper::http::uri::Authority = text.parse().ok()?;
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok().filter(|port| *port > 0)?,
            None if authority.as_str() == authority.host() => 80,
            None => return None,
        };
        if text.contains('@') || authority.host().is_empty() {
            return None;
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Some(Self {
            host,
            port,
            authority: text.to_owned(),
        })
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str = "it must be http://host:port, ws://host:port or host:port";
        let rest = match text.split_once("://") {
            Some(("http" | "ws", rest)) => rest,
            Some(("https" | "wss", _)) => {
                return Err(format!("TLS is not spoken by this command; {WANTED}"));
            }
            Some(_) => return Err(WANTED.to_owned()),
            None => text,
        };
        let authority = rest
            .strip_suffix("/ws")
            .or_else(|| rest.strip_suffix('/'))
            .unwrap_or(rest);
        Self::from_authority(authority).ok_or_else(|| WANTED.to_owned())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

/// A user id as it stands in a query.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// One line on an answer that was not hoped for: its status and what its body says.
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
pub async fn get(target: &Target, path: &str) -> Result<Answer, String> {
    let request = request(target, path)?
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    read(
        target,
        exchange(target, connect(target).await?, request).await?,
    )
    .await
}

/// A WebSocket connection that puts fragments together.
pub type Socket = FragmentCollector<TokioIo<Upgraded>>;

/// What became of a handshake.
pub enum Handshake {
    Open(Box<Socket>),
    /// Any status but 101.
    Refused(Answer),
}

/// Asks for a path and an upgrade to WebSocket with the subprotocol `ringpost.v1.json`.
pub async fn upgrade(target: &Target, path: &str) -> Result<Handshake, String> {
    let stream = connect(target).await?;
    let upgraded = match ask_upgrade(target, stream, path).await? {
        Ok(upgraded) => upgraded,
        Err(answer) => return Ok(Handshake::Refused(answer)),
    };
    let mut socket = WebSocket::after_handshake(TokioIo::new(upgraded), Role::Client);
    socket.set_max_message_size(MESSAGE_BYTES_MAX);
    Ok(Handshake::Open(Box::new(FragmentCollector::new(socket))))
}

/// The same on a connection of the caller's, who gets it back, for frames of his own, with what
/// has been read of it already. The error is an answer other than 101.
pub async fn switch(
    target: &Target,
    stream: TcpStream,
    path: &str,
) -> Result<Result<(TcpStream, Bytes), Answer>, String> {
    let upgraded = match ask_upgrade(target, stream, path).await? {
        Ok(upgraded) => upgraded,
        Err(answer) => return Ok(Err(answer)),
    };
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| format!("the connection to {target} is not the one that was opened"))?;
    Ok(Ok((parts.io.into_inner(), parts.read_buf)))
}

async fn ask_upgrade(
    target: &Target,
    stream: TcpStream,
    path: &str,
) -> Result<Result<Upgraded, Answer>, String> {
    let key = handshake::generate_key();
    let request = request(target, path)?
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, "ringpost.v1.json")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let response = exchange(target, stream, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Err(read(target, response).await?));
    }
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != accept_of(&key).as_bytes()) {
        return Err(format!(
            "{target} is not a WebSocket server: Sec-WebSocket-Accept is wrong"
        ));
    }
    let upgraded = hyper::upgrade::on(response).await;
    upgraded.map(Ok).map_err(|error| broken(target, &error))
}

/// RFC 6455, section 4.2.2.
fn accept_of(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

fn request(target: &Target, path: &str) -> Result<hyper::http::request::Builder, String> {
    let uri: Uri = path
        .parse()
        .map_err(|error| format!("{path:?} is no path ({error})"))?;
    Ok(Request::get(uri)
        .header(header::HOST, &target.authority)
        .header(
            header::USER_AGENT,
            concat!("ringpost/", env!("CARGO_PKG_VERSION")),
        ))
}

async fn connect(target: &Target) -> Result<TcpStream, String> {
    let stream = target.dial().await;
    stream.map_err(|error| format!("cannot connect to {target}: {error}"))
}

async fn exchange(
    target: &Target,
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(target, &error))?;
    // Its errors are those of the request; it ends with it, or with the upgraded connection.
    tokio::spawn(connection.with_upgrades());
    sender
        .send_request(request)
        .await
        .map_err(|error| broken(target, &error))
}

async fn read(target: &Target, response: Response<Incoming>) -> Result<Answer, String> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| {
            format!("the answer of {target} broke off or is over {BODY_BYTES_MAX} bytes: {error}")
        })?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    })
}

fn broken(target: &Target, error: &hyper::Error) -> String {
    format!("{target} did not answer as an HTTP server: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_url_or_by_address() {
        for text in [
            "http://127.0.0.1:7001",
            "ws://127.0.0.1:7001/ws",
            "127.0.0.1:7001",
            "127.0.0.1:7001/",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(
                (target.host.as_str(), target.port),
                ("127.0.0.1", 7001),
                "{text}"
            );
        }
        let target: Target = "http://[::1]".parse().unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 80));
        for text in [
            "",
            "https://a",
            "ftp://a",
            "http://",
            "a:x",
            "a:",
            "a:70000",
            "u@a",
            "a/b",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_an_address_or_localhost() {
        for (text, expected) in [
            ("127.0.0.1:1", true),
            ("127.9.8.7:1", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("10.0.0.1:1", false),
            ("0.0.0.0:1", false),
            ("localhost.example:1", false),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn redirects_are_absolute_scheme_relative_or_paths() {
        let here: Target = "a:1".parse().unwrap();
        for (url, authority, path) in [
            ("ws://b:2/ws?user=x&hop=1", "b:2", "/ws?user=x&hop=1"),
            ("http://b:2", "b:2", "/"),
            ("//b:2/ws?x", "b:2", "/ws?x"),
            ("/ws?x", "a:1", "/ws?x"),
        ] {
            let (target, rest) = here.resolve(url).unwrap();
            assert_eq!(
                (target.authority.as_str(), rest.as_str()),
                (authority, path),
                "{url}"
            );
        }
        for url in ["wss://b/ws", "b:2/ws", "javascript:1", "ws://", ""] {
            assert!(here.resolve(url).is_err(), "{url}");
        }
    }

    #[test]
    fn users_are_encoded_byte_by_byte() {
        assert_eq!(encoded("Zoë +1&b=~"), "Zo%C3%AB%20%2B1%26b%3D~");
    }

    #[test]
    fn the_accept_key_is_that_of_the_example_in_rfc_6455() {
        assert_eq!(
            accept_of("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
