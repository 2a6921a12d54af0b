//! The flags of `ringpost bench`, and what of them is refused.

use clap::{Args, ValueEnum};

use super::template::BODY_BYTES_MIN;
use crate::cli::values::{Span, root_certificates};
use ringpost::client::{RootCertificates, Target};

/// Headings of the help.
const MESSAGES: &str = "Messages (closed and open)";
const CONNECTIONS: &str = "Connections (idle and storm)";
const OUTPUT: &str = "Output";

/// Put a running cluster under load and measure it.
///
/// closed: each sender keeps --window messages on the way; finds the throughput. open: messages go
/// out at a fixed --rate, whatever comes back, and latency counts from the moment a message was to
/// be sent; finds the latency at that rate. idle: opens --connections and holds them. storm: opens
/// --connections as fast as it can, and closes them.
///
/// With --rooms the receivers are members of rooms, and each message goes to a whole room; with
/// --everyone each goes to all of them.
///
/// closed and open compare what was accepted with what was delivered, message by message: losses,
/// repeats and messages out of order are counted, and each makes the exit code 1.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(after_help = "\
Examples:
  ringpost bench --node 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 --duration 30s
  ringpost bench --node 127.0.0.1:7001 --mode open --rate 10000 --json | jq .latency_us
  ringpost bench --node 127.0.0.1:7001 --rooms 1 --receivers 1000 --senders 10
  ringpost bench --node 127.0.0.1:7001 --mode idle --connections 10000 --duration 60s
  ringpost bench --node 127.0.0.1:7001 --mode storm --connections 5000

Users are named PREFIX-SEED-s0, … (senders), -r0, … (receivers) and -c0, … (connections), rooms
PREFIX-SEED-room0, …; the nodes need --insecure-users, and --clients-may-broadcast for --everyone, and, as
senders are faster than clients may be, --message-rate 1000000 --message-burst 1000000 (failures are
rate_limited without). Nodes that are not on this machine bound connections and handshakes of one address: see
--exempt-networks. Every connection needs a file descriptor (ulimit -n). Ctrl-C ends the test and
reports what there is; a second one does not wait for receipts and deliveries.

Exit codes: 0 it worked and nothing was lost, repeated or out of order, 1 otherwise, 2 the command
line was refused.")]
pub struct BenchArgs {
    /// The nodes' client addresses (--listen); sessions begin at them in turn
    #[arg(long, value_name = "URL,…", value_delimiter = ',', required = true)]
    pub node: Vec<Target>,

    /// Root certificates in PEM that a wss:// node's must be signed by. Default: the system's
    #[arg(long, value_name = "FILE", value_parser = root_certificates)]
    pub ca: Option<RootCertificates>,

    /// What is tested
    #[arg(long, value_enum, default_value_t = Mode::Closed)]
    pub mode: Mode,

    /// Users who send, each over one connection
    #[arg(long, help_heading = MESSAGES, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub senders: u32,

    /// Users who receive; each sender writes to up to 16 of them in turn
    #[arg(long, help_heading = MESSAGES, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub receivers: u32,

    /// Send to this many rooms, among which the receivers are shared out, instead of to single users
    #[arg(long, help_heading = MESSAGES, value_name = "N", conflicts_with = "everyone",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rooms: Option<u32>,

    /// Send to everyone, with --qos 0
    #[arg(long, help_heading = MESSAGES)]
    pub everyone: bool,

    /// Messages a sender may have on the way without a receipt (closed)
    #[arg(long, help_heading = MESSAGES, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub window: u32,

    /// Messages a second, of all senders together (open)
    #[arg(long, help_heading = MESSAGES, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: u64,

    /// How many connections
    #[arg(long, help_heading = CONNECTIONS, value_name = "N", default_value_t = 5000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,

    /// Connections opened a second (idle)
    #[arg(long, help_heading = CONNECTIONS, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connect_rate: u32,

    /// Handshakes at the same time
    #[arg(long, value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connect_concurrency: u32,

    /// How long one handshake may take, its redirects included
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub connect_timeout: Span,

    /// How long it is measured; idle: how long connections are held; storm: for how long at most
    /// new ones are opened
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub duration: Span,

