//! `ringpost send`: one message over a WebSocket, and its receipt.

use std::process::ExitCode;

use fastwebsockets::{Frame, OpCode, Payload};
use hyper::{StatusCode, header};
use ringpost::id::UserId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::args::SendArgs;
use super::http::{self, Answer, Handshake, Socket, Target};
use super::output::print;
use super::{Outcome, complain};

/// How often a redirect is followed. One is usual: whoever comes with `hop` is not sent on.
const REDIRECTS_MAX: usize = 5;

/// What is read of a message from a server; any type may have any of the fields.
#[derive(Deserialize)]
struct Incoming {
    r#type: String,
    id: Option<String>,
    status: Option<String>,
    url: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    r#type: &'static str,
    id: &'a str,
    to: Recipient<'a>,
    body: &'a RawValue,
    qos: u8,
}

#[derive(Serialize)]
struct Recipient<'a> {
    user: &'a str,
}

/// Sends and prints the receipt.
pub async fn run(args: SendArgs) -> Outcome {
    for (flag, user) in [("from", &args.from), ("to", &args.to)] {
        if let Err(error) = UserId::new(user) {
            complain(&format!("--{flag} = {user}: that is no user id, {error}"));
            return Ok(ExitCode::from(2));
        }
    }
    let body = if args.json_body {
        match serde_json::from_str::<Box<RawValue>>(&args.text) {
            Ok(body) => body,
            Err(error) => {
                complain(&format!(
                    "TEXT is not JSON ({error}); leave out --json-body for a string"
                ));
                return Ok(ExitCode::from(2));
            }
        }
    } else {
        serde_json::value::to_raw_value(&args.text).map_err(|error| error.to_string())?
    };
    match timeout(args.timeout.0, send(&args, &body)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!(
            "no receipt within {:?}; the message may or may not have been delivered",
            args.timeout.0
        )),
    }
}

async fn send(args: &SendArgs, body: &RawValue) -> Outcome {
    let mut socket = connect(&args.node, &args.from).await?;
    let id = format!("{:032x}", rand::random::<u128>());
    let message = Outgoing {
        r#type: "send",
        id: &id,
        to: Recipient { user: &args.to },
        body,
        qos: 0,
    };
    let message = serde_json::to_vec(&message).map_err(|error| error.to_string())?;
    write(&mut socket, Frame::text(Payload::Owned(message))).await?;
    loop {
        let (text, message) = read(&mut socket).await?;
        // Whatever else arrives meanwhile, such as messages to the sender, is not asked for.
        if message.r#type != "receipt" || message.id.as_deref() != Some(&id) {
            continue;
        }
        print(&text);
        // The receipt is all that matters; the server may already be gone.
        let _ = write(&mut socket, Frame::close(1000, b"")).await;
        let done = matches!(message.status.as_deref(), Some("sent" | "accepted"));
        return Ok(if done {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
}

/// Connects as a user and reads `welcome`, following redirects of both kinds.
async fn connect(node: &Target, user: &str) -> Result<Box<Socket>, String> {
    let mut target = node.clone();
    let mut path = format!("/ws?user={}&redirect=http", http::encoded(user));
    for _ in 0..=REDIRECTS_MAX {
        let url = match http::upgrade(&target, &path).await? {
            Handshake::Refused(answer) => location(&target, &answer)?,
            Handshake::Open(mut socket) => {
                let (text, message) = read(&mut socket).await?;
                match (message.r#type.as_str(), message.url) {
                    ("welcome", _) => return Ok(socket),
                    ("redirect", Some(url)) => url,
                    ("error", _) => {
                        let code = message.code.unwrap_or_default();
                        let why = message.message.unwrap_or_default();
                        return Err(format!("{target} refused: {code}, {why}"));
                    }
                    _ => return Err(format!("{target} did not begin with a welcome but {text}")),
                }
            }
        };
        (target, path) = target.resolve(&url)?;
    }
    Err(format!("{node} redirected more than {REDIRECTS_MAX} times"))
}

/// Where a 307 points to: the URL in its body, or else `Location`.
fn location(target: &Target, answer: &Answer) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Body {
        url: String,
    }
    match answer.status {
        StatusCode::TEMPORARY_REDIRECT => {}
        StatusCode::NOT_FOUND => {
            return Err(format!(
                "{target} has no /ws; send takes a client address (--listen of the node)"
            ));
        }
        _ => return Err(format!("{target} answered {}", answer.sentence())),
    }
    if let Ok(Body { url }) = serde_json::from_slice(&answer.body) {
        return Ok(url);
    }
    let location = answer
        .headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok());
    location
        .map(str::to_owned)
        .ok_or_else(|| format!("{target} redirected to nowhere"))
}

async fn write(socket: &mut Socket, frame: Frame<'_>) -> Result<(), String> {
    socket
        .write_frame(frame)
        .await
        .map_err(|error| format!("the connection broke: {error}"))
}

/// The next message, as it came and as understood.
async fn read(socket: &mut Socket) -> Result<(String, Incoming), String> {
    loop {
        let frame = socket
            .read_frame()
            .await
            .map_err(|error| format!("the connection broke: {error}"))?;
        match frame.opcode {
            OpCode::Text => {
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                let message = serde_json::from_str(&text)
                    .map_err(|error| format!("a message is not understood ({error}): {text}"))?;
                return Ok((text, message));
            }
            OpCode::Close => return Err(closed(&frame.payload)),
            OpCode::Binary | OpCode::Ping | OpCode::Pong | OpCode::Continuation => {}
        }
    }
}

fn closed(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => format!(
            "the server closed the connection with {} {}",
            u16::from_be_bytes([*high, *low]),
            String::from_utf8_lossy(reason)
        ),
        _ => "the server closed the connection".to_owned(),
    }
}
