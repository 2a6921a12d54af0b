//! The subcommands and their flags; those of a node are in [`Settings`].

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ringpost::client::{RootCertificates, Target, Token as UserToken};

use super::bench::BenchArgs;
use super::health::HealthArgs;
use super::manual::{CompletionsArgs, ManArgs};
use super::settings::Settings;
use super::values::{Span, root_certificates};

/// A WebSocket cluster on a consistent hash ring, with no broker.
///
/// N equal nodes find each other by gossip and agree which of them owns which user. A client may
/// connect to any node and is redirected to the one that owns its user; a message is one ring
/// look-up and at most one hop away from its recipient.
#[derive(Debug, Parser)]
#[command(
    name = "ringpost",
    version,
    after_help = "\
Try it:
  ringpost demo                                     a cluster of three, with web pages
  ringpost serve --id n1 --insecure-users           one node on the default ports
  ringpost status --node http://127.0.0.1:7201      its members
  ringpost locate --node 127.0.0.1:7001 alice       who owns alice
  ringpost send --node 127.0.0.1:7001 --from bob --to alice 'hi'
  ringpost bench --node 127.0.0.1:7001              a load test

Exit codes: 0 done, 1 it did not work, 2 the command line or the configuration was refused."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(Box<ServeArgs>),
    Demo(DemoArgs),
    Locate(LocateArgs),
    Status(StatusArgs),
    Health(HealthArgs),
    Send(SendArgs),
    Bench(Box<BenchArgs>),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Run one node of a cluster.
///
/// Once its listeners are bound, the node prints one line of JSON on standard output,
/// {"ready":true,"id":…,"url":…,"peer":…,"admin":…}, with the real ports; it logs to standard
/// error. SIGTERM and SIGINT drain it: it leaves the ring, sends its clients elsewhere and exits 0
/// within --drain-timeout; a second one exits at once.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Every flag is also an environment variable, RINGPOST_ and its name (RINGPOST_PEER_LISTEN), and a key
of the --config file, with _ for - (peer_listen; lists are arrays). A flag beats the environment,
which beats the file. Times are 500ms, 30s, 5m, 1h or a number of seconds.

A cluster of three on one machine:
  S=127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103
  ringpost serve --id n1 --insecure-users --seeds $S &
  ringpost serve --id n2 --insecure-users --seeds $S --listen 127.0.0.1:7002 \\
                 --peer-listen 127.0.0.1:7102 --admin-listen 127.0.0.1:7202 &
  ringpost serve --id n3 --insecure-users --seeds $S --listen 127.0.0.1:7003 \\
                 --peer-listen 127.0.0.1:7103 --admin-listen 127.0.0.1:7203 &
  ringpost status --node http://127.0.0.1:7201

Exit codes: 0 drained, 1 the node could not start or was ended, 2 the configuration was refused."
)]
pub struct ServeArgs {
    #[command(flatten)]
    pub settings: Settings,

    /// A TOML file with settings that neither a flag nor the environment gives. Default: none
    #[arg(
        long,
        env = "RINGPOST_CONFIG",
        value_name = "FILE",
        help_heading = "Configuration"
    )]
    pub config: Option<PathBuf>,

    /// Only check the configuration: print it as TOML, with the source of each value, and exit 0
    #[arg(long, help_heading = "Configuration")]
    pub check: bool,
}

/// Run a whole cluster in one process, with web pages to try it.
///
/// Starts real nodes on free loopback ports, with gossip and gRPC between them, prints their
/// addresses, and serves a page on which one can be up to six users at once, see which node each lands
/// on and which way each message takes, stop, kill and add nodes, and see that nothing accepted is
/// lost. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ringpost demo --nodes 5 --listen 127.0.0.1:9000     then open http://127.0.0.1:9000/")]
pub struct DemoArgs {
    /// How many nodes, 1 to 8; more can be added on the page, up to 8
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(1..=8))]
    pub nodes: u8,

    /// Where the web pages are served. Port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
}

/// Ask a node which node owns a user.
///
/// Prints a table of user, node and the URL a client of that user would connect to. Any node
/// gives the same answer, once the nodes agree who is in the cluster.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ringpost locate --node http://127.0.0.1:7001 alice bob

