//! The settings of trust: who is a user, who is a node, who may use the API, and what is encrypted.
//!
//! Keys, secrets and certificates are files, never values, so that they stand in no process list; each is
//! read again when it changes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::check::{Checked, or_refuse, refuse, within};
use super::{Config, address};

/// How users prove who they are: by tokens (JWT) that somebody else has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTrust {
    /// Files with public keys of those who sign: PEM (RS256, ES256, `EdDSA`) or JWKS.
    pub jwt_keys: Vec<PathBuf>,
    /// Files with one secret each (HS256). White space at its end does not count.
    pub jwt_secrets: Vec<PathBuf>,
    /// A token must be for one of these (`aud`); empty: for anybody.
    pub audiences: Vec<String>,
    /// A token must come from one of these (`iss`); empty: from anybody.
    pub issuers: Vec<String>,
    /// By how much the clocks of those who sign may be off.
    pub leeway: Duration,
    /// How long before its token expires a client is told.
    pub expiry_warning: Duration,
}

impl Default for UserTrust {
    fn default() -> Self {
        Self {
            jwt_keys: Vec::new(),
            jwt_secrets: Vec::new(),
            audiences: Vec::new(),
            issuers: Vec::new(),
            leeway: Duration::from_secs(10),
            expiry_warning: Duration::from_secs(60),
        }
    }
}

impl UserTrust {
    /// Longest [`Self::leeway`].
    pub const LEEWAY_MAX: Duration = Duration::from_secs(300);

    /// Whether there are keys.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.jwt_keys.is_empty() || !self.jwt_secrets.is_empty()
    }
}

/// How nodes prove that they are of the cluster, and what is believed of those that do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerTrust {
    /// Certificates that sign those of nodes, PEM.
    pub ca: Option<PathBuf>,
    /// This node's certificate with those between it and [`Self::ca`], PEM. The node's id is its common
    /// name, one of its DNS names, or the first label of one.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Secrets of the cluster, one a line: the first one is this node's, all are accepted.
    pub secret: Option<PathBuf>,
    /// Where nodes may be; empty: anywhere.
    pub networks: Vec<IpNet>,
}

impl PeerTrust {
    /// Whether peers have to prove anything.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.ca.is_some() || self.secret.is_some()
    }
}

/// TLS for clients; off where both are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate with those between it and its root, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
}

impl Config {
    pub(super) fn check_trust(&self) -> Checked {
        self.check_users()?;
        self.check_pairs()?;
        for origin in &self.allowed_origins {
            or_refuse("allowed-origins", origin, address::origin(origin))?;
        }
        self.check_networks()?;
        if self.insecure_peers {
            return Ok(());
        }
        if !self.peers.is_on() {
            self.check_peers_are_local()?;
        }
        if self.api_keys.is_none() && !is_local(self.admin_listen) {
            return refuse(
                "admin-listen",
                self.admin_listen,
                "whoever reaches it can send in anybody's name: give --api-keys-file, make it a loopback \
                 address, or say with --insecure-peers that the network is trusted",
            );
        }
        Ok(())
    }

    fn check_users(&self) -> Checked {
        if self.users.is_on() == self.insecure_users {
            let (value, reason) = if self.insecure_users {
                (
                    "true",
                    "there are keys for tokens, too; do not set it, and users are believed for their tokens alone",
                )
            } else {
                (
                    "false",
                    "nobody could connect: give --jwt-keys or --jwt-secret-file to take users from tokens, or \
                 set it to believe the user named in ?user=, whoever says so",
                )
            };
            return refuse("insecure-users", value, reason);
        }
        if self.users.leeway > UserTrust::LEEWAY_MAX {
            let reason = format!("it must be at most {:?}", UserTrust::LEEWAY_MAX);
            return refuse(
                "jwt-leeway",
                format_args!("{:?}", self.users.leeway),
                reason,
            );
        }
        within("token-warning", self.users.expiry_warning, Duration::ZERO)
    }

    /// Files of which one is of no use without the other.
    fn check_pairs(&self) -> Checked {
        let PeerTrust { ca, cert, key, .. } = &self.peers;
        let tls = &self.tls;
        let wanted = [
            ("peer-ca", ca, "peer-cert", cert),
            ("peer-cert", cert, "peer-key", key),
            ("peer-key", key, "peer-ca", ca),
            ("tls-cert", &tls.cert, "tls-key", &tls.key),
            ("tls-key", &tls.key, "tls-cert", &tls.cert),
        ];
        for (key, file, other, there) in wanted {
            if let Some(file) = file
                && there.is_none()
            {
                let reason = format!("it is of no use without --{other}");
                return refuse(key, file.display(), reason);
            }
        }
        Ok(())
    }

    /// What is outside would not be called, and this node not be believed.
    fn check_networks(&self) -> Checked {
        let is_outside = |ip: IpAddr| !crate::core::membership::is_in(&self.peers.networks, ip);
        let advertised = self.advertise_peer.as_deref();
        let own = match advertised.map(address::dialable) {
            None => Some(self.peer_listen.ip()),
            Some(host) => host.ok().and_then(|host| host.parse().ok()),
        };
        if let Some(own) = own.filter(|own| is_outside(*own)) {
            let networks: Vec<_> = self.peers.networks.iter().map(IpNet::to_string).collect();
            let reason =
                format!("this node's own address, {own}, is not in them: nobody would believe it");
            return refuse("peer-networks", networks.join(","), reason);
        }
        let outside = |seed: &&String| {
            let ip = address::dialable(seed)
                .ok()
                .and_then(|host| host.parse().ok());
            ip.is_some_and(is_outside)
        };
        match self.seeds.iter().find(outside) {
            Some(seed) => refuse(
                "seeds",
                seed,
                "it is not in --peer-networks, and would not be called",
            ),
            None => Ok(()),
        }
    }

    /// Seeds that are names are left to the time they are resolved.
    fn check_peers_are_local(&self) -> Checked {
        const REASON: &str = "whoever reaches it could join the ring and read messages: give --peer-ca, \
                              --peer-cert and --peer-key or --cluster-secret-file, make it a loopback \
                              address, or say with --insecure-peers that the network is trusted";
        if !is_local(self.peer_listen) {
            return refuse("peer-listen", self.peer_listen, REASON);
        }
        if let Some(peer) = &self.advertise_peer {
            let local = address::dialable(peer).is_ok_and(address::is_loopback);
            if !local {
                return refuse("advertise-peer", peer, REASON);
            }
        }
        let elsewhere = |seed: &&String| {
            seed.parse::<SocketAddr>()
                .is_ok_and(|address| !is_local(address))
        };
        match self.seeds.iter().find(elsewhere) {
            Some(seed) => refuse("seeds", seed, REASON),
            None => Ok(()),
        }
    }

    /// Where nodes may be; empty: anywhere. Without a proof of who they are, and unless that was asked for, on this
    /// machine alone, whatever names and gossip say.
    pub(crate) fn peer_networks(&self) -> Vec<IpNet> {
        if self.peers.is_on() || self.insecure_peers {
            return self.peers.networks.clone();
        }
        let loopback = [
            IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
            IpNet::new_assert(Ipv6Addr::LOCALHOST.into(), 128),
        ];
        let is_local = |net: &&IpNet| loopback.iter().any(|all| all.contains(*net));
        let given: Vec<_> = self
            .peers
            .networks
            .iter()
            .filter(is_local)
            .copied()
            .collect();
        if given.is_empty() {
            loopback.to_vec()
        } else {
            given
        }
    }
}

fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
