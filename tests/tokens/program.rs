//! What a handler sees of a token, also behind a redirect.

use std::time::Duration;

use ringpost::{Config, Handler, Node, Session, async_trait};
use serde_json::json;
use tokio::sync::mpsc;

use crate::issuer::{Issuer, KeyFile, now};
use crate::support::client::Handshake;
use crate::support::wait::PATIENCE;

/// Tells the role that each session's token gives it.
struct Roles(mpsc::UnboundedSender<String>);

#[async_trait]
impl Handler for Roles {
    async fn on_open(&self, session: &Session) {
        let claims = session.claims().expect("there are tokens");
        let _ = self
            .0
            .send(format!("{} {}", session.user(), claims["role"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_sees_what_the_token_says_also_behind_a_redirect() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let (roles, mut seen) = mpsc::unbounded_channel();
    let mut seeds = Vec::new();
    let mut nodes = Vec::new();
    for id in ["n1", "n2"] {
        let mut config = Config::new(ringpost::id::NodeId::new(id).expect("an id"));
        config.users.jwt_keys = vec![keys.path().to_owned()];
        let free = "127.0.0.1:0".parse().expect("an address");
        (config.listen, config.peer_listen, config.admin_listen) = (free, free, free);
        config.seeds.clone_from(&seeds);
        let node = Node::start_with(config, Roles(roles.clone()));
        let node = node.await.expect("it starts");
        seeds.push(node.ready().peer.clone());
        nodes.push(node);
    }
    let claims = |user: &str| json!({"sub": user, "role": "admin", "exp": now() + 60});
    let start = nodes[0].ready().url.clone();
    // Until both nodes have taken somebody, whoever connects is served or redirected.
    let connecting = tokio::task::spawn_blocking(move || {
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut redirected = 0;
        for number in 0.. {
            let user = format!("user{number}");
            let token = format!("Bearer {}", issuer.sign(&claims(&user)));
            let url = format!("{start}/ws?n={number}");
            let handshake = Handshake::to(&url).header("Authorization", &token);
            match handshake.connect() {
                Ok(mut client) => drop(client.expect("welcome")),
                Err(response) if response.status == 307 => {
                    let location = response.header("location").expect("a place");
                    let to = format!("ws:{location}");
                    match Handshake::to(&to).connect() {
                        Ok(mut client) => {
                            client.expect("welcome");
                            redirected += 1;
                        }
                        // It is known before it knows that it has joined.
                        Err(refusal) => assert_eq!(refusal.status, 503, "{refusal:?}"),
                    }
                }
                Err(response) => assert_eq!(response.status, 503, "{response:?}"),
            }
            if redirected == 3 {
                return number;
            }
            assert!(std::time::Instant::now() < deadline, "nobody is redirected");
        }
        0
    });
    connecting.await.expect("all are let in");
    let mut count = 0;
    // A handler may be asked a moment after the client is welcome.
    let patience = |count| match count {
        0..3 => PATIENCE,
        _ => Duration::from_millis(200),
    };
    while let Ok(Some(line)) = tokio::time::timeout(patience(count), seen.recv()).await {
        assert!(line.ends_with(" \"admin\""), "{line}");
        count += 1;
    }
    assert!(count >= 3, "{count}");
    for node in &nodes {
        node.drain().await;
    }
}
