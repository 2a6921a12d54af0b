//! A server that says what the test tells it to, over raw sockets.

use base64::Engine as _;
use ringpost::client::{Client, Options};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::soon;

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A listener.
pub struct Server {
    listener: TcpListener,
    /// `host:port`.
    pub address: String,
}

/// One connection of a client.
pub struct Connection {
    stream: TcpStream,
    /// Its request, as it came.
    pub head: String,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { listener, address }
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The next connection, when its request is there.
    pub async fn accept(&self) -> Connection {
        soon("a request", async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            Connection { stream, head }
        })
        .await
    }

    /// The next connection, welcomed with these fields beside the usual ones.
    pub async fn welcome(&self, fields: Value) -> Connection {
        let mut connection = self.accept().await;
        connection.upgrade().await;
        connection.welcome(fields).await;
        connection
    }

    /// A client, and the connection on which it was welcomed.
    pub async fn client(&self, options: Options, fields: Value) -> (Client, Connection) {
        let url = self.url();
        let (client, connection) =
            tokio::join!(Client::connect(&url, options), self.welcome(fields));
        (client.unwrap(), connection)
    }
}

impl Connection {
    /// The path of the request, with its query.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// A header of the request.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Answers as HTTP does, without a body.
    pub async fn answer(mut self, status: &str, field: &str) {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{field}\r\n\r\n");
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn upgrade(&mut self) {
        let mut hash = Sha1::new();
        hash.update(self.header("sec-websocket-key").unwrap());
        hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let accept = base64::engine::general_purpose::STANDARD.encode(hash.finalize());
        let text = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn welcome(&mut self, fields: Value) {
        let mut welcome = json!({"type": "welcome", "user": "alice", "session": "1", "node": "n1"});
        let fields = fields.as_object().unwrap().clone();
        welcome.as_object_mut().unwrap().extend(fields);
        self.say(&welcome).await;
    }

    pub async fn say(&mut self, message: &Value) {
        self.frame(TEXT, message.to_string().as_bytes()).await;
    }

    /// A message from bob, kept at this offset of the epoch `e`, or not kept.
    pub async fn message(&mut self, id: &str, offset: Option<u64>) {
        self.say(&message(id, offset)).await;
    }

    /// A frame to the client, whatever it is.
    pub async fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.stream
            .write_all(&frame(opcode, payload))
            .await
            .unwrap();
    }

    pub async fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub async fn close(&mut self, code: u16) {
        self.frame(CLOSE, &code.to_be_bytes()).await;
    }

    /// The next frame of the client, unmasked.
    pub async fn hear(&mut self) -> (u8, Vec<u8>) {
        soon("a frame", self.next_frame()).await.unwrap()
    }

    async fn next_frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await?;
        let second = self.stream.read_u8().await?;
        assert!(
            first & 0xf0 == 0x80 && second & 0x80 != 0,
            "{first} {second}"
        );
        let length = match second & 0x7f {
            126 => usize::from(self.stream.read_u16().await?),
            127 => usize::try_from(self.stream.read_u64().await?).unwrap(),
            short => usize::from(short),
        };
        let mut mask = [0; 4];
        self.stream.read_exact(&mut mask).await?;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        Ok((first & 0x0f, payload))
    }

    /// The next message of the client.
    pub async fn json(&mut self) -> Value {
        let (opcode, payload) = self.hear().await;
        assert_eq!(opcode, TEXT, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    /// The code of the client's Close, which must be next.
    pub async fn closed(&mut self) -> u16 {
        let (opcode, payload) = self.hear().await;
        assert_eq!(opcode, CLOSE, "{}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes(payload[..2].try_into().unwrap())
    }

    /// The client's end of the connection, after its Close.
    pub async fn ended(&mut self) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        let _ = soon("the end of the connection", read).await;
        assert_eq!(rest, b"");
    }
}

pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(u8::try_from(length).unwrap()),
        length @ 126..65536 => {
            bytes.push(126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

pub fn message(id: &str, offset: Option<u64>) -> Value {
    let mut message = json!({"type": "message", "stream": "inbox", "id": id, "from": "bob",
        "to": {"user": "alice"}, "body": id, "ts": 1});
    if let Some(offset) = offset {
        message["epoch"] = "e".into();
        message["offset"] = offset.into();
    }
    message
}

pub fn accepted(id: &str) -> Value {
    json!({"type": "receipt", "id": id, "status": "accepted", "copies": 2})
}

pub fn failed(id: &str, code: &str) -> Value {
    json!({"type": "receipt", "id": id, "status": "failed",
        "error": {"code": code, "message": "x", "retry": true}})
}
