//! The stream over which a node tells another what it wants.

use tokio_stream::StreamExt as _;
use tonic::Streaming;

use ringpost::wire::proto;

use crate::peer::{self, Caller};
use crate::support::{Cluster, Node, PATIENCE};

/// A node calls, and says nothing more, but does not end the call.
async fn call(node: &Node) -> Streaming<proto::ReplyBatch> {
    let mut client = peer::plain(node).await.expect("a connection");
    let hello = tokio_stream::once(Caller::new("n9").batch());
    let batches = hello.chain(tokio_stream::pending());
    client.link(batches).await.expect("taken").into_inner()
}

/// What was told on it is forgotten, and its caller has to know that to tell it again.
#[test]
fn a_link_ends_at_once_when_its_node_opens_another() {
    let cluster = Cluster::of(1, &[]);
    peer::runtime().block_on(async {
        let mut first = call(&cluster.nodes[0]).await;
        let _second = call(&cluster.nodes[0]).await;
        let ended = async { while let Ok(Some(_)) = first.message().await {} };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        ended.expect("the first link ends");
    });
}
