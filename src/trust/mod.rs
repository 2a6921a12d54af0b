//! What stands in files of keys, secrets and certificates, and takes effect when it changes.

mod files;
mod tls;

pub(crate) use self::files::{FileSet, Reloaded};
pub(crate) use self::tls::ClientTls;
