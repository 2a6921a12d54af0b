//! TLS for clients, on real processes: `--tls-cert` and `--tls-key`.

// Helpers outside of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod client;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustls::{HandshakeKind, ProtocolVersion};
use serde_json::json;

use client::{Authority, Secure};
use ringpost::client::{Client, Error, Event, Options, Recipient, RootCertificates, SendOptions};
use support::node::run;
use support::{Cluster, Node, PATIENCE, http, wait_until};

/// A node with a certificate, and where that stands.
struct Served {
    cluster: Cluster,
    authority: Authority,
    cert: PathBuf,
    key: PathBuf,
}

impl Served {
    fn start(flags: &[&str]) -> Self {
        let cluster = Cluster::reserve(1).with(flags);
        let authority = Authority::new();
        let file = |name: &str| cluster.directory.join(name);
        let (cert, key) = (file("cert.pem"), file("key.pem"));
        let cluster = {
            let paths = [&cert, &key].map(|path: &PathBuf| path.display().to_string());
            cluster.with(&["--tls-cert", &paths[0], "--tls-key", &paths[1]])
        };
        let mut served = Self {
            cluster,
            authority,
            cert,
            key,
        };
        served.renew();
        served.cluster = served.cluster.started();
        served
    }

    /// Gives the node a certificate that it has not had. Returns it.
    fn renew(&self) -> Vec<u8> {
        let issued = self.authority.issue(self.cluster.ip);
        write(&self.key, &issued.key_pem);
        write(&self.cert, &issued.cert_pem);
        issued.cert_der
    }

    fn node(&self) -> &Node {
        &self.cluster.nodes[0]
    }

    fn connect(&self) -> Secure {
        Secure::connect(
            self.node().listen,
            &self.authority.client(rustls::DEFAULT_VERSIONS),
        )
        .expect("a handshake")
    }
}

/// Replaces a file at once, as those do who renew certificates.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn clients_are_served_over_tls_1_2_and_1_3_and_resume_their_tls_sessions() {
    let served = Served::start(&[]);
    let node = served.node();
    for (version, number) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let config = served.authority.client(&[version]);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = Secure::connect(node.listen, &config).unwrap();
            assert_eq!(client.tls().protocol_version(), Some(number));
            assert_eq!(client.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(client.tls().handshake_kind(), Some(expected));
            let welcome = client.upgrade("/ws?user=alice");
            assert_eq!(welcome["type"], "welcome", "{welcome}");
            // As large as can be, in many records and out of many.
            let body = "x".repeat(65_000);
            for id in ["m1", "m2", "m3"] {
                let id = format!("{id}-{number:?}-{expected:?}");
                client.send(&json!({"type": "send", "id": id, "qos": 0,
                    "to": {"user": "alice"}, "body": body}));
                let message = client.expect("message");
                assert_eq!(message["body"].as_str(), Some(&*body));
                assert_eq!(client.expect("receipt")["status"], "sent");
            }
            client.close();
        }
    }
    assert_eq!(node.metric("ringpost_tls_errors_total"), 0);
}

#[test]
fn a_node_with_a_certificate_sends_clients_to_wss() {
    let served = Served::start(&[]);
    let view = served.node().view().expect("it answers");
    let url = format!("wss://{}", served.node().listen);
    assert_eq!(view.member("n1").expect("itself")["url"], url.as_str());
    let answer = served.connect().get("/locate?user=alice");
    let located = answer.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(located, format!("{url}/ws?user=alice&hop=1"));
}

#[test]
fn what_is_no_tls_and_what_is_none_of_ours_is_refused_and_counted() {
    let served = Served::start(&[]);
    let node = served.node();
    let errors = || node.metric("ringpost_tls_errors_total");
    // Plain HTTP.
    http::get(node.listen, "/healthz").expect_err("it is no HTTP port");
    wait_until(PATIENCE, "it is counted", || errors() == 1);
    // HTTP/2 alone.
    let mut config = (*served.authority.client(rustls::DEFAULT_VERSIONS)).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let refusal = Secure::connect(node.listen, &config.into()).map(drop);
    assert!(
        refusal
            .unwrap_err()
            .to_string()
            .contains("NoApplicationProtocol")
    );
    wait_until(PATIENCE, "it is counted", || errors() == 2);
    // An end in the middle.
    drop(TcpStream::connect(node.listen).unwrap());
    wait_until(PATIENCE, "it is counted", || errors() == 3);
    served.connect().upgrade("/ws?user=alice");
}

#[test]
fn a_certificate_that_changes_is_read_again_and_whoever_is_there_stays() {
    let served = Served::start(&[]);
    let node = served.node();
    let mut early = served.connect();
    early.upgrade("/ws?user=alice");
    let before = early.certificate();
    let shown = || served.connect().certificate();
    // A key that goes with nothing changes nothing, but is said and counted.
    write(
        &served.key,
        &served.authority.issue(served.cluster.ip).key_pem,
    );
    wait_until(PATIENCE, "it is counted", || {
        node.metric("ringpost_key_reload_errors_total") == 1
    });
    assert_eq!(shown(), before);
    let new = served.renew();
    assert_ne!(new, before);
    wait_until(PATIENCE, "the new one is shown", || shown() == new);
    early.assert_alive();
    // It is shown before it is counted.
    wait_until(PATIENCE, "it is counted, once", || {
        node.metric("ringpost_key_reloads_total") == 1
    });
}

