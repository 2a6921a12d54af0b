//! What stands in files of keys, secrets and certificates, and takes effect when it changes.

mod api_keys;
mod files;
mod names;
mod peers;
mod secret;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::api_keys::ApiKeys;
pub(crate) use self::files::{FileSet, Reloaded};
pub(crate) use self::peers::{Admitted, PeerTls, Side};

use crate::config::{Config, ConfigError};
use crate::dispatch::Dispatch;

/// Whom a node trusts, by its files.
pub(crate) struct Trust {
    /// Other nodes; `None`: whoever reaches the peer address.
    pub peers: Option<Arc<PeerTls>>,
    /// Backends; `None`: whoever reaches the admin address.
    pub api_keys: Option<Arc<Reloaded<ApiKeys>>>,
}

impl Trust {
    /// Reads all files.
    ///
    /// # Errors
    /// One that cannot be read or used.
    pub fn load(config: &Config) -> Result<Self, ConfigError> {
        let keys = |path: &std::path::PathBuf| {
            let files = FileSet::new([("api-keys-file", path.clone())]);
            Reloaded::load(files, |files| {
                ApiKeys::parse(&files[0]).map_err(|reason| (0, reason))
            })
        };
        Ok(Self {
            peers: PeerTls::load(config)?,
            api_keys: config.api_keys.as_ref().map(keys).transpose()?,
        })
    }

    /// Follows the files until the node stops.
    pub fn follow(&self, dispatch: &Arc<Dispatch>, tasks: &TaskTracker, stop: &CancellationToken) {
        let until_the_end = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(task).await });
        };
        if let Some(peers) = &self.peers {
            until_the_end(Box::pin(peers.files().follow(Arc::clone(dispatch))));
            until_the_end(Box::pin(Arc::clone(peers).withdraw()));
        }
        if let Some(keys) = &self.api_keys {
            until_the_end(Box::pin(Arc::clone(keys).follow(Arc::clone(dispatch))));
        }
    }
}
