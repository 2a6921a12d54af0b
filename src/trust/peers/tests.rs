//! Handshakes in memory.

use std::io;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ClientConnection, ServerConnection};

use super::*;

const OLD: &str = "old-0123456789abcdef0123456789abcdef";
const NEW: &str = "new-0123456789abcdef0123456789abcdef";

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn with_secrets(id: &str, secrets: &[&str]) -> Credentials {
    Credentials::of_secret(secrets.join("\n").as_bytes(), "ringpost", &node(id)).unwrap()
}

/// What each side learns of the other one, or why there is no connection.
fn shake(client: &Credentials, server: &Credentials) -> Result<[Names; 2], rustls::Error> {
    let name = ServerName::try_from("ringpost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(&client.client), name)?;
    let mut server = ServerConnection::new(Arc::clone(&server.server))?;
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut io::Cursor::new(bytes)).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut io::Cursor::new(bytes)).unwrap();
        client.process_new_packets()?;
    }
    assert_eq!(client.alpn_protocol(), Some(ALPN));
    let first = |chain: Option<&[CertificateDer<'_>]>| Names::of(&chain.unwrap()[0]).unwrap();
    Ok([
        first(server.peer_certificates()),
        first(client.peer_certificates()),
    ])
}

/// Files of a CA: its own, and those of a node with this name and end.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let pem = pem("CERTIFICATE", certificate.der());
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn files(&self, name: &str, until_year: i32) -> [Vec<u8>; 3] {
        let mut params = CertificateParams::new(vec![format!("{name}.nodes")]).unwrap();
        params.not_after = date_time_ymd(until_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        [
            self.pem.clone(),
            pem("CERTIFICATE", certificate.der()),
            pem("PRIVATE KEY", &key.serialize_der()),
        ]
        .map(String::into_bytes)
    }

    fn credentials(&self, id: &str) -> Credentials {
        Credentials::of_files(&self.files(id, 4000), &node(id)).unwrap()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[test]
fn nodes_with_one_secret_know_each_other_by_name() {
    let (one, other) = (with_secrets("n1", &[OLD]), with_secrets("n2", &[OLD]));
    let [client, server] = shake(&one, &other).unwrap();
    assert!(client.has("n1") && !client.has("n2"), "{client}");
    assert!(server.has("n2") && !server.has("n1"), "{server}");
}

#[test]
fn another_secret_or_another_cluster_is_refused_on_both_sides() {
    let one = with_secrets("n1", &[OLD]);
    let elsewhere = Credentials::of_secret(OLD.as_bytes(), "other", &node("n2")).unwrap();
    for other in [with_secrets("n2", &[NEW]), elsewhere] {
        assert!(shake(&one, &other).is_err());
        assert!(shake(&other, &one).is_err());
    }
}

#[test]
fn a_secret_takes_the_place_of_another_in_three_steps() {
    let steps = [&[OLD][..], &[OLD, NEW], &[NEW, OLD], &[NEW]];
    let at = |id, step: usize| with_secrets(id, steps[step]);
    for (step, next) in [(0, 1), (1, 2), (2, 3)] {
        for (one, other) in [(step, next), (next, step), (step, step)] {
            let shaken = shake(&at("n1", one), &at("n2", other));
            assert!(shaken.is_ok(), "{one} to {other}: {shaken:?}");
        }
    }
    assert!(shake(&at("n1", 0), &at("n2", 3)).is_err());
}

#[test]
fn certificates_of_one_ca_are_accepted_and_those_of_another_are_not() {
    let (ca, other) = (Ca::new("ours"), Ca::new("theirs"));
    let n1 = ca.credentials("n1");
    assert!(shake(&n1, &ca.credentials("n2")).is_ok());
    assert!(shake(&n1, &other.credentials("n2")).is_err());
    assert!(shake(&other.credentials("n2"), &n1).is_err());
    assert!(shake(&with_secrets("n2", &[OLD]), &n1).is_err());
}

#[test]
fn two_cas_in_one_file_are_accepted_both() {
    let (ca, other) = (Ca::new("ours"), Ca::new("theirs"));
    let mut files = ca.files("n1", 4000);
    files[0].extend_from_slice(other.pem.as_bytes());
    let both = Credentials::of_files(&files, &node("n1")).unwrap();
    // Theirs does not accept ours, but shows what ours accepts.
    assert!(both.still_admits(
        Side::Caller,
        &certificates(&other.files("n2", 4000)[1]).unwrap()
    ));
    assert!(both.still_admits(
        Side::Called,
        &certificates(&ca.files("n2", 4000)[1]).unwrap()
    ));
}

#[test]
fn a_certificate_that_is_over_is_refused() {
    let ca = Ca::new("ours");
    let n1 = ca.credentials("n1");
    let over = Credentials::of_files(&ca.files("n2", 2001), &node("n2")).unwrap();
    assert!(shake(&n1, &over).is_err());
    assert!(shake(&over, &n1).is_err());
    let chain = certificates(&ca.files("n2", 2001)[1]).unwrap();
    assert!(!n1.still_admits(Side::Caller, &chain));
    assert!(!n1.still_admits(Side::Called, &chain));
}

#[test]
fn nobody_gets_in_without_a_certificate() {
    let mut nameless = with_secrets("n2", &[OLD]);
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::<NodeVerifier>::clone(&nameless.servers))
        .with_no_client_auth();
    nameless.client = Arc::new(client);
    let refused = shake(&nameless, &with_secrets("n1", &[OLD])).unwrap_err();
    assert!(
        matches!(refused, rustls::Error::NoCertificatesPresented),
        "{refused}"
    );
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    let ca = Ca::new("ours");
    let good = ca.files("n1", 4000);
    let other = ca.files("n2", 4000);
    let refused = |files: [&[u8]; 3]| {
        let files = files.map(<[u8]>::to_vec);
        let refused = Credentials::of_files(&files, &node("n1")).err();
        refused.expect("it is refused")
    };
    let [ca, certificate, key] = [&good[0][..], &good[1], &good[2]];
    assert_eq!(refused([b"", certificate, key]).0, 0);
    assert_eq!(refused([key, certificate, key]).0, 0);
    let (place, reason) = refused([ca, &other[1], &other[2]]);
    assert_eq!(place, 1);
    assert!(
        reason.contains("n2") && reason.contains("this node, n1"),
        "{reason}"
    );
    assert_eq!(refused([ca, key, key]).0, 1);
    assert_eq!(refused([ca, certificate, &other[2]]).0, 2);
    assert_eq!(refused([ca, certificate, certificate]).0, 2);
}
