//! What stands in files of keys, secrets and certificates, and takes effect when it changes.

mod files;
mod tls;
mod users;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::files::{FileSet, Reloaded};
pub(crate) use self::tls::ClientTls;
pub(crate) use self::users::Tokens;
use crate::config::{Config, ConfigError};
use crate::dispatch::Dispatch;

/// All that a node reads from such files.
#[derive(Debug)]
pub(crate) struct Trust {
    /// `None`: users are believed without tokens.
    pub tokens: Option<Tokens>,
    /// `None`: clients speak plain HTTP.
    pub tls: Option<ClientTls>,
}

impl Trust {
    /// Reads all files for the first time.
    ///
    /// # Errors
    /// A file that cannot be read, or of which nothing can be made.
    pub fn load(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {
            tokens: Tokens::load(&config.users)?,
            tls: ClientTls::load(&config.tls)?,
        })
    }

    /// Reads them again whenever they change, until the node stops.
    pub fn follow(&self, dispatch: &Arc<Dispatch>, tasks: &TaskTracker, stop: &CancellationToken) {
        if let Some(tokens) = &self.tokens {
            tokens.keys.spawn(dispatch, tasks, stop);
        }
        if let Some(tls) = &self.tls {
            tls.reloaded().spawn(dispatch, tasks, stop);
        }
    }
}
