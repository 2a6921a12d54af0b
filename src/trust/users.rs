//! Who is believed to be which user.

use std::sync::Arc;

use super::{FileSet, Reloaded};
use crate::config::{ConfigError, UserTrust};
use crate::core::trust::{Keyring, Principal, TokenError, TokenPolicy};

/// Tokens, by the keys that count now.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub keys: Arc<Reloaded<Keyring>>,
    policy: TokenPolicy,
    /// How long before its token expires a client is told, in milliseconds.
    pub warning_ms: u64,
}

impl Tokens {
    /// Reads the keys; `None` where there are no files of keys, since users are believed then.
    ///
    /// # Errors
    /// A file that cannot be read or has no keys in it.
    pub fn load(trust: &UserTrust) -> Result<Option<Self>, ConfigError> {
        if !trust.is_on() {
            return Ok(None);
        }
        let keys = trust.jwt_keys.iter().map(|file| ("jwt-keys", file));
        let secrets = (trust.jwt_secrets.iter()).map(|file| ("jwt-secret-file", file));
        let files = keys.chain(secrets).map(|(key, file)| (key, file.clone()));
        let secrets_from = trust.jwt_keys.len();
        let keys = Reloaded::load(FileSet::new(files), move |files| {
            keyring(files, secrets_from)
        })?;
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(Some(Self {
            keys,
            policy: TokenPolicy {
                audiences: trust.audiences.clone(),
                issuers: trust.issuers.clone(),
                leeway_ms: ms(trust.leeway),
            },
            warning_ms: ms(trust.expiry_warning),
        }))
    }

    /// Whose token this is, `now` in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`TokenError`]: it is not believed.
    pub fn verify(&self, token: &str, now: u64) -> Result<Principal, TokenError> {
        self.keys.now().verify(token, &self.policy, now)
    }
}

/// From that file on they are secrets.
fn keyring(files: &[Vec<u8>], secrets_from: usize) -> Result<Keyring, (usize, String)> {
    let mut keyring = Keyring::default();
    for (at, file) in files.iter().enumerate() {
        let added = if at < secrets_from {
            keyring.add_file(file)
        } else {
            keyring.add_secret(file.trim_ascii_end())
        };
        added.map_err(|error| (at, error.to_string()))?;
    }
    Ok(keyring)
}
