//! What stands in files of keys, secrets and certificates, and takes effect when it changes.

mod api_keys;
mod files;
mod names;
mod peers;
mod secret;
mod tls;
mod users;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::api_keys::ApiKeys;
pub(crate) use self::files::{FileSet, Reloaded};
pub(crate) use self::peers::{Admitted, PeerTls, Side};
pub(crate) use self::tls::ClientTls;
pub(crate) use self::users::Tokens;
use crate::config::{Config, ConfigError};
use crate::dispatch::Dispatch;

/// Whom a node trusts, by its files.
pub(crate) struct Trust {
    /// Users; `None`: whoever says who they are.
    pub tokens: Option<Tokens>,
    /// Other nodes; `None`: whoever reaches the peer address.
    pub peers: Option<Arc<PeerTls>>,
    /// Backends; `None`: whoever reaches the admin address.
    pub api_keys: Option<Arc<Reloaded<ApiKeys>>>,
    /// `None`: clients speak plain HTTP.
    pub tls: Option<ClientTls>,
}

impl Trust {
    /// Reads all files for the first time.
    ///
    /// # Errors
    /// One that cannot be read or used.
    pub fn load(config: &Config) -> Result<Self, ConfigError> {
        let keys = |path: &PathBuf| {
            let files = FileSet::new([("api-keys-file", path.clone())]);
            Reloaded::load(files, |files| {
                ApiKeys::parse(&files[0]).map_err(|reason| (0, reason))
            })
        };
        Ok(Self {
            tokens: Tokens::load(&config.users)?,
            peers: PeerTls::load(config)?,
            api_keys: config.api_keys.as_ref().map(keys).transpose()?,
            tls: ClientTls::load(&config.tls)?,
        })
    }

    /// Reads them again whenever they change, until the node stops.
    pub fn follow(&self, dispatch: &Arc<Dispatch>, tasks: &TaskTracker, stop: &CancellationToken) {
        if let Some(tokens) = &self.tokens {
            tokens.keys.spawn(dispatch, tasks, stop);
        }
        if let Some(peers) = &self.peers {
            peers.files().spawn(dispatch, tasks, stop);
            let (withdraw, stop) = (Arc::clone(peers).withdraw(), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(withdraw).await });
        }
        if let Some(keys) = &self.api_keys {
            keys.spawn(dispatch, tasks, stop);
        }
        if let Some(tls) = &self.tls {
            tls.reloaded().spawn(dispatch, tasks, stop);
        }
    }
}