    /// How long messages run before it is measured
    #[arg(long, help_heading = MESSAGES, value_name = "TIME", default_value = "2s")]
    pub warmup: Span,

    /// How long after the last send to wait for receipts and deliveries
    #[arg(long, help_heading = MESSAGES, value_name = "TIME", default_value = "5s")]
    pub grace: Span,

    /// Bytes of a message's body
    #[arg(long, help_heading = MESSAGES, value_name = "BYTES", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(BODY_BYTES_MIN as i64..=1 << 24))]
    pub size: u32,

    /// 1: kept until acknowledged; 0: at most once
    #[arg(long, help_heading = MESSAGES, value_name = "0|1", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(0..=1))]
    pub qos: u8,

    /// The users' names begin with it: 1 to 64 of A-Z a-z 0-9 . _ -
    #[arg(long, value_name = "TEXT", default_value = "bench")]
    pub user_prefix: String,

    /// Goes into the users' names, and so decides which node owns whom. Default: random
    #[arg(long, value_name = "N")]
    pub seed: Option<u32>,

    /// Print one JSON object instead of a table
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,

    /// A line a second on standard error. Default: when that is a terminal
    #[arg(long, help_heading = OUTPUT, overrides_with = "no_progress")]
    pub progress: bool,

    /// No line a second
    #[arg(long, help_heading = OUTPUT, overrides_with = "progress")]
    pub no_progress: bool,

    /// Also load nodes that are not on this machine
    #[arg(long)]
    pub yes: bool,
}

/// Kinds of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// As many messages as receipts allow
    Closed,
    /// Messages at a fixed rate
    Open,
    /// Connections that do nothing
    Idle,
    /// Connections that come all at once
    Storm,
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Idle => "idle",
            Self::Storm => "storm",
        }
    }
}

impl BenchArgs {
    /// How many connections there will be at the same time.
    pub fn connections(&self) -> u32 {
        match self.mode {
            Mode::Closed | Mode::Open => self.senders + self.receivers,
            Mode::Idle | Mode::Storm => self.connections,
        }
    }

    /// What no single flag shows; the error is one sentence.
    pub fn check(&self) -> Result<(), String> {
        if let Some(node) = self.node.iter().find(|node| !node.is_loopback())
            && !self.yes
        {
            return Err(format!(
                "{node} is not on this machine, and a load test can put it out of service; --yes \
                 if that is what you want"
            ));
        }
        let prefix = &self.user_prefix;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(good) {
            return Err(format!(
                "--user-prefix = {prefix:?}: it must be 1 to 64 of A-Z a-z 0-9 . _ -"
            ));
        }
        if let Some(rooms) = self.rooms.filter(|rooms| *rooms > self.receivers) {
            return Err(format!(
                "--rooms = {rooms}: there are {} receivers, and each is in one room",
                self.receivers
            ));
        }
        if self.everyone && self.qos > 0 {
            return Err("--everyone needs --qos 0: what goes to everyone is not kept".to_owned());
        }
        for (flag, Span(span)) in [
            ("duration", self.duration),
            ("connect-timeout", self.connect_timeout),
        ] {
            if span.is_zero() {
                return Err(format!("--{flag} = 0: it must be longer than nothing"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn parsed(line: &str) -> BenchArgs {
        let words = ["bench"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().args
    }

    #[test]
    fn only_this_machine_is_loaded_without_being_asked_twice() {
        assert_eq!(parsed("--node 127.0.0.1:1,[::1]:2").check(), Ok(()));
        let error = parsed("--node 127.0.0.1:1,10.0.0.1:2").check();
        assert!(error.unwrap_err().contains("10.0.0.1:2"));
        assert_eq!(parsed("--node 10.0.0.1:2 --yes").check(), Ok(()));
    }

    #[test]
    fn names_that_need_escapes_times_of_nothing_and_what_contradicts_itself_are_refused() {
        for flags in [
            "--rooms 51",
            "--everyone",
            "--user-prefix a\"b",
            "--user-prefix=",
            "--duration 0",
            "--connect-timeout 0s",
        ] {
            let args = parsed(&format!("--node 127.0.0.1:1 {flags}"));
            assert!(args.check().is_err(), "{flags}");
        }
    }
}
