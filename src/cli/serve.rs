//! `ringpost serve`: one node, from its configuration to its end.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use ringpost::{Config, Node, Ready};
use serde::Serialize;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::args::ServeArgs;
use super::merge::{self, Effective, Sources};
use super::output::{complain, print, remark};
use super::supervisor;
use super::values::LogFormat;

/// Checks the configuration, and unless that was all, runs the node until it ends.
pub fn run(args: ServeArgs, sources: Sources) -> ExitCode {
    let effective = match merge::effective(args.settings, sources, args.config.as_deref()) {
        Ok(effective) => effective,
        Err(sentence) => return refused(&sentence),
    };
    if let Err(error) = Node::check(&effective.config) {
        return refused(&merge::sentence(&error, &effective.sources));
    }
    if args.check {
        for warning in effective.config.warnings() {
            remark(&format!("warning: {warning}"));
        }
        let id = &effective.config.id;
        print(&format!(
            "# ok: {id} can start with this\n{}",
            effective.to_toml()
        ));
        return ExitCode::SUCCESS;
    }
    let Effective {
        config, log_format, ..
    } = effective;
    if let Err(sentence) = start_log(log_format) {
        return refused(&sentence);
    }
    raise_open_files(config.limits.connections_max);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the runtime cannot be started: {error}")),
    };
    let code = runtime.block_on(run_node(config));
    // The node is down; what still blocks (a name look-up, say) is not waited for.
    runtime.shutdown_background();
    code
}

fn refused(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::from(2)
}

fn failed(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::FAILURE
}

fn start_log(format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .map_err(|error| format!("RUST_LOG is not a filter: {error}"))?;
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours)
        // It would panic on a closed standard error.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// What a node opens beside connections of clients: its own files, links to peers, calls of the API.
#[cfg(unix)]
const OTHER_FILES: u64 = 1024;

/// Takes as many open files as the system allows, and says so if that is too few.
#[cfg(unix)]
fn raise_open_files(connections_max: usize) {
    let allowed = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(allowed) => allowed,
        Err(error) => return warn!(%error, "the limit of open files cannot be raised"),
    };
    let wanted = u64::try_from(connections_max)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHER_FILES);
    if allowed < wanted {
        warn!(
            allowed,
            wanted,
            "the system allows fewer open files than --max-connections needs; raise its hard limit (ulimit -n, \
             LimitNOFILE=) or lower the setting"
        );
    }
}

#[cfg(not(unix))]
fn raise_open_files(_connections_max: usize) {}

async fn run_node(config: Config) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("signals cannot be handled: {error}")),
    };
    let started = tokio::select! {
        started = Node::start(config) => started,
        _ = signals.next() => return ExitCode::SUCCESS,
    };
    let node = match started {
        Ok(node) => node,
        Err(error) => return failed(&format!("the node cannot start: {error}")),
    };
    announce(node.ready());
    let signal = tokio::select! {
        ended = node.wait() => {
            return match ended {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    error!(%error, "the node has ended");
                    failed(&error.to_string())
                }
            };
        }
        signal = signals.next() => signal,
        never = supervisor::follow(&node) => match never {},
    };
    supervisor::draining();
    info!(
        signal = signal.name,
        "draining; a second signal exits at once"
    );
    tokio::select! {
        () = node.drain() => ExitCode::SUCCESS,
        signal = signals.next() => {
            warn!(signal = signal.name, "exiting without having drained");
            std::process::exit(signal.exit_code)
        }
    }
}

/// Prints the line that says that the listeners are bound, and where.
fn announce(ready: &Ready) {
    #[derive(Serialize)]
    struct Line<'a> {
        ready: bool,
        id: &'a str,
        url: &'a str,
        peer: &'a str,
        admin: String,
    }
    let line = Line {
        ready: true,
        id: ready.id.as_str(),
        url: &ready.url,
        peer: &ready.peer,
        admin: ready.admin.clone(),
    };
    let written = serde_json::to_string(&line)
        .map_err(io::Error::from)
        .and_then(|line| {
            let mut out = io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()
        });
    if let Err(error) = written {
        warn!(%error, "the ready line could not be printed");
    }
}

/// A signal that ends the process.
struct Signal {
    name: &'static str,
    /// 128 and the number of the signal, as a shell has it.
    exit_code: i32,
}

const INTERRUPT: Signal = Signal {
    name: "SIGINT",
    exit_code: 130,
};

/// The signals that ask a node to stop.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.terminate.recv() => Signal { name: "SIGTERM", exit_code: 143 },
        }
    }
}

/// The signals that ask a node to stop.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        // Where it cannot be waited for, nobody can send it.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPT
    }
}
