//! `ringpost send`: one message over a WebSocket, and its receipt.

use std::pin::pin;
use std::process::ExitCode;

use ringpost::client::{Client, Error, Options, Qos, Recipient, SendError, SendOptions};
use ringpost::id::UserId;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::args::SendArgs;
use super::output::print;
use super::{Outcome, complain};

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
    let mut options = Options::for_user(&args.from);
    // One limit for everything, and that is this command's own.
    options.connect_timeout = args.timeout.0.saturating_mul(2);
    // Messages to the sender are not for this command; they are left to its next connection.
    options.auto_ack = false;
    let client = Client::connect(&args.node.to_string(), options)
        .await
        .map_err(|error| sentence(&error))?;
    let to = Recipient::user(&args.to);
    let mut how = SendOptions::default();
    how.qos = match args.qos {
        0 => Qos::AtMostOnce,
        _ => Qos::AtLeastOnce,
    };
    let mut receipt = pin!(client.send(&to, body, how));
    let outcome = loop {
        tokio::select! {
            outcome = &mut receipt => break outcome,
            Some(_) = client.next() => {}
        }
    };
    let code = match outcome {
        Ok(receipt) => {
            print(&receipt.json);
            ExitCode::SUCCESS
        }
        Err(SendError::Failed(failure)) => {
            print(&failure.json);
            ExitCode::FAILURE
        }
        Err(error) => return Err(error.to_string()),
    };
    client.close().await;
    Ok(code)
}

fn sentence(error: &Error) -> String {
    match error {
        Error::Refused {
            node, status: 404, ..
        } => format!("{node} has no /ws; send takes a client address (--listen of the node)"),
        other => other.to_string(),
    }
}
