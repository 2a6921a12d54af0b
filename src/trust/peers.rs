//! What nodes prove to each other: mutual TLS, 1.3 alone, with the certificates of a CA or of the cluster's secret.
//!
//! What a certificate is for is a node, not an address: nodes move between addresses. Sessions are never resumed,
//! since a resumed one would not be checked again, by a CA that may have gone by then.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme, version,
};
use tokio_util::sync::CancellationToken;

use super::names::Names;
use super::secret::{DerivedCa, secrets};
use super::{FileSet, Reloaded};
use crate::config::{Config, ConfigError, PeerTrust};
use crate::id::NodeId;

/// How often it is looked whether connections are still good.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// What is spoken inside.
const ALPN: &[u8] = b"h2";

/// What makes no credentials: the place of the file, and why.
type Refused = (usize, String);

/// What this node shows others, and what it accepts of them.
pub(crate) struct Credentials {
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<NodeVerifier>,
}

/// Which side of a connection the other node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It has called.
    Caller,
    /// It was called.
    Called,
}

impl Credentials {
    fn new(
        roots: RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(roots);
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
        let servers = Arc::new(NodeVerifier {
            roots,
            provider: Arc::clone(&provider),
        });
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&clients))
            .with_single_cert(chain.clone(), key.clone_key())?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<NodeVerifier>::clone(&servers))
            .with_client_auth_cert(chain, key)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.enable_sni = false;
        client.resumption = Resumption::disabled();
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
            clients,
            servers,
        })
    }

    /// Those in a file of CAs, one of certificates and one of a key.
    fn of_files(files: &[Vec<u8>], node: &NodeId) -> Result<Self, Refused> {
        const CA: usize = 0;
        const CERTIFICATE: usize = 1;
        const KEY: usize = 2;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files[CA]).map_err(|reason| (CA, reason))? {
            let added = roots.add(certificate);
            added.map_err(|error| (CA, format!("a certificate in it is no CA's ({error})")))?;
        }
        let chain = certificates(&files[CERTIFICATE]).map_err(|reason| (CERTIFICATE, reason))?;
        let names = Names::of(&chain[0]).map_err(|error| {
            let reason = format!("its first certificate is not understood ({error})");
            (CERTIFICATE, reason)
        })?;
        if !names.has(node.as_str()) {
            let reason = format!(
                "it is for {names}; it must be for this node, {node}: as common name, DNS name, or first label of one"
            );
            return Err((CERTIFICATE, reason));
        }
        let key = PrivateKeyDer::from_pem_slice(&files[KEY])
            .map_err(|_| (KEY, "there is no private key in it, in PEM".to_owned()))?;
        Self::new(roots, chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                (KEY, "it is not the key of --peer-cert".to_owned())
            }
            error => (CERTIFICATE, format!("it cannot be used ({error})")),
        })
    }

    /// Those that are made of a file with secrets.
    fn of_secret(file: &[u8], cluster: &str, node: &NodeId) -> Result<Self, Refused> {
        let refuse = |reason: String| (0, reason);
        let unusable =
            |error: rcgen::Error| refuse(format!("no certificate can be made ({error})"));
        let all = secrets(file).map_err(refuse)?;
        let mut roots = RootCertStore::empty();
        let mut own = None;
        for secret in all {
            let ca = DerivedCa::new(secret, cluster).map_err(unusable)?;
            let added = roots.add(ca.certificate().map_err(unusable)?);
            added.map_err(|error| refuse(error.to_string()))?;
            own.get_or_insert(ca);
        }
        let own = own.ok_or_else(|| refuse("there is no secret in it".to_owned()))?;
        let (certificate, key) = own.issue(node).map_err(unusable)?;
        Self::new(roots, vec![certificate], key).map_err(|error| refuse(error.to_string()))
    }

    /// Whether a certificate that was good when its connection was made still is.
    fn still_admits(&self, side: Side, chain: &[CertificateDer<'_>]) -> bool {
        let Some((certificate, rest)) = chain.split_first() else {
            return false;
        };
        let now = UnixTime::now();
        match side {
            Side::Caller => {
                let checked = self.clients.verify_client_cert(certificate, rest, now);
                checked.is_ok()
            }
            Side::Called => self.servers.verify(certificate, rest, now).is_ok(),
        }
    }
}