#[test]
fn the_handshake_of_tls_is_within_the_time_of_the_handshake() {
    let served = Served::start(&["--handshake-timeout", "3s"]);
    let node = served.node();
    for silent in [&b""[..], b"\x16\x03\x01"] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(node.listen).unwrap();
        stream.write_all(silent).unwrap();
        stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        // Nothing, or an alert, and then the end.
        let _ = stream.read_to_end(&mut Vec::new());
        let took = start.elapsed();
        assert!(took > Duration::from_millis(2_500), "{took:?}");
        // Less than the default.
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    // TLS is done, and then nothing is asked for.
    let start = Instant::now();
    assert!(served.connect().ends(), "it is given up");
    assert!(start.elapsed() < Duration::from_secs(10));
    // Whoever has been welcomed stays.
    let mut client = served.connect();
    client.upgrade("/ws?user=alice");
    std::thread::sleep(Duration::from_millis(3_500));
    client.assert_alive();
}

#[test]
fn a_client_that_does_not_read_is_cut_off_over_tls_as_well() {
    // Who does not read answers no ping.
    let served = Served::start(&["--heartbeat-interval", "10m"]);
    let node = served.node();
    let mut bobs = served.connect();
    bobs.upgrade("/ws?user=bob");
    let mut alices = served.connect();
    alices.upgrade("/ws?user=alice");
    let resident = node.resident_kib();
    let body = "x".repeat(48 * 1024);
    let mut sent = 0;
    loop {
        alices.send(&json!({"type": "send", "id": format!("m{sent}"), "qos": 0,
            "to": {"user": "bob"}, "body": body}));
        if alices.expect("receipt")["status"] != "sent" {
            break;
        }
        sent += 1;
        assert!(sent < 1_000, "never cut off");
    }
    let grown = node.resident_kib().saturating_sub(resident);
    assert!(grown < 24 * 1024, "{grown} KiB");
    assert_eq!(bobs.read_to_close(), Some(4413));
    alices.assert_alive();
}

#[test]
fn commands_speak_tls_and_believe_whom_they_are_told_to() {
    let served = Served::start(&[]);
    let node = format!("wss://{}", served.node().listen);
    let ca = served.cluster.directory.join("ca.pem");
    write(&ca, &served.authority.pem());
    let ca = ca.display().to_string();
    let send = ["send", "--node", &node, "--from", "a", "--to", "b", "hi"];
    let (said, done) = run(&[&send[..], &["--ca", &ca]].concat());
    assert!(done && said.contains(r#""status":"accepted""#), "{said}");
    let (said, done) = run(&["locate", "--node", &node, "--ca", &ca, "b"]);
    assert!(done && said.contains(&node), "{said}");
    for mode in ["closed", "idle"] {
        let bench = [
            "bench", "--node", &node, "--ca", &ca, "--mode", mode, "--json",
        ];
        let few = "--connections 20 --senders 2 --receivers 2 --duration 2s --warmup 0";
        let few: Vec<_> = few.split(' ').collect();
        let (said, done) = run(&[&bench[..], &few].concat());
        assert!(done, "{mode}: {said}");
    }
    // Nobody believes a stranger's certificate by itself.
    let (said, done) = run(&send);
    assert!(!done && said.is_empty(), "{said}");
    let stranger = served.cluster.directory.join("stranger.pem");
    write(&stranger, &Authority::new().pem());
    let stranger = stranger.display().to_string();
    let (said, done) = run(&[&send[..], &["--ca", &stranger]].concat());
    assert!(!done && said.is_empty(), "{said}");
    let (said, done) = run(&[&send[..], &["--ca", "/no/such/file"]].concat());
    assert!(!done && said.is_empty(), "{said}");
}

#[test]
fn the_rust_client_speaks_tls_and_believes_whom_it_is_told_to() {
    let served = Served::start(&[]);
    let node = format!("wss://{}", served.node().listen);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut options = Options::for_user("alice");
        let refused = Client::connect(&node, options.clone()).await.unwrap_err();
        assert!(matches!(refused, Error::Connect { .. }), "{refused}");
        let roots = RootCertificates::from_pem(served.authority.pem().as_bytes());
        options.root_certificates = roots.unwrap();
        let alice = Client::connect(&node, options).await.unwrap();
        let body = "x".repeat(60_000);
        let to = Recipient::user("alice");
        let receipt = alice.send(&to, &body, SendOptions::default()).await;
        receipt.unwrap();
        loop {
            match alice.next().await.unwrap() {
                Event::Message(message) => {
                    assert_eq!(message.body.len(), body.len() + 2);
                    break;
                }
                Event::Ended(error) => panic!("{error}"),
                _ => {}
            }
        }
        alice.close().await;
    });
    assert!(RootCertificates::from_pem(b"").is_err());
}

#[test]
fn files_that_are_no_certificate_and_key_are_refused_at_start() {
    let cluster = Cluster::reserve(1);
    let authority = Authority::new();
    let good = authority.issue(cluster.ip);
    let another = authority.issue(cluster.ip);
    let (cert, key) = (cluster.directory.join("c"), cluster.directory.join("k"));
    let node = &cluster.nodes[0];
    for (certificate, private, flag) in [
        ("", &*good.key_pem, "tls-cert"),
        (&*good.key_pem, &good.key_pem, "tls-cert"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &good.key_pem,
            "tls-cert",
        ),
        (&*good.cert_pem, "nothing", "tls-key"),
        (&good.cert_pem, &good.cert_pem, "tls-key"),
        (&good.cert_pem, &another.key_pem, "tls-key"),
    ] {
        fs::write(&cert, certificate).unwrap();
        fs::write(&key, private).unwrap();
        let mut command = node.command();
        command
            .arg("--tls-cert")
            .arg(&cert)
            .arg("--tls-key")
            .arg(&key);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(&format!("{flag} = ")), "{flag}: {said}");
        assert!(!said.contains("BEGIN"), "{said}");
    }
}
