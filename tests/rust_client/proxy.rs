//! A way to a node that can be cut.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to a node.
pub struct Proxy {
    address: String,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    /// In front of the node at this URL.
    pub async fn start(node: &str) -> Self {
        let node = node.strip_prefix("ws://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cuts = watch::Sender::new(0);
        let source = cuts.clone();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (node, mut cut) = (node.clone(), source.subscribe());
                tokio::spawn(async move {
                    let Ok(mut node) = TcpStream::connect(node).await else {
                        return;
                    };
                    // What is on its way when it is cut is lost.
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut node) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts }
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Ends all connections that there are; new ones can be made.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}