/// The certificates in a PEM file, at least one.
fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err("there is no certificate in it, in PEM".to_owned()),
    }
}

/// Checks the certificate of a node that was called: who has signed it and when it is good, but not the address.
#[derive(Debug)]
struct NodeVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl NodeVerifier {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, rest, now, algorithms)
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// The credentials as they are now, and the connections that were made with them.
#[derive(Debug)]
pub(crate) struct PeerTls {
    credentials: Arc<Reloaded<Credentials>>,
    open: Mutex<Vec<Weak<Admitted>>>,
}

/// A node that has proved who it is, for as long as its connection lasts.
#[derive(Debug)]
pub(crate) struct Admitted {
    side: Side,
    chain: Vec<CertificateDer<'static>>,
    names: Names,
    /// Ends when the certificate is no longer good.
    withdrawn: CancellationToken,
}

impl Admitted {
    /// The nodes that it may be.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Ends when the connection has to.
    pub fn withdrawn(&self) -> &CancellationToken {
        &self.withdrawn
    }
}

impl PeerTls {
    /// What the settings say; `None` where peers have to prove nothing.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub fn load(config: &Config) -> Result<Option<Arc<Self>>, ConfigError> {
        let node = config.id.clone();
        let credentials = match &config.peers {
            PeerTrust {
                ca: Some(ca),
                cert: Some(certificate),
                key: Some(key),
                ..
            } => {
                let named = |name, path: &PathBuf| (name, path.clone());
                let files = FileSet::new([
                    named("peer-ca", ca),
                    named("peer-cert", certificate),
                    named("peer-key", key),
                ]);
                Reloaded::load(files, move |files| Credentials::of_files(files, &node))?
            }
            PeerTrust {
                secret: Some(secret),
                ..
            } => {
                let files = FileSet::new([("cluster-secret-file", secret.clone())]);
                let cluster = config.cluster.clone();
                let parse =
                    move |files: &[Vec<u8>]| Credentials::of_secret(&files[0], &cluster, &node);
                Reloaded::load(files, parse)?
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Self {
            credentials,
            open: Mutex::default(),
        })))
    }

    /// For the next handshake.
    pub fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.now())
    }

    /// The files, to be followed.
    pub fn files(&self) -> Arc<Reloaded<Credentials>> {
        Arc::clone(&self.credentials)
    }

    /// A handshake is over, and the other side's certificates were good by these credentials.
    ///
    /// # Errors
    /// There is none, it is not understood, or it is no longer accepted.
    pub fn admit(
        &self,
        credentials: &Arc<Credentials>,
        side: Side,
        chain: Option<&[CertificateDer<'_>]>,
    ) -> Result<Arc<Admitted>, String> {
        let chain = chain.unwrap_or_default();
        let first = chain.first().ok_or("it has shown no certificate")?;
        let names = Names::of(first).map_err(|error| error.to_string())?;
        let admitted = Arc::new(Admitted {
            side,
            chain: chain
                .iter()
                .cloned()
                .map(CertificateDer::into_owned)
                .collect(),
            names,
            withdrawn: CancellationToken::new(),
        });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() == open.capacity() {
            open.retain(|known| known.strong_count() > 0);
        }
        open.push(Arc::downgrade(&admitted));
        drop(open);
        // What has changed since is seen here, what changes from now on by `withdraw`.
        let now = self.credentials();
        if !Arc::ptr_eq(&now, credentials) && !now.still_admits(side, chain) {
            return Err("its certificate is no longer accepted".to_owned());
        }
        Ok(admitted)
    }

    /// Ends connections whose certificates are no longer accepted, whenever the files have changed; for ever.
    pub async fn withdraw(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        let mut seen = self.credentials();
        loop {
            ticks.tick().await;
            let now = self.credentials();
            if Arc::ptr_eq(&seen, &now) {
                continue;
            }
            seen = now;
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|known| known.strong_count() > 0);
            for admitted in open.iter().filter_map(Weak::upgrade) {
                if !seen.still_admits(admitted.side, &admitted.chain) {
                    tracing::info!(node = %admitted.names,
                        "the certificate of a peer is no longer accepted: its connection ends");
                    admitted.withdrawn.cancel();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
