//! What is unsafe in a configuration that works.

use std::path::Path;

use super::{Config, address};

impl Config {
    /// What is unsafe in this, a sentence each, for whoever is about to put it on a network. Looks at the modes of the
    /// files with secrets.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |is_so: bool, sentence: &str| {
            if is_so {
                warnings.push(sentence.to_owned());
            }
        };
        warn(
            self.insecure_users,
            "--insecure-users: whoever reaches --listen can be any user",
        );
        let peers_are_local = self.peer_listen.ip().to_canonical().is_loopback();
        warn(
            self.insecure_peers && !self.peers.is_on() && !peers_are_local,
            "--insecure-peers: whoever reaches --peer-listen can join the ring and read messages",
        );
        warn(
            !self.peers.is_on() && self.seeds.len() > 1,
            "there are several --seeds, and neither --peer-ca nor --cluster-secret-file: nodes prove nothing to each \
             other, and what they say can be read on the way",
        );
        warn(
            self.api_keys.is_none(),
            "no --api-keys-file: whoever reaches --admin-listen can send in anybody's name",
        );
        warn(
            self.sends_clients_over_plain_networks(),
            "clients are sent to ws:// off this machine: their tokens and messages can be read on the way; give \
             --tls-cert and --tls-key, or an --advertise-url of wss:// where something in front has TLS",
        );
        warnings.extend(self.secrets_for_everybody());
        warnings
    }

    fn sends_clients_over_plain_networks(&self) -> bool {
        match &self.advertise_url {
            Some(url) => {
                let host = url.strip_prefix("ws://").map(host_of);
                host.is_some_and(|host| !address::is_loopback(host))
            }
            None => self.tls.cert.is_none() && !self.listen.ip().to_canonical().is_loopback(),
        }
    }

    /// A sentence for each file with a secret that everybody on the machine may read.
    fn secrets_for_everybody(&self) -> Vec<String> {
        let single = [
            ("peer-key", &self.peers.key),
            ("cluster-secret-file", &self.peers.secret),
            ("api-keys-file", &self.api_keys),
            ("tls-key", &self.tls.key),
            ("webhook-secret-file", &self.webhook.secret_file),
        ];
        let single = single.into_iter();
        let single = single.filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
        let jwt = self.users.jwt_secrets.iter();
        let jwt = jwt.map(|path| ("jwt-secret-file", path));
        jwt.chain(single)
            .filter(|(_, path)| is_for_everybody(path))
            .map(|(flag, path)| {
                format!(
                    "--{flag} = {}: everybody on this machine may read it; chmod 600 would do",
                    path.display()
                )
            })
            .collect()
    }
}

/// The host in what follows the scheme of a URL, without brackets.
fn host_of(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(unix)]
fn is_for_everybody(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    const READABLE_BY_OTHERS: u32 = 0o004;
    let metadata = path.metadata();
    metadata.is_ok_and(|it| it.permissions().mode() & READABLE_BY_OTHERS != 0)
}

/// Elsewhere there are no such modes.
#[cfg(not(unix))]
fn is_for_everybody(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    /// The warnings of a configuration that was safe before this change.
    fn warnings(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::new(NodeId::new("n1").unwrap());
        config.api_keys = Some("no-such-file".into());
        change(&mut config);
        config.warnings()
    }

    /// Asserts that the change is warned of, once, in these words.
    fn warned(words: &str, change: impl FnOnce(&mut Config)) {
        let warnings = warnings(change);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(words), "{warnings:?}");
    }

    fn unwarned(change: impl FnOnce(&mut Config)) {
        assert_eq!(warnings(change), Vec::<String>::new());
    }

    #[test]
    fn what_is_safe_is_not_warned_of() {
        unwarned(|_| {});
        unwarned(|c| c.advertise_url = Some("ws://localhost:7001".into()));
        unwarned(|c| c.advertise_url = Some("ws://[::1]:7001/x".into()));
        unwarned(|c| c.advertise_url = Some("wss://n1.example".into()));
        unwarned(|c| {
            c.listen = "10.0.0.1:1".parse().unwrap();
            c.tls.cert = Some("cert".into());
        });
        unwarned(|c| {
            c.peer_listen = "10.0.0.1:1".parse().unwrap();
            c.seeds = vec!["a:1".into(), "b:1".into()];
            c.peers.secret = Some("no-such-file".into());
        });
        unwarned(|c| c.insecure_peers = true);
    }

    #[test]
    fn everything_that_lets_strangers_in_is_warned_of() {
        warned("any user", |c| c.insecure_users = true);
        warned("can join the ring", |c| {
            c.insecure_peers = true;
            c.peer_listen = "10.0.0.1:1".parse().unwrap();
        });
        warned("prove nothing", |c| {
            c.seeds = vec!["127.0.0.1:1".into(), "127.0.0.1:2".into()];
        });
        warned("--admin-listen", |c| c.api_keys = None);
        warned("ws://", |c| {
            c.advertise_url = Some("ws://n1.example".into());
        });
        warned("ws://", |c| {
            c.advertise_url = Some("ws://[fd00::1]:1".into());
        });
        warned("ws://", |c| c.listen = "10.0.0.1:1".parse().unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn secrets_that_everybody_may_read_are_warned_of() {
        use std::os::unix::fs::PermissionsExt as _;
        let name = format!("ringpost-warnings-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "a secret").unwrap();
        let may =
            |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        may(0o644);
        warned("api-keys-file", |c| c.api_keys = Some(path.clone()));
        warned("cluster-secret-file", |c| {
            c.peers.secret = Some(path.clone());
        });
        warned("jwt-secret-file", |c| {
            c.users.jwt_secrets = vec![path.clone()];
        });
        may(0o640);
        unwarned(|c| c.api_keys = Some(path.clone()));
        std::fs::remove_file(&path).unwrap();
    }
}
