//! The settings of webhooks.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::check::{Checked, or_refuse, refuse, within};
use super::{ConfigError, Limits};

/// Where a node tells what happens to its users, and how hard it tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where requests go, `http://host:port/path`; `None`: there are no webhooks.
    pub url: Option<String>,
    /// A file with the secret by which requests are signed, the same at the receiver. White space at
    /// its end does not count. Needed with `url`.
    pub secret_file: Option<PathBuf>,
    /// What is told.
    pub events: Vec<WebhookEvent>,
    /// Bytes of events that wait, [`Limits::message_bytes_max`] or more; past it new ones are dropped.
    pub queue_bytes_max: usize,
    /// How long the receiver may take for one request, connecting included.
    pub timeout: Duration,
    /// An event that is older and cannot be delivered is dropped.
    pub retry_for: Duration,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: None,
            secret_file: None,
            events: WebhookEvent::ALL.to_vec(),
            queue_bytes_max: 64 * 1024 * 1024,
            timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(10 * 60),
        }
    }
}

/// What a webhook can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookEvent {
    /// A session was welcomed.
    Connected,
    /// A session that was welcomed has ended.
    Disconnected,
    /// A message was accepted while its user had no session.
    OfflineMessage,
    /// A message was refused because its user's inbox was full.
    InboxFull,
}

impl WebhookEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Connected,
        Self::Disconnected,
        Self::OfflineMessage,
        Self::InboxFull,
    ];

    /// Its name in settings and in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::OfflineMessage => "offline_message",
            Self::InboxFull => "inbox_full",
        }
    }
}

/// A secret, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl WebhookConfig {
    /// Longest secret, in bytes.
    const SECRET_BYTES_MAX: usize = 4096;

    pub(super) fn check(&self, limits: &Limits) -> Checked {
        let Some(url) = &self.url else {
            return match &self.secret_file {
                None => Ok(()),
                Some(file) => refuse(
                    "webhook-secret-file",
                    file.display(),
                    "it is of no use without --webhook-url",
                ),
            };
        };
        or_refuse("webhook-url", url, http_url(url).map(drop))?;
        self.secret()?;
        if self.events.is_empty() {
            let reason = format!("it must be one or more of {}", names());
            return refuse("webhook-events", "", reason);
        }
        limits.holds_one_message("webhook-queue-bytes", self.queue_bytes_max)?;
        let moment = Duration::from_millis(1);
        within("webhook-timeout", self.timeout, moment)?;
        within("webhook-retry-for", self.retry_for, Duration::ZERO)
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// There is no such file, or nothing in it that could be a secret.
    pub fn secret(&self) -> Result<Secret, ConfigError> {
        const WANTED: &str = "give a file with a secret that the receiver knows, too, such as \
                              32 random bytes in hex";
        let refuse = |value: String, reason: String| ConfigError {
            key: "webhook-secret-file",
            value,
            reason: format!("{reason}; {WANTED}"),
        };
        let Some(path) = &self.secret_file else {
            let reason = "it is required with --webhook-url";
            return Err(refuse(String::new(), reason.to_owned()));
        };
        let shown = || path.display().to_string();
        let mut bytes = Vec::new();
        let most = Self::SECRET_BYTES_MAX as u64 + 1;
        File::open(path)
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .map_err(|error| refuse(shown(), format!("it cannot be read ({error})")))?;
        let secret = bytes.trim_ascii_end();
        if secret.is_empty() {
            return Err(refuse(shown(), "it is empty".to_owned()));
        }
        if bytes.len() > Self::SECRET_BYTES_MAX {
            let reason = format!("it has more than {} bytes", Self::SECRET_BYTES_MAX);
            return Err(refuse(shown(), reason));
        }
        Ok(Secret(secret.into()))
    }
}

/// The names of all events, for a sentence.
pub(super) fn names() -> String {
    WebhookEvent::ALL.map(WebhookEvent::as_str).join(", ")
}

impl std::str::FromStr for WebhookEvent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|event| event.as_str() == text)
            .ok_or_else(|| format!("there is no event {text:?}; there are {}", names()))
    }
}

