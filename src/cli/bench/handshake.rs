//! How a session of the load test is opened, redirects included.

use std::io;
use std::time::Duration;

use hyper::{StatusCode, header};
use tokio::time::timeout;

use super::connection::{Connection, Failure, io_code};
use super::messages::{Incoming, Position};
use ringpost::client::http::{Answer, Handshake, upgrade};
use ringpost::client::{Error, Target, encoded};

/// How often a redirect is followed. One is usual: whoever comes with `hop` is not sent on.
const REDIRECTS_MAX: u32 = 5;

/// Where sessions of the load test begin, and what they may do.
#[derive(Debug)]
pub struct Route {
    /// At least one.
    pub nodes: Vec<Target>,
    /// Of a whole handshake, redirects included.
    pub timeout: Duration,
    /// Whether a redirect may lead off this machine.
    pub anywhere: bool,
}

/// A session that has been welcomed.
pub struct Opened {
    pub connection: Connection,
    /// As the welcome says.
    pub position: Option<Position>,
    /// Redirects that were followed.
    pub redirects: u32,
}

impl Route {
    /// Opens a session of this user at one of the nodes, or where a redirect said, and follows
    /// further redirects.
    pub async fn open(
        &self,
        node: usize,
        user: &str,
        position: Option<&Position>,
        redirected: Option<&str>,
    ) -> Result<Opened, Failure> {
        let opening = self.open_in_time(node, user, position, redirected);
        timeout(self.timeout, opening).await.unwrap_or_else(|_| {
            let sentence = format!("no welcome within {:?}", self.timeout);
            Err(Failure::new("timeout", sentence))
        })
    }

    async fn open_in_time(
        &self,
        node: usize,
        user: &str,
        position: Option<&Position>,
        redirected: Option<&str>,
    ) -> Result<Opened, Failure> {
        let mut target = self.nodes[node % self.nodes.len()].clone();
        let mut path = format!("/ws?user={}&redirect=http", encoded(user));
        if let Some(url) = redirected {
            (target, path) = self.follow(&target, url)?;
        }
        if let Some(Position { epoch, offset }) = position {
            path = format!("{path}&epoch={}&offset={offset}", encoded(epoch));
        }
        for redirects in 0..=REDIRECTS_MAX {
            let url = match begin(&target, &path).await? {
                Begun::Welcomed(connection, position) => {
                    return Ok(Opened {
                        connection,
                        position,
                        redirects,
                    });
                }
                Begun::Redirected(url) => url,
            };
            (target, path) = self.follow(&target, &url)?;
        }
        let sentence = format!("{target} redirected more than {REDIRECTS_MAX} times");
        Err(Failure::new("redirects", sentence))
    }

    fn follow(&self, from: &Target, url: &str) -> Result<(Target, String), Failure> {
        let bad = |sentence| Failure::new("redirect", sentence);
        let resolved = from.resolve(url);
        let (target, path) = resolved.ok_or_else(|| bad(format!("{from} redirects to {url:?}")))?;
        if self.anywhere || target.is_loopback() {
            return Ok((target, path));
        }
        let sentence = format!("{from} redirects to {target}, off this machine; --yes allows it");
        Err(Failure {
            is_final: true,
            ..bad(sentence)
        })
    }
}

enum Begun {
    Welcomed(Connection, Option<Position>),
    Redirected(String),
}

/// One handshake, up to the first message.
async fn begin(target: &Target, path: &str) -> Result<Begun, Failure> {
    let odd = |sentence| Failure::new("handshake", sentence);
    let handshake = upgrade(target, path, None).await;
    let handshake = handshake.map_err(|error| match &error {
        Error::Connect { os_error, .. } => {
            let code = os_error.map_or("io", |code| io_code(&io::Error::from_raw_os_error(code)));
            Failure::new(code, error.to_string())
        }
        _ => odd(error.to_string()),
    })?;
    let (stream, read) = match handshake {
        Handshake::Open(stream, read) => (stream, read),
        Handshake::Refused(answer) => return location(target, &answer).map(Begun::Redirected),
    };
    let mut connection = Connection::new(stream, &read);
    let mut begun = None;
    loop {
        connection.each_text(|text, _| {
            begun = Some(match Incoming::read(text) {
                Incoming::Welcome { position } => Ok(Ok(position)),
                Incoming::Redirect { url, .. } => Ok(Err(url)),
                Incoming::Error { code } => Err(Failure::new(
                    format!("error_{code}"),
                    format!("{target} refused: {code}"),
                )),
                _ => Err(odd(format!("{target} did not begin with a welcome"))),
            });
            false
        })?;
        match begun {
            Some(Ok(Ok(position))) => return Ok(Begun::Welcomed(connection, position)),
            Some(Ok(Err(url))) => return Ok(Begun::Redirected(url)),
            Some(Err(failure)) => return Err(failure),
            None => connection.turn().await?,
        }
    }
}

/// Where a 307 points to.
fn location(target: &Target, answer: &Answer) -> Result<String, Failure> {
    let code = format!("http_{}", answer.status.as_u16());
    let sentence = match answer.status {
        StatusCode::TEMPORARY_REDIRECT => {
            let location = answer.headers.get(header::LOCATION);
            if let Some(Ok(url)) = location.map(|location| location.to_str()) {
                return Ok(url.to_owned());
            }
            format!("{target} redirected to nowhere")
        }
        StatusCode::NOT_FOUND => {
            format!("{target} has no /ws; bench takes client addresses (--listen of the nodes)")
        }
        _ => format!("{target} answered {}", answer.sentence()),
    };
    Err(Failure::new(code, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_off_this_machine_needs_permission() {
        let nodes = vec!["127.0.0.1:1".parse().unwrap()];
        let timeout = Duration::from_secs(1);
        let mut route = Route {
            nodes,
            timeout,
            anywhere: false,
        };
        let node = route.nodes[0].clone();
        assert!(route.follow(&node, "//127.0.0.1:2/ws?x").is_ok());
        let failure = route.follow(&node, "//192.0.2.1:2/ws?x").unwrap_err();
        assert!(failure.is_final && failure.sentence.contains("--yes"));
        route.anywhere = true;
        assert!(route.follow(&node, "//192.0.2.1:2/ws?x").is_ok());
    }
}
