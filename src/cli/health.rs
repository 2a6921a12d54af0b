//! `ringpost health`: whether one node lives, or is ready, as an exit code.

use std::process::ExitCode;

use clap::Args;
use hyper::StatusCode;
use ringpost::client::{Target, http};
use tokio::time::timeout;

use super::Outcome;
use super::output::print;
use super::values::Span;

/// Ask one node whether it lives, for those who start and stop nodes.
///
/// Asks /healthz of the admin address, or /readyz with --ready, prints what the node says, and ends with
/// exit code 0 or 1. It needs no key, and no curl where there is none: in a container, say.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ringpost health                                         the node on the default ports lives
  ringpost health --ready --node http://127.0.0.1:7202    this one is in the ring and not draining

Exit codes: 0 it does, 1 it does not, or did not answer.")]
pub struct HealthArgs {
    /// The node's admin address (--admin-listen): http://host:port or host:port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7201")]
    pub node: Target,

    /// Whether it is ready for clients: it has found its cluster, has taken over what it owns, and does not
    /// drain
    #[arg(long)]
    pub ready: bool,

    /// How long the answer may take
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub timeout: Span,
}

/// Asks and prints.
pub async fn run(args: HealthArgs) -> Outcome {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let answer = timeout(args.timeout.0, http::get(&args.node, path)).await;
    let answer = answer
        .map_err(|_| format!("no answer of {} within {:?}", args.node, args.timeout.0))?
        .map_err(|error| error.to_string())?;
    match answer.status {
        StatusCode::OK => {
            print(&String::from_utf8_lossy(&answer.body));
            Ok(ExitCode::SUCCESS)
        }
        StatusCode::NOT_FOUND => Err(format!(
            "{} has no {path}; health takes an admin address (--admin-listen of the node)",
            args.node
        )),
        _ => Err(format!("{} answered {}", args.node, answer.sentence())),
    }
}
