//! `ringpost demo`: a whole cluster in one process, and a web page to play with it.
//!
//! The nodes are real: each has its own runtime, thread and ports, and they know each other only
//! over loopback sockets, so a node that is killed here is missed just as one on another machine.

mod assets;
mod cluster;
mod guard;
mod machine;
mod page;
mod ports;
mod ring;

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::DemoArgs;
use crate::cli::output::print;
use cluster::Cluster;
use guard::Guard;
use page::Page;

/// The cluster's name, from which the ring is seeded: chosen so that alice and bob, the users whom the
/// page begins with, live on different nodes whatever the number of nodes is.
const CLUSTER: &str = "demo-6";
/// How long a node that is stopped may take to send its users away: they have five seconds after
/// they were told.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// Runs the demonstration until a signal ends it.
///
/// # Errors
/// A sentence: the page's address cannot be bound or is not loopback, or no ports were free for the
/// nodes.
pub async fn run(args: DemoArgs) -> Result<ExitCode, String> {
    start_log()?;
    let ended = end_signal().map_err(|error| format!("signals cannot be handled: {error}"))?;
    let (listener, at) = listen(args.listen).await?;
    let guard = Guard::new(at);
    let cluster = Cluster::start(args.nodes, &guard).await?;
    print(&announcement(&cluster, at));
    let page = Arc::new(Page::new(cluster, guard));
    tokio::select! {
        () = Arc::clone(&page).serve(listener) => {}
        () = ended => {}
    }
    page.end().await;
    Ok(ExitCode::SUCCESS)
}

/// Warnings go to standard error; `RUST_LOG` asks for more.
fn start_log() -> Result<(), String> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env()
        .map_err(|error| format!("RUST_LOG is not a filter: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .log_internal_errors(false)
        .init();
    Ok(())
}

/// Resolves at the first SIGINT or SIGTERM after this call.
#[cfg(unix)]
fn end_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves at the first Ctrl-C.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
fn end_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Where it cannot be waited for, nobody can send it.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Binds the page's address. Only loopback: whoever reaches the page may kill nodes, and from
/// another machine nobody would reach the nodes anyway.
async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    if !address.ip().is_loopback() {
        return Err(format!(
            "listen = {address}: the demonstration is for this machine only; it must be a loopback \
             address, 127.0.0.1:8080, say"
        ));
    }
    let failed = |error: io::Error| {
        let what_would_do = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program listens there; --listen 127.0.0.1:0 takes a free port"
            }
            _ => "--listen takes another address",
        };
        format!("listen = {address}: cannot serve the page there ({error}); {what_would_do}")
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    Ok((listener, at))
}

fn announcement(cluster: &Cluster, at: SocketAddr) -> String {
    let machines = cluster.machines();
    let count = match machines.len() {
        1 => "One node is running".to_owned(),
        count => format!("{count} nodes are running"),
    };
    let mut text = format!("{count} in this process:\n\n");
    for machine in machines {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {:<4} clients {}   peers {}   admin http://{}",
            machine.id(),
            machine.url(),
            machine.peer(),
            machine.admin(),
        );
    }
    let _ = write!(
        text,
        "\nOpen http://{at}/ in a browser: be some users, and kill their nodes. Ctrl-C ends everything."
    );
    text
}

#[cfg(test)]
mod tests {
    use ringpost::core::ring::{Ring, RingNode, Seed};
    use ringpost::id::NodeId;

    use super::cluster::NODES_MAX;
    use super::*;

    fn owner(cluster: &str, nodes: &[u8], user: &str) -> usize {
        let nodes = nodes.iter().map(|number| RingNode {
            id: NodeId::new(&format!("n{number}")).unwrap(),
            weight: 1,
        });
        let ring = Ring::build(Seed::of_cluster(cluster), nodes);
        usize::from(ring.owner(ring.hash(user.as_bytes())).unwrap().0)
    }

    fn are_apart(cluster: &str, nodes: &[u8]) -> bool {
        owner(cluster, nodes, "alice") != owner(cluster, nodes, "bob")
    }

    #[test]
    fn alice_and_bob_live_on_different_nodes() {
        for count in 2..=NODES_MAX {
            let nodes: Vec<_> = (1..=count).collect();
            assert!(are_apart(CLUSTER, &nodes), "{count}");
        }
        // Of three, still when any one of them is gone.
        for nodes in [[1, 2], [1, 3], [2, 3]] {
            assert!(are_apart(CLUSTER, &nodes), "{nodes:?}");
        }
    }
}
