//! What an idle client costs: resident memory of a node per connection, with 10,000 connected,
//! before and after each has received a message, and after all have left; then the same over TLS.
//!
//! ```text
//! cargo bench --bench idle_memory
//! ```
//!
//! It fails above 6 KiB, or 20 KiB with TLS. With `--test` a few hundred clients connect, and nothing is
//! judged.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CLIENTS: usize = 10_000;
const CLIENTS_IN_TEST: usize = 300;
const KIB_PER_CLIENT_MAX: f64 = 6.0;
const KIB_PER_TLS_CLIENT_MAX: f64 = 20.0;
/// Connections that are opened at the same time.
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Client = Box<dyn Stream>;

/// A certificate in files, and who trusts it.
struct Certificate {
    directory: PathBuf,
    client: Arc<ClientConfig>,
}

impl Certificate {
    fn new() -> Result<Self, Box<dyn Error>> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("idle_memory");
        std::fs::create_dir_all(&directory)?;
        let der = made.cert.der().clone();
        std::fs::write(directory.join("cert.pem"), pem("CERTIFICATE", &der))?;
        let key = made.signing_key.serialize_der();
        std::fs::write(directory.join("key.pem"), pem("PRIVATE KEY", &key))?;
        Ok(Self {
            directory,
            client: trusting(der)?,
        })
    }
}

fn trusting(root: CertificateDer<'static>) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(root)?;
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config.into())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

struct Node {
    process: Child,
    address: String,
    tls: Option<TlsConnector>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Node {
    fn start(certificate: Option<&Certificate>) -> Result<Self, Box<dyn Error>> {
        let free = "127.0.0.1:0";
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringpost"));
        command
            .args(["serve", "--id", "n1", "--insecure-users", "--listen", free])
            .args(["--peer-listen", free, "--admin-listen", free])
            // One client sends to all others.
            .args(["--message-rate", "1000000", "--message-burst", "1000000"]);
        if let Some(certificate) = certificate {
            let file = |name| certificate.directory.join(name);
            command.arg("--tls-cert").arg(file("cert.pem"));
            command.arg("--tls-key").arg(file("key.pem"));
        }
        let mut process = command
            .env_remove("RUST_LOG")
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready: serde_json::Value = serde_json::from_str(&line)?;
        let url = ready["url"].as_str().ok_or("no url")?;
        let (_, address) = url.split_once("://").ok_or("no address")?;
        Ok(Self {
            process,
            address: address.to_owned(),
            tls: certificate.map(|it| TlsConnector::from(Arc::clone(&it.client))),
        })
    }

    fn resident_kib(&self) -> Result<f64, Box<dyn Error>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.ok_or("no VmRSS")?.parse()?)
    }
}

/// Connects a user and reads its welcome.
async fn connect(
    address: &str,
    tls: Option<TlsConnector>,
    user: &str,
) -> Result<Client, Box<dyn Error + Send + Sync>> {
    let tcp = TcpStream::connect(address).await?;
    let mut socket: Client = match tls {
        None => Box::new(tcp),
        Some(tls) => {
            let name = ServerName::try_from("127.0.0.1")?;
            Box::new(tls.connect(name, tcp).await?)
        }
    };
    let request = format!(
        "GET /ws?user={user} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    read_until(&mut socket, b"\"welcome\"").await?;
    Ok(socket)
}

async fn read_until(socket: &mut Client, wanted: &[u8]) -> std::io::Result<()> {
    let mut seen = Vec::new();
    while !seen.windows(wanted.len()).any(|window| window == wanted) {
        if socket.read_buf(&mut seen).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// A masked text frame with an all-zero mask, of at most 125 bytes.
fn text_frame(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    assert!(len <= 125, "a short frame");
    [&[0x81, 0x80 | len, 0, 0, 0, 0], text.as_bytes()].concat()
}

async fn connect_all(node: &Node, count: usize) -> Result<Vec<Client>, Box<dyn Error>> {
    let mut clients = Vec::with_capacity(count);
    let mut next = 0;
    while next < count {
        let until = count.min(next + AT_ONCE);
        let mut connecting = tokio::task::JoinSet::new();
        for number in next..until {
            let (address, tls) = (node.address.clone(), node.tls.clone());
            connecting
                .spawn(async move { connect(&address, tls, &format!("user-{number}")).await });
        }
        while let Some(connected) = connecting.join_next().await {
            clients.push(connected?.map_err(|error| error.to_string())?);
        }
        next = until;
    }
    Ok(clients)
}

async fn send_to_all(node: &Node, clients: &mut [Client]) -> Result<(), Box<dyn Error>> {
    let mut sender = connect(&node.address, node.tls.clone(), "sender")
        .await
        .map_err(|e| e.to_string())?;
    for number in 0..clients.len() {
        let message = format!(
            r#"{{"type":"send","id":"m","qos":0,"to":{{"user":"user-{number}"}},"body":"hi"}}"#
        );
        sender.write_all(&text_frame(&message)).await?;
        read_until(&mut sender, b"\"sent\"").await?;
    }
    for client in clients {
        read_until(client, b"\"message\"").await?;
    }
    Ok(())
}

/// Waits until memory no longer falls, or patience is at its end.
async fn settled(node: &Node) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let mut last = node.resident_kib()?;
    while start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = node.resident_kib()?;
        if now >= last {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// Measures one node; fails above so many KiB a client, unless it is a test.
async fn measure(node: &Node, count: usize, kib_max: Option<f64>) -> Result<(), Box<dyn Error>> {
    // The first connections pay for what all share.
    drop(connect_all(node, AT_ONCE).await?);
    let empty = settled(node).await?;
    let clients_f64 = f64::from(u32::try_from(count)?);
    let per_client = |kib: f64| (kib - empty) / clients_f64;

    let mut clients = connect_all(node, count).await?;
    let connected = per_client(settled(node).await?);
    send_to_all(node, &mut clients).await?;
    let received = per_client(settled(node).await?);
    drop(clients);
    let left = settled(node).await? - empty;
    // What the allocator keeps is used again; what leaks is not.
    drop(connect_all(node, count).await?);
    let left_again = settled(node).await? - empty;

    let how = if node.tls.is_some() { " over TLS" } else { "" };
    println!("{count} clients{how}, KiB of resident memory each");
    println!("  connected and idle            {connected:5.2}");
    println!("  after one message to each     {received:5.2}");
    println!("  kept when all have left       {:5.2}", left / clients_f64);
    println!(
        "  kept after a second round     {:5.2}",
        left_again / clients_f64
    );
    let Some(kib_max) = kib_max else {
        return Ok(());
    };
    if connected.max(received) > kib_max {
        return Err(format!("more than {kib_max} KiB a client").into());
    }
    if left_again > left * 1.1 {
        return Err("a second round of clients left more behind than the first".into());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if !cfg!(target_os = "linux") {
        println!("skipped: resident memory is read from /proc");
        return Ok(());
    }
    let test = std::env::args().any(|argument| argument == "--test");
    let count = if test { CLIENTS_IN_TEST } else { CLIENTS };
    let judged = |kib_max| (!test).then_some(kib_max);
    let node = Node::start(None)?;
    measure(&node, count, judged(KIB_PER_CLIENT_MAX)).await?;
    drop(node);
    let node = Node::start(Some(&Certificate::new()?))?;
    measure(&node, count, judged(KIB_PER_TLS_CLIENT_MAX)).await
}
