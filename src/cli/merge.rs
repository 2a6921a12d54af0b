//! From what was said in flags, environment and file to one configuration.
//!
//! A flag beats the environment, which beats the file, which beats the default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command, parser::ValueSource};
use ringpost::config::ConfigError;
use ringpost::{Config, Node};
use serde::Deserialize;

use super::settings::Settings;
use super::values::LogFormat;

/// Where a value came from. A setting without a source has its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A flag.
    Flag,
    /// An environment variable.
    Environment,
    /// A key of this file.
    File(PathBuf),
}

/// The source of every setting that was set, by TOML key.
pub type Sources = BTreeMap<String, Source>;

/// A node's configuration and all that belongs to it.
#[derive(Debug)]
pub struct Effective {
    /// For the library; it has passed [`Node::check`].
    pub config: Config,
    /// For the log.
    pub log_format: LogFormat,
    /// Where the values came from.
    pub sources: Sources,
}

/// The keys of [`Settings`], as in TOML, in the order of their declaration.
pub fn keys() -> Vec<String> {
    let command = <Settings as clap::Args>::augment_args(Command::new("keys"));
    command
        .get_arguments()
        .map(|argument| argument.get_id().to_string())
        .collect()
}

/// Which settings came from flags and which from the environment.
pub fn sources_of(matches: &ArgMatches) -> Sources {
    let source = |key: &String| match matches.value_source(key)? {
        ValueSource::CommandLine => Some(Source::Flag),
        ValueSource::EnvVariable => Some(Source::Environment),
        _ => None,
    };
    keys()
        .into_iter()
        .filter_map(|key| source(&key).map(|source| (key, source)))
        .collect()
}

/// Merges, checks and gives the configuration, or the sentence that refuses it.
pub fn effective(
    said: Settings,
    sources: Sources,
    file: Option<&Path>,
) -> Result<Effective, String> {
    let (settings, sources) = match file {
        None => (said, sources),
        Some(path) => {
            let (from_file, in_file) = read_file(path)?;
            (
                said.or(from_file),
                in_file.into_iter().chain(sources).collect(),
            )
        }
    };
    let named = |error: ConfigError| sentence(&error, &sources);
    let (config, log_format) = settings.into_config().map_err(named)?;
    Node::check(&config).map_err(named)?;
    Ok(Effective {
        config,
        log_format,
        sources,
    })
}

/// One sentence: the setting, its value, where it was set, what is wrong and what would do.
pub fn sentence(error: &ConfigError, sources: &Sources) -> String {
    let ConfigError { key, value, reason } = error;
    refusal(key, value, sources.get(&key.replace('-', "_")), reason)
}

/// The sentence for a setting by the name of its flag.
pub fn refusal(flag: &str, value: &str, source: Option<&Source>, reason: &str) -> String {
    let key = flag.replace('-', "_");
    let place = match source {
        None | Some(Source::Flag) => String::new(),
        Some(Source::Environment) => format!(" (RINGPOST_{})", key.to_uppercase()),
        Some(Source::File(path)) => format!(" ({key} in {})", path.display()),
    };
    let value = if value.is_empty() {
        String::new()
    } else {
        format!(" = {value}")
    };
    format!("--{flag}{value}{place}: {reason}").replace(char::is_control, " ")
}

fn read_file(path: &Path) -> Result<(Settings, Sources), String> {
    let refuse = |reason: String| {
        refusal(
            "config",
            &path.display().to_string(),
            Some(&Source::Flag),
            &reason,
        )
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse(format!("it cannot be read ({error}); give a TOML file")))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        refuse(format!(
            "it is not TOML, see line {line}: {}",
            error.message()
        ))
    })?;
    from_table(table, path)
}

/// Reads key by key, so that a refusal can name the key.
fn from_table(table: toml::Table, path: &Path) -> Result<(Settings, Sources), String> {
    let known = keys();
    let source = Source::File(path.to_owned());
    let mut settings = Settings::default();
    let mut sources = Sources::new();
    for (key, value) in table {
        let shown = value.to_string();
        if !known.contains(&key) {
            let place = path.display();
            return Err(format!(
                "{key} = {shown} (in {place}): {}",
                unknown_key(&key, &known)
            ));
        }
        let one = Settings::deserialize(toml::Table::from_iter([(key.clone(), value)]));
        let one = one.map_err(|error| {
            refusal(
                &key.replace('_', "-"),
                &shown,
                Some(&source),
                error.message(),
            )
        })?;
        settings = one.or(settings);
        sources.insert(key, source.clone());
    }
    Ok((settings, sources))
}

fn unknown_key(key: &str, known: &[String]) -> String {
    let meant = known
        .iter()
        .min_by_key(|candidate| distance(key, candidate));
    let advice = match meant.filter(|candidate| distance(key, candidate) <= 3) {
        Some(candidate) => format!("{candidate} would do"),
        None => "the keys are the flags of `ringpost serve --help`, with _ for -".to_owned(),
    };
    format!("there is no such key; {advice}")
}

/// How many letters must be put in, taken out or changed to get from one word to the other
/// (Levenshtein); dashes and underscores are the same.
fn distance(from: &str, to: &str) -> usize {
    let from = from.replace('-', "_").to_lowercase();
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Builds `Settings` with each field taken from the first that has it. A field that is left out
/// here does not compile.
macro_rules! first_of {
    ($a:ident, $b:ident: $($field:ident)*) => { Settings { $($field: $a.$field.or($b.$field)),* } };
}

impl Settings {
    /// These settings, and the other's where these say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        first_of!(self, other:
            id cluster listen peer_listen admin_listen seeds min_members advertise_url advertise_peer weight
            insecure_users jwt_keys jwt_secret_file jwt_audience jwt_issuer jwt_leeway token_warning
            peer_ca peer_cert peer_key cluster_secret_file peer_networks api_keys_file tls_cert tls_key
            insecure_peers allowed_origins redirect_location drain_timeout
            rebalance_rate replicas min_copies max_inbox_messages max_inbox_bytes inbox_age
            dedupe_window max_dedupe_ids max_node_inbox_bytes max_room_messages max_room_bytes
            room_age max_room_dedupe_ids max_rooms_per_session announced_rooms clients_may_broadcast
            webhook_url webhook_secret_file webhook_events webhook_queue_bytes webhook_timeout
            webhook_retry_for probe_period probe_timeout suspicion_timeout exchange_interval
            max_message_bytes max_fragments max_outbound_bytes handshake_timeout max_header_bytes
            max_headers heartbeat_interval heartbeat_timeout request_timeout
            max_sessions_per_user at_session_limit max_presence_users
            max_pending_sends locate_rate message_rate message_burst max_connections
            max_connections_per_address handshake_rate handshake_burst exempt_networks peer_window max_peer_queue_bytes log_format
            otel_endpoint otel_sample_ratio)
    }
}

#[cfg(test)]
mod tests;
