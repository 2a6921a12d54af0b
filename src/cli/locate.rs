//! `ringpost locate`: which node owns a user.

use std::process::ExitCode;

use hyper::StatusCode;
use ringpost::client::{Token, encoded, http};
use ringpost::id::UserId;
use serde::Deserialize;
use tokio::time::timeout;

use super::Outcome;
use super::args::LocateArgs;
use super::output::{complain, print};
use super::table::table;

#[derive(Deserialize)]
struct Located {
    user: String,
    node: String,
    url: String,
}

/// Asks for one user after the other. What is known is printed even when some are not.
pub async fn run(mut args: LocateArgs) -> Outcome {
    args.node = args
        .node
        .trusting(&args.proof.ca.take().unwrap_or_default());
    let mut rows = Vec::new();
    let mut all = true;
    for user in &args.users {
        let located = match timeout(args.timeout.0, locate(&args, user)).await {
            Ok(located) => located,
            Err(_) => Err(format!(
                "no answer of {} within {:?}",
                args.node, args.timeout.0
            )),
        };
        match located {
            Ok((_, line)) if args.json => print(&line),
            Ok((Located { user, node, url }, _)) => rows.push([user, node, url]),
            Err(sentence) => {
                complain(&format!("{user}: {sentence}"));
                all = false;
            }
        }
    }
    if !rows.is_empty() {
        print(&table(["USER", "NODE", "URL"], &rows));
    }
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn locate(args: &LocateArgs, user: &str) -> Result<(Located, String), String> {
    UserId::new(user).map_err(|error| format!("that is no user id: {error}"))?;
    let path = format!("/locate?user={}", encoded(user));
    let token = args
        .proof
        .token
        .as_ref()
        .map(Token::authorization)
        .transpose();
    let token = token.map_err(|error| error.to_string())?;
    let answer = http::get_as(&args.node, &path, token)
        .await
        .map_err(|error| error.to_string())?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => {
            return Err(format!(
                "{} has no /locate; locate takes a client address (--listen of the node)",
                args.node
            ));
        }
        _ => return Err(format!("{} answered {}", args.node, answer.sentence())),
    }
    let odd = |error| format!("the answer of {} is not understood: {error}", args.node);
    let value: serde_json::Value = serde_json::from_slice(&answer.body).map_err(odd)?;
    let located = Located::deserialize(&value).map_err(odd)?;
    let line = String::from_utf8_lossy(&answer.body)
        .trim()
        .replace(['\n', '\r'], " ");
    Ok((located, line))
}
