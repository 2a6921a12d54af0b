//! The three addresses of a node.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{Ready, StartError};
use crate::config::Config;

/// Bound, and where.
pub(super) struct Listeners {
    pub client: TcpListener,
    pub peer: TcpListener,
    pub admin: TcpListener,
    client_at: SocketAddr,
    peer_at: SocketAddr,
    admin_at: SocketAddr,
}

impl Listeners {
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let (client, client_at) = bind("listen", config.listen).await?;
        let (peer, peer_at) = bind("peer-listen", config.peer_listen).await?;
        let (admin, admin_at) = bind("admin-listen", config.admin_listen).await?;
        Ok(Self {
            client,
            peer,
            admin,
            client_at,
            peer_at,
            admin_at,
        })
    }

    pub fn ready(&self, config: &Config) -> Ready {
        let url = config.advertise_url.clone();
        let peer = config.advertise_peer.clone();
        let scheme = if config.tls.cert.is_some() {
            "wss"
        } else {
            "ws"
        };
        Ready {
            id: config.id.clone(),
            url: url.unwrap_or_else(|| format!("{scheme}://{}", self.client_at)),
            peer: peer.unwrap_or_else(|| self.peer_at.to_string()),
            admin: self.admin_at.to_string(),
        }
    }
}

async fn bind(
    key: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Bind {
        key,
        address,
        error,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
