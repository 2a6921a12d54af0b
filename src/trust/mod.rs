//! What stands in files of keys, secrets and certificates, and takes effect when it changes.

mod files;

pub(crate) use self::files::{FileSet, Reloaded};
