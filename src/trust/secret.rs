//! The cluster's secret, and the certificates that are made of it.
//!
//! Of each secret every node derives the same CA, with which it signs a certificate for itself. So nothing secret
//! is ever sent, and nodes with a secret speak as those with certificates do.

use hmac::{Hmac, Mac as _};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::Sha256;

use crate::id::NodeId;

/// Fewest characters of a secret. Whoever reaches a peer port sees a certificate of which a secret can be
/// guessed at leisure: it has to be random.
const SECRET_CHARS_MIN: usize = 32;
/// What the derived keys are for. Another version of the derivation gets another label.
const LABEL: &[u8] = b"ringpost peer ca 1\0";
/// An Ed25519 private key of RFC 8410, up to its 32 bytes.
const PKCS8_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The secrets in a file, one a line, without white space around them; empty lines do not count.
///
/// # Errors
/// There is none, or one is too short. The sentence quotes nothing of the file.
pub(crate) fn secrets(file: &[u8]) -> Result<Vec<&str>, String> {
    let text = std::str::from_utf8(file).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let mut secrets = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let secret = line.trim();
        if secret.is_empty() {
            continue;
        }
        if secret.chars().count() < SECRET_CHARS_MIN {
            return Err(format!(
                "line {number} has fewer than {SECRET_CHARS_MIN} characters; `openssl rand -hex 32` makes a good secret"
            ));
        }
        secrets.push(secret);
    }
    if secrets.is_empty() {
        return Err("there is no secret in it; `openssl rand -hex 32` makes a good one".to_owned());
    }
    Ok(secrets)
}

/// The CA of one secret.
pub(super) struct DerivedCa {
    params: CertificateParams,
    key: KeyPair,
}

impl DerivedCa {
    /// The CA of that secret in the cluster of that name.
    ///
    /// # Errors
    /// The library cannot make the key.
    pub fn new(secret: &str, cluster: &str) -> Result<Self, rcgen::Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(LABEL);
        mac.update(cluster.as_bytes());
        let seed = mac.finalize().into_bytes();
        let pkcs8 = [PKCS8_ED25519.as_slice(), seed.as_slice()].concat();
        let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("ringpost peer CA");
        params.serial_number = Some(SerialNumber::from(1));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self {
            params,
            key: KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519)?,
        })
    }

    /// What others check certificates of this CA by: the same on every node.
    ///
    /// # Errors
    /// The library cannot sign it.
    pub fn certificate(&self) -> Result<CertificateDer<'static>, rcgen::Error> {
        Ok(self.params.self_signed(&self.key)?.der().clone())
    }

    /// A certificate for a node, with a key of its own that exists nowhere else. It has no end: the secret has.
    ///
    /// # Errors
    /// The library cannot make the key or the signature.
    pub fn issue(
        &self,
        node: &NodeId,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(node.as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer)?.der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((certificate, key.into()))
    }
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn secrets_stand_one_a_line_and_are_not_too_short() {
        let two = format!("\n  {SECRET}\r\n\n{SECRET}x\n");
        let longer = format!("{SECRET}x");
        assert_eq!(secrets(two.as_bytes()), Ok(vec![SECRET, longer.as_str()]));
        let short = format!("{SECRET}\n{}", &SECRET[1..]);
        let refused = secrets(short.as_bytes()).unwrap_err();
        assert!(
            refused.contains("line 2") && refused.contains("32"),
            "{refused}"
        );
        assert!(!refused.contains(&SECRET[1..]), "{refused}");
        assert!(secrets(b"\n \n").unwrap_err().contains("no secret"));
        assert!(secrets(b"\xff").is_err());
    }

    #[test]
    fn every_node_derives_the_same_ca_and_it_depends_on_secret_and_cluster() {
        let ca = |secret: &str, cluster: &str| {
            let ca = DerivedCa::new(secret, cluster).unwrap();
            ca.certificate().unwrap()
        };
        let one = ca(SECRET, "ringpost");
        assert_eq!(one, ca(SECRET, "ringpost"));
        let longer = format!("{SECRET}x");
        assert_ne!(one, ca(&longer, "ringpost"));
        assert_ne!(one, ca(SECRET, "other"));
    }

    #[test]
    fn a_node_gets_another_key_at_every_start() {
        let ca = DerivedCa::new(SECRET, "ringpost").unwrap();
        let node = NodeId::new("n1").unwrap();
        let (one, other) = (ca.issue(&node).unwrap(), ca.issue(&node).unwrap());
        assert_ne!(one.1, other.1);
    }
}
