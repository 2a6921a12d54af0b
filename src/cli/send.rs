//! `ringpost send`: one message over a WebSocket, and its receipt.

use std::pin::pin;
use std::process::ExitCode;

use ringpost::client::{Client, Error, Options, Qos, Recipient, SendError, SendOptions};
use ringpost::id::{RoomName, UserId};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::args::{RecipientArgs, SendArgs};
use super::output::print;
use super::{Outcome, complain};

/// Sends and prints the receipt.
pub async fn run(args: SendArgs) -> Outcome {
    if let Err(sentence) = check(&args) {
        complain(&sentence);
        return Ok(ExitCode::from(2));
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

/// What is refused before anything is tried; the error is one sentence.
fn check(args: &SendArgs) -> Result<(), String> {
    let RecipientArgs {
        to,
        to_room,
        everyone,
    } = &args.to;
    for (flag, user) in [("from", Some(&args.from)), ("to", to.as_ref())] {
        if let Some(user) = user
            && let Err(error) = UserId::new(user)
        {
            return Err(format!("--{flag} = {user}: that is no user id, {error}"));
        }
    }
    if let Some(room) = to_room
        && let Err(error) = RoomName::new(room)
    {
        return Err(format!("--to-room = {room}: that is no room, {error}"));
    }
    if *everyone && args.qos == Some(1) {
        return Err(
            "--everyone goes with --qos 0 only: what goes to everyone is not kept".to_owned(),
        );
    }
    Ok(())
}

async fn send(args: &SendArgs, body: &RawValue) -> Outcome {
    let mut options = Options::for_user(&args.from);
    options.root_certificates = args.proof.ca.clone().unwrap_or_default();
    options.token.clone_from(&args.proof.token);
    // One limit for everything, and that is this command's own.
    options.connect_timeout = args.timeout.0.saturating_mul(2);
    // Messages to the sender are not for this command; they are left to its next connection.
    options.auto_ack = false;
    let client = Client::connect(&args.node.to_string(), options)
        .await
        .map_err(|error| sentence(&error))?;
    let to = match &args.to {
        RecipientArgs { to: Some(user), .. } => Recipient::user(user),
        RecipientArgs {
            to_room: Some(room),
            ..
        } => Recipient::room(room),
        RecipientArgs { .. } => Recipient::Everyone,
    };
    let mut how = SendOptions::default();
    how.qos = match args.qos {
        Some(0) => Qos::AtMostOnce,
        Some(_) | None => Qos::AtLeastOnce,
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
        Err(ref error @ SendError::Failed(ref failure)) => {
            print(&failure.json);
            // The receipt is about the last try only.
            if !failure.definite {
                complain(&error.to_string());
            }
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
