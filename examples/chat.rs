//! The classic chat, on as many nodes as you like: a welcome with your id, a lobby for all, who comes
//! and goes, and direct messages.
//!
//! ```text
//! cargo run --example chat -- --id n1
//! cargo run --example chat -- --id n2 --listen 127.0.0.1:7002 --peer-listen 127.0.0.1:7102
//! websocat 'ws://127.0.0.1:7001/ws?user=alice&redirect=never'
//! websocat 'ws://127.0.0.1:7002/ws?user=bob&redirect=never'
//! {"type":"send","id":"1","to":{"room":"lobby"},"body":"hello, all"}
//! {"type":"send","id":"2","to":{"room":"lobby"},"body":"/msg bob hello, you"}
//! {"type":"send","id":"3","to":{"user":"bob"},"body":"the same, said plainly"}
//! {"type":"send","id":"4","to":{"room":"lobby"},"body":"/who"}
//! ```

use std::net::SocketAddr;

use clap::Parser;
use ringpost::error::CloseCode;
use ringpost::id::{NodeId, RoomName, UserId};
use ringpost::{Config, Handler, Incoming, Node, Session, Verdict};

/// A chat server on Ringpost.
#[derive(Parser)]
struct Args {
    #[arg(long)]
    id: String,
    #[arg(long, default_value = "127.0.0.1:7001")]
    listen: SocketAddr,
    #[arg(long, default_value = "127.0.0.1:7101")]
    peer_listen: SocketAddr,
    /// Nodes of the chat, this one too; each once.
    #[arg(long, default_values = ["127.0.0.1:7101", "127.0.0.1:7102"])]
    seeds: Vec<String>,
}

/// What the chat does with its sessions.
pub(crate) struct Chat {
    lobby: RoomName,
    host: UserId,
}

impl Chat {
    /// A chat with one lobby.
    pub(crate) fn new() -> Result<Self, ringpost::id::InvalidId> {
        let (lobby, host) = (RoomName::new("lobby")?, UserId::new("the host")?);
        Ok(Self { lobby, host })
    }
}

#[ringpost::async_trait]
impl Handler for Chat {
    async fn on_open(&self, session: &Session) {
        let (user, id) = (session.user(), session.id());
        session.send(&self.host, format!("welcome, {user}, your id is {id}"));
        // All others in there are told who has come and, however the session ends, who has gone.
        if session.join(&self.lobby).await.is_err() {
            session.close(CloseCode::TryLater, "no way to the lobby");
        }
    }

    async fn on_message(&self, session: &Session, message: Incoming) -> Verdict {
        let Some(text) = message.body.text() else {
            return Verdict::refuse("a message is a text here");
        };
        let mut words = text.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("/msg"), Some(user), Some(text)) => match UserId::new(user) {
                Ok(user) => Verdict::rewrite(&user, text),
                Err(why) => Verdict::refuse(format!("nobody can have that name: {why}")),
            },
            (Some("/who"), ..) => match session.handle().room(&self.lobby).members(None).await {
                Ok(page) => {
                    let users: Vec<_> = page.users.iter().map(UserId::as_str).collect();
                    session.send(&self.host, users.join(", "));
                    Verdict::Taken
                }
                Err(code) => Verdict::Refuse(code.into()),
            },
            _ => Verdict::Pass,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let mut config = Config::new(NodeId::new(&args.id)?);
    config.listen = args.listen;
    config.peer_listen = args.peer_listen;
    config.admin_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.seeds = args.seeds;
    config.insecure_users = true; // There is no password here: whoever says "alice" is alice.
    let node = Node::start_with(config, Chat::new()?).await?;
    println!("{}/ws?user=your-name", node.ready().url);
    tokio::signal::ctrl_c().await?;
    node.drain().await;
    Ok(())
}
