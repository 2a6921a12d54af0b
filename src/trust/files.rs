//! Files that are read again when they change.
//!
//! Their contents are compared every few seconds: secrets are often links that are turned to another
//! directory as a whole (Kubernetes), or lie on network file systems, and of those a watch on the file
//! hears nothing. They are a few kilobytes.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ConfigError;
use crate::dispatch::Dispatch;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// Longest file of keys, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Files of which one value is made.
#[derive(Debug, Clone)]
pub(crate) struct FileSet {
    /// The setting that names each file, by its flag, and the file.
    files: Vec<(&'static str, PathBuf)>,
}

/// What a [`FileSet`] has in it, in the same order.
type Contents = Vec<Vec<u8>>;

/// Makes the value of the contents of the files, in their order; says which file it cannot be made of, by its
/// place, and why. The sentence quotes nothing of the file.
pub(crate) type Parse<T> = dyn Fn(&[Vec<u8>]) -> Result<T, (usize, String)> + Send + Sync;

/// A value that is made of files, as they are now.
pub(crate) struct Reloaded<T> {
    files: FileSet,
    parse: Box<Parse<T>>,
    value: ArcSwap<T>,
    /// What the first value was made of, until the files are followed: they may have changed in between.
    first: Mutex<Option<Vec<Vec<u8>>>>,
}

impl FileSet {
    /// The files of these settings.
    pub fn new(files: impl IntoIterator<Item = (&'static str, PathBuf)>) -> Self {
        Self {
            files: files.into_iter().collect(),
        }
    }

    fn read(&self) -> Result<Contents, ConfigError> {
        let read = |(at, (_, path)): (usize, &(_, PathBuf))| {
            let mut bytes = Vec::new();
            let file = File::open(path).and_then(|file| {
                file.take(FILE_BYTES_MAX + 1)
                    .read_to_end(&mut bytes)
                    .map(|_| ())
            });
            file.map_err(|error| self.refuse(at, format!("it cannot be read ({error})")))?;
            if bytes.len() as u64 > FILE_BYTES_MAX {
                return Err(self.refuse(at, format!("it has more than {FILE_BYTES_MAX} bytes")));
            }
            Ok(bytes)
        };
        self.files.iter().enumerate().map(read).collect()
    }

    fn refuse(&self, at: usize, reason: String) -> ConfigError {
        let (key, path) = &self.files[at];
        ConfigError {
            key,
            value: path.display().to_string(),
            reason,
        }
    }
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// A file that cannot be read, or of which nothing can be made.
    pub fn load(
        files: FileSet,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, (usize, String)> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, ConfigError> {
        let contents = files.read()?;
        let value = parse(&contents).map_err(|(at, reason)| files.refuse(at, reason))?;
        Ok(Arc::new(Self {
            files,
            first: Mutex::new(Some(contents)),
            parse: Box::new(parse),
            value: ArcSwap::from_pointee(value),
        }))
    }

    /// The value as it is now. Keep it for the length of one decision only.
    pub fn now(&self) -> Guard<Arc<T>> {
        self.value.load()
    }

    /// Reads the files again whenever they change, for ever. What cannot be read, or of which nothing can be
    /// made, is logged and counted, and the value stays as it was; it counts as stale until they can be used.
    async fn follow(&self, dispatch: &Dispatch) {
        let counters = dispatch.counters();
        let mut is_stale = false;
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Of a file that is wrong it is said once.
        let mut seen = {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.take()
        };
        loop {
            ticks.tick().await;
            let files = self.files.clone();
            let read = tokio::task::spawn_blocking(move || files.read()).await;
            let Ok(read) = read else { return };
            let taken = match read {
                Ok(contents) if seen.as_ref() == Some(&contents) => continue,
                Ok(contents) => {
                    let made = (self.parse)(&contents);
                    seen = Some(contents);
                    made.map_err(|(at, reason)| self.files.refuse(at, reason))
                }
                Err(_) if seen.is_none() && is_stale => continue,
                Err(error) => {
                    seen = None;
                    Err(error)
                }
            };
            let was_stale = std::mem::replace(&mut is_stale, taken.is_err());
            dispatch.count_stale_keys(was_stale, is_stale);
            match taken {
                Ok(value) => {
                    self.value.store(Arc::new(value));
                    counters.key_reloads.add();
                    tracing::info!(files = %self.names(), "read again");
                }
                Err(error) => {
                    counters.key_reload_errors.add();
                    tracing::error!(%error, "what was read before stays in use");
                }
            }
        }
    }

    /// Follows the files until the node stops.
    pub fn spawn(
        self: &Arc<Self>,
        dispatch: &Arc<Dispatch>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let (reloaded, dispatch, stop) = (Arc::clone(self), Arc::clone(dispatch), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = reloaded.follow(&dispatch) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    fn names(&self) -> String {
        let names: Vec<_> = (self.files.files.iter())
            .map(|(_, path)| path.display().to_string())
            .collect();
        names.join(", ")
    }
}

impl<T> std::fmt::Debug for Reloaded<T> {
    /// Nothing of the value: it is a secret as a rule.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloaded")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
