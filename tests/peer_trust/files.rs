//! Secrets, certificates and keys, made by the test in the directory of its cluster.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::Cluster;

/// A secret that differs by its name.
pub fn secret(name: &str) -> String {
    format!("{name}-0123456789abcdef0123456789abcdef")
}

/// Writes a file as a whole: nobody ever reads half of it.
pub fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("the directory can be written to");
    fs::rename(&new, path).expect("it is there");
}

/// The file with the secrets of a node.
pub fn secret_file(cluster: &Cluster, index: usize) -> PathBuf {
    let id = &cluster.nodes[index].id;
    cluster.directory.join(format!("{id}.secret"))
}

/// Gives a node these secrets, for its next start.
pub fn give_secrets(cluster: &mut Cluster, index: usize, secrets: &[String]) {
    let file = secret_file(cluster, index);
    write(&file, &secrets.join("\n"));
    let file = file.display().to_string();
    let args = ["--cluster-secret-file".to_owned(), file];
    cluster.nodes[index].args.extend(args);
}

/// A CA that lives as long as the test.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, in PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: pem("CERTIFICATE", certificate.der()),
            issuer: Issuer::new(params, key),
        }
    }

    /// For a node, by its DNS name `ID.nodes`.
    pub fn certify(&self, id: &str) -> Certified {
        let params = CertificateParams::new(vec![format!("{id}.nodes")]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certified {
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// One of the three files of a node: `ca`, `cert` or `key`.
pub fn peer_file(cluster: &Cluster, index: usize, kind: &str) -> PathBuf {
    let id = &cluster.nodes[index].id;
    cluster.directory.join(format!("{id}.{kind}.pem"))
}

/// Gives a node a CA to go by and a certificate of a CA, for its next start.
pub fn give_certificate(cluster: &mut Cluster, index: usize, trusted: &Ca, signed_by: &Ca) {
    let certified = signed_by.certify(&cluster.nodes[index].id);
    for (kind, text) in [
        ("ca", &trusted.pem),
        ("cert", &certified.certificate),
        ("key", &certified.key),
    ] {
        let file = peer_file(cluster, index, kind);
        write(&file, text);
        let args = [format!("--peer-{kind}"), file.display().to_string()];
        cluster.nodes[index].args.extend(args);
    }
}
