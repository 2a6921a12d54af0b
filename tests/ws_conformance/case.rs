//! Cases as data, and the running of them against an echo server of their own.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::raw_ws::{CLOSE, ClientFrame, PATIENCE, PING, RawWs, ServerFrame};

const PATH: &str = "/ws?user=conformance";
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

pub const NORMAL: u16 = 1000;
pub const PROTOCOL: u16 = 1002;
pub const INVALID_UTF8: u16 = 1007;
pub const TOO_BIG: u16 = 1009;

/// One connection and what happens on it.
pub struct Case {
    name: String,
    steps: Vec<Step>,
    end: End,
}

pub enum Step {
    /// Sends bytes in one write.
    Send(Vec<u8>),
    /// Sends bytes in writes of so many.
    Chop(Vec<u8>, usize),
    /// The next frame, pings of the heartbeat aside, has this opcode and payload.
    Receive(u8, Vec<u8>),
}

/// How the connection ends after the last step.
pub enum End {
    /// The client closes with 1000, the server answers 1000 and ends the connection.
    Clean,
    /// The server sends a close with one of these codes (`None`: without), then the connection
    /// ends.
    Closed(Vec<Option<u16>>),
}

pub fn case(name: impl Into<String>, steps: Vec<Step>, end: End) -> Case {
    let name = name.into();
    Case { name, steps, end }
}

pub fn closed(code: u16) -> End {
    End::Closed(vec![Some(code)])
}

pub fn send(frames: &[ClientFrame]) -> Step {
    Step::Send(wire(frames))
}

pub fn chop(frames: &[ClientFrame], size: usize) -> Step {
    Step::Chop(wire(frames), size)
}

pub fn receive(opcode: u8, payload: impl AsRef<[u8]>) -> Step {
    Step::Receive(opcode, payload.as_ref().to_vec())
}

fn wire(frames: &[ClientFrame]) -> Vec<u8> {
    frames.iter().flat_map(ClientFrame::encode).collect()
}

/// A message in frames of at most `size` bytes; one empty frame if it is empty.
pub fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<ClientFrame> {
    let mut pieces: Vec<&[u8]> = payload.chunks(size).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let frame = |(index, piece): (usize, &&[u8])| {
        let frame = ClientFrame::new(if index == 0 { opcode } else { 0 }, piece);
        if index == last { frame } else { frame.more() }
    };
    pieces.iter().enumerate().map(frame).collect()
}

/// The echo server as a process of its own, killed when dropped.
struct EchoServer {
    process: Child,
    address: String,
}

impl EchoServer {
    fn start() -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_ringpost"))
            .with_file_name("examples")
            .join(format!("echo{}", std::env::consts::EXE_SUFFIX));
        let mut process = Command::new(&program)
            .args(["--listen", "127.0.0.1:0", "--max-message-bytes"])
            .arg(MESSAGE_BYTES_MAX.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                let program = program.display();
                panic!("{program}: {error}; `cargo build --example echo` builds it")
            });
        let output = process.stdout.take().expect("standard output is a pipe");
        let (lines, ready) = mpsc::channel();
        thread::spawn(move || {
            // Reads to the end, so that the server never writes into a broken pipe.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        // From here on a panic kills the process.
        let mut server = Self {
            process,
            address: String::new(),
        };
        let line = ready.recv_timeout(PATIENCE).expect("a ready line in time");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("a ready line of JSON");
        let url = ready["url"].as_str().expect("a url in the ready line");
        url.strip_prefix("ws://")
            .expect("a ws:// url")
            .trim_end_matches('/')
            .clone_into(&mut server.address);
        server
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs all cases against one server and then fails with the names of those that failed.
pub fn run(cases: &[Case]) {
    let server = EchoServer::start();
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let error = run_case(&server.address, case).err()?;
            Some(format!("  {}: {error}", case.name))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

fn run_case(address: &str, case: &Case) -> Result<(), String> {
    let mut client = RawWs::connect(address, PATH).map_err(|error| format!("connect: {error}"))?;
    for (index, step) in case.steps.iter().enumerate() {
        run_step(&mut client, step, &case.end)
            .map_err(|error| format!("step {}: {error}", index + 1))?;
    }
    match &case.end {
        End::Clean => {
            let close = ClientFrame::close(NORMAL, "");
            client
                .send(&close)
                .map_err(|error| format!("close: {error}"))?;
            let code = read_close(&mut client)?;
            if code != Some(NORMAL) {
                return Err(format!("closed with {code:?} instead of 1000"));
            }
        }
        End::Closed(codes) => {
            let code = read_close(&mut client)?;
            if !codes.contains(&code) {
                return Err(format!("closed with {code:?} instead of {codes:?}"));
            }
            // What a client does that has been closed. The server may be gone already.
            let _ = client.send(&ClientFrame::close(NORMAL, ""));
            let _ = client.finish();
        }
    }
    client.read_end().map_err(|error| format!("end: {error}"))
}

fn run_step(client: &mut RawWs, step: &Step, end: &End) -> Result<(), String> {
    let sent = match step {
        Step::Send(bytes) => client.send_raw(bytes),
        Step::Chop(bytes, size) => client.send_chopped(bytes, *size),
        Step::Receive(opcode, payload) => {
            let frame = read(client)?;
            let good = frame.fin && frame.rsv == 0 && !frame.masked;
            if good && frame.opcode == *opcode && frame.payload == *payload {
                return Ok(());
            }
            let length = payload.len();
            return Err(format!(
                "wanted opcode {opcode:#x} with {length} bytes, got a {frame:?}"
            ));
        }
    };
    match sent {
        // A server may hang up on a violation before it has been sent all of it.
        Err(error) if matches!(end, End::Clean) => Err(format!("send: {error}")),
        _ => Ok(()),
    }
}

/// The next frame that is not a ping of the server's heartbeat.
fn read(client: &mut RawWs) -> Result<ServerFrame, String> {
    loop {
        match client.read_frame() {
            Ok(Some(frame)) if frame.opcode == PING => {}
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => return Err("the connection ended without a close".to_owned()),
            Err(error) => return Err(describe(&error)),
        }
    }
}

fn read_close(client: &mut RawWs) -> Result<Option<u16>, String> {
    let frame = read(client)?;
    if frame.opcode == CLOSE {
        Ok(frame.close_code())
    } else {
        Err(format!("wanted a close, got a {frame:?}"))
    }
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "no frame in time".to_owned(),
        _ => error.to_string(),
    }
}