Exit codes: 0 all located, 1 some were not (a sentence on standard error says why).")]
pub struct LocateArgs {
    /// A node's client address (--listen): http://host:port, ws://host:port or host:port;
    /// with TLS wss://host:port or https://host:port
    #[arg(long, value_name = "URL")]
    pub node: Target,

    #[command(flatten)]
    pub proof: ProofArgs,

    /// Print the node's answers, one line of JSON a user, instead of a table
    #[arg(long)]
    pub json: bool,

    /// How long each answer may take
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: Span,

    /// The user ids
    #[arg(value_name = "USER", required = true)]
    pub users: Vec<String>,
}

/// Show a cluster as one node sees it.
///
/// Prints a table of the members (id, state, whether draining, generation, weight, share of the
/// users, URL for clients, address for peers), then the digest of the ring, which is the same on
/// all nodes that agree, and the number of sessions.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ringpost status --node http://127.0.0.1:7201
  ringpost status --node http://127.0.0.1:7201 --json | jq '.members[] | select(.state != \"alive\")'

Exit codes: 0 shown, 1 the node did not answer.")]
pub struct StatusArgs {
    /// A node's admin address (--admin-listen): http://host:port or host:port
    #[arg(long, value_name = "URL")]
    pub node: Target,

    /// A file whose first line is a key of the node's --api-keys-file; needed where there is one
    #[arg(long, env = "RINGPOST_API_KEY_FILE", value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,

    /// Print the node's answer as it is, in JSON; with --watch one line a second
    #[arg(long)]
    pub json: bool,

    /// Show the numbers of all nodes, again every second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,

    /// How long the answer may take
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: Span,
}

/// Send one message and print its receipt.
///
/// Connects over WebSocket as the sender, follows redirects to the sender's owner, sends and prints
/// the receipt as it came. `accepted` means that the recipient's owner and the next nodes on the
/// ring hold the message, as many as `copies` says; it is kept until the recipient comes. With
/// --qos 0 nothing is kept, and `sent` means that at least one session of the recipient was given
/// the message.
///
/// A message to a room is kept for those of its members who catch up; its receipt is the same whether
/// anybody is there or not. What goes to everyone is not kept, and only nodes with
/// --clients-may-broadcast take it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ringpost send --node ws://127.0.0.1:7001 --from alice --to bob 'good morning'
  ringpost send --node ws://127.0.0.1:7001 --from alice --to-room lobby 'good morning'
  ringpost send --node ws://127.0.0.1:7001 --from alice --to bob --json-body '{\"n\":1}'

Exit codes: 0 sent or accepted, 1 failed, or no receipt came.")]
pub struct SendArgs {
    /// A node's client address (--listen): ws://host:port, http://host:port or host:port;
    /// with TLS wss://host:port or https://host:port
    #[arg(long, value_name = "URL")]
    pub node: Target,

    #[command(flatten)]
    pub proof: ProofArgs,

    /// The user who sends
    #[arg(long, value_name = "USER")]
    pub from: String,

    #[command(flatten)]
    pub to: RecipientArgs,

    /// 1: kept and copied until the recipient acks it; 0: for who is there now, and not kept.
    /// Default: 1, or 0 with --everyone
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    pub qos: Option<u8>,

    /// Take TEXT as JSON and send it as it is, instead of as a string
    #[arg(long)]
    pub json_body: bool,

    /// How long all of it may take
    #[arg(long, value_name = "TIME", default_value = "20s")]
    pub timeout: Span,

    /// The body of the message
    #[arg(value_name = "TEXT")]
    pub text: String,
}

/// Whom to believe, and by what to be believed.
#[derive(Debug, Args)]
pub struct ProofArgs {
    /// Root certificates in PEM that a wss:// node's must be signed by. Default: the system's
    #[arg(long, value_name = "FILE", value_parser = root_certificates)]
    pub ca: Option<RootCertificates>,

    /// The user's token, where nodes take users from tokens. Better in the environment: others see
    /// command lines
    #[arg(
        long,
        env = "RINGPOST_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<UserToken>,
}

/// Whom a message is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RecipientArgs {
    /// The user who is to get it
    #[arg(long, value_name = "USER")]
    pub to: Option<String>,

    /// The room whose members are to get it
    #[arg(long, value_name = "ROOM")]
    pub to_room: Option<String>,

    /// Everybody who is connected is to get it
    #[arg(long)]
    pub everyone: bool,
}
