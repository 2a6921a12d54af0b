//! What an idle client costs: resident memory of a node per connection, with 10,000 connected,
//! before and after each has received a message, and after all have left.
//!
//! ```text
//! cargo bench --bench idle_memory
//! ```
//!
//! It fails above 6 KiB. With `--test` a few hundred clients connect, and nothing is judged.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const CLIENTS: usize = 10_000;
const CLIENTS_IN_TEST: usize = 300;
const KIB_PER_CLIENT_MAX: f64 = 6.0;
/// Connections that are opened at the same time.
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    process: Child,
    address: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Node {
    fn start() -> Result<Self, Box<dyn Error>> {
        let free = "127.0.0.1:0";
        let mut process = Command::new(env!("CARGO_BIN_EXE_ringpost"))
            .args(["serve", "--id", "n1", "--insecure-users", "--listen", free])
            .args(["--peer-listen", free, "--admin-listen", free])
            .env_remove("RUST_LOG")
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready: serde_json::Value = serde_json::from_str(&line)?;
        let url = ready["url"].as_str().ok_or("no url")?;
        let address = url.trim_start_matches("ws://").to_owned();
        Ok(Self { process, address })
    }

    fn resident_kib(&self) -> Result<f64, Box<dyn Error>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.ok_or("no VmRSS")?.parse()?)
    }
}

/// Connects a user and reads its welcome.
async fn connect(address: &str, user: &str) -> Result<TcpStream, Box<dyn Error + Send + Sync>> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!(
        "GET /ws?user={user} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    read_until(&mut socket, b"\"welcome\"").await?;
    Ok(socket)
}

async fn read_until(socket: &mut TcpStream, wanted: &[u8]) -> std::io::Result<()> {
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

async fn connect_all(address: &str, count: usize) -> Result<Vec<TcpStream>, Box<dyn Error>> {
    let mut clients = Vec::with_capacity(count);
    let mut next = 0;
    while next < count {
        let until = count.min(next + AT_ONCE);
        let mut connecting = tokio::task::JoinSet::new();
        for number in next..until {
            let address = address.to_owned();
            connecting.spawn(async move { connect(&address, &format!("user-{number}")).await });
        }
        while let Some(connected) = connecting.join_next().await {
            clients.push(connected?.map_err(|error| error.to_string())?);
        }
        next = until;
    }
    Ok(clients)
}

async fn send_to_all(address: &str, clients: &mut [TcpStream]) -> Result<(), Box<dyn Error>> {
    let mut sender = connect(address, "sender")
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if !cfg!(target_os = "linux") {
        println!("skipped: resident memory is read from /proc");
        return Ok(());
    }
    let test = std::env::args().any(|argument| argument == "--test");
    let count = if test { CLIENTS_IN_TEST } else { CLIENTS };
    let node = Node::start()?;
    // The first connections pay for what all share.
    drop(connect_all(&node.address, AT_ONCE).await?);
    let empty = settled(&node).await?;
    let clients_f64 = f64::from(u32::try_from(count)?);
    let per_client = |kib: f64| (kib - empty) / clients_f64;

    let mut clients = connect_all(&node.address, count).await?;
    let connected = per_client(settled(&node).await?);
    send_to_all(&node.address, &mut clients).await?;
    let received = per_client(settled(&node).await?);
    drop(clients);
    let left = settled(&node).await? - empty;
    // What the allocator keeps is used again; what leaks is not.
    drop(connect_all(&node.address, count).await?);
    let left_again = settled(&node).await? - empty;

    println!("{count} clients, KiB of resident memory each");
    println!("  connected and idle            {connected:5.2}");
    println!("  after one message to each     {received:5.2}");
    println!("  kept when all have left       {:5.2}", left / clients_f64);
    println!(
        "  kept after a second round     {:5.2}",
        left_again / clients_f64
    );
    if !test && connected.max(received) > KIB_PER_CLIENT_MAX {
        return Err(format!("more than {KIB_PER_CLIENT_MAX} KiB a client").into());
    }
    if !test && left_again > left * 1.1 {
        return Err("a second round of clients left more behind than the first".into());
    }
    Ok(())
}