/// Takes a URL apart, or says what is wrong with it.
pub(crate) fn http_url(text: &str) -> Result<Uri, String> {
    const WANTED: &str = "it must be like http://127.0.0.1:8000/ringpost";
    if text.starts_with("https://") {
        return Err(
            "TLS comes in a later version; give an http:// URL on a network that only \
                    you are on, or that of a proxy on this machine that speaks TLS"
                .to_owned(),
        );
    }
    if !text.starts_with("http://") {
        return Err(format!("the scheme must be http; {WANTED}"));
    }
    let url: Uri =
        (text.parse()).map_err(|error| format!("it is not a URL ({error}); {WANTED}"))?;
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err(format!(
            "it may not have a user or a password, requests are signed; {WANTED}"
        ));
    }
    if text.contains('#') {
        return Err(format!("it may not have a fragment; {WANTED}"));
    }
    super::address::authority_of_client(authority)
        .map_err(|reason| format!("{reason}; {WANTED}"))?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::id::NodeId;

    /// A file that is gone when the test ends.
    struct SecretFile(PathBuf);

    impl SecretFile {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let name = format!("ringpost-secret-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, bytes).unwrap();
            Self(path)
        }
    }

    impl Drop for SecretFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn config(file: &SecretFile) -> Config {
        let mut config = Config::new(NodeId::new("n1").unwrap());
        config.insecure_users = true;
        config.webhook.url = Some("http://127.0.0.1:8000/hook".into());
        config.webhook.secret_file = Some(file.0.clone());
        config
    }

    #[test]
    fn a_webhook_needs_a_url_a_secret_and_room_for_a_message() {
        let file = SecretFile::new("whole", b"s3cret\n");
        assert_eq!(config(&file).check(), Ok(()));
        let refused = |key: &str, words: &str, change: &dyn Fn(&mut WebhookConfig)| {
            let mut config = config(&file);
            change(&mut config.webhook);
            let error = config.check().expect_err(key);
            assert_eq!(error.key, key, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        };
        refused("webhook-secret-file", "no use", &|hook| hook.url = None);
        refused("webhook-secret-file", "required", &|hook| {
            hook.secret_file = None;
        });
        refused("webhook-secret-file", "cannot be read", &|hook| {
            hook.secret_file = Some("/nowhere/at/all".into());
        });
        refused("webhook-events", "offline_message", &|hook| {
            hook.events.clear();
        });
        refused("webhook-queue-bytes", "--max-message-bytes", &|hook| {
            hook.queue_bytes_max = 65_535;
        });
        refused("webhook-timeout", "1ms", &|hook| {
            hook.timeout = Duration::ZERO;
        });
        refused("webhook-retry-for", "24h", &|hook| {
            hook.retry_for = Duration::from_secs(25 * 60 * 60);
        });
    }

    #[test]
    fn a_secret_is_a_files_bytes_without_white_space_at_the_end_and_no_log_shows_it() {
        let file = SecretFile::new("trimmed", b" two words \r\n");
        let secret = config(&file).webhook.secret().unwrap();
        assert_eq!(secret.bytes(), b" two words");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let file = SecretFile::new("blank", b" \n");
        let error = config(&file).check().unwrap_err();
        assert!(error.reason.contains("it is empty"), "{error}");
        let file = SecretFile::new("long", &[b'x'; 4097]);
        let error = config(&file).check().unwrap_err();
        assert!(error.reason.contains("more than 4096"), "{error}");
        assert!(!error.to_string().contains("xx"), "{error}");
    }

    #[test]
    fn only_plain_http_is_spoken_to_webhooks_yet() {
        for url in [
            "http://127.0.0.1:8000",
            "http://hooks.example/a/b?c=d",
            "http://[::1]:8000/",
        ] {
            assert!(http_url(url).is_ok(), "{url}");
        }
        for (url, words) in [
            ("https://hooks.example/", "TLS comes in a later version"),
            ("hooks.example", "scheme must be http"),
            ("ws://hooks.example", "scheme must be http"),
            ("http://", "not a URL"),
            ("http://:80/", "host"),
            ("http://a:b@hooks.example/", "password"),
            ("http://hooks.example:0/", "port"),
            ("http://hooks.example/#top", "fragment"),
            ("http://0.0.0.0:80/", "wildcard"),
        ] {
            let reason = http_url(url).expect_err(url);
            assert!(reason.contains(words), "{url}: {reason}");
        }
    }
}
