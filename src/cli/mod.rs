//! The command line: `serve`, `demo`, `locate`, `status`, `health`, `send`, `bench`, and what packages need.
//!
//! Exit codes: 0 done, 1 it did not work, 2 refused before anything was tried.

mod args;
mod bench;
mod convert;
mod health;
mod locate;
mod manual;
mod merge;
pub mod output;
mod send;
mod serve;
mod settings;
mod show;
mod status;
mod supervisor;
mod table;
mod values;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

pub use args::DemoArgs;
use args::{Cli, Command};
use output::complain;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return not_understood(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    match cli.command {
        Command::Serve(args) => {
            let matches = matches.subcommand_matches("serve");
            serve::run(*args, matches.map(merge::sources_of).unwrap_or_default())
        }
        Command::Demo(args) => on_runtime(crate::demo::run(args)),
        Command::Locate(args) => on_runtime(locate::run(args)),
        Command::Status(args) => on_runtime(status::run(args)),
        Command::Health(args) => on_runtime(health::run(args)),
        Command::Send(args) => on_runtime(send::run(args)),
        Command::Bench(args) => on_runtime(bench::run(*args)),
        Command::Completions(args) => manual::completions(&args, Cli::command()),
        Command::Man(args) => ended(manual::pages(&args, Cli::command())),
    }
}

/// What a command that is done says about itself; the error is one sentence.
type Outcome = Result<ExitCode, String>;

fn on_runtime(command: impl Future<Output = Outcome>) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the runtime cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(command);
    // A name look-up that hangs must not keep the process.
    runtime.shutdown_background();
    ended(outcome)
}

fn ended(outcome: Outcome) -> ExitCode {
    outcome.unwrap_or_else(|sentence| {
        complain(&sentence);
        ExitCode::FAILURE
    })
}

/// Prints help, version and usage as clap does, and a value that is no good as one sentence.
fn not_understood(error: &clap::Error) -> ExitCode {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if let (ErrorKind::ValueValidation, Some(argument), Some(value)) = (
        error.kind(),
        text(ContextKind::InvalidArg),
        text(ContextKind::InvalidValue),
    ) {
        // The argument comes with a placeholder for its value: `--weight <N>`.
        let flag = argument.split([' ', '[', '=']).next().unwrap_or(argument);
        let reason = std::error::Error::source(error).map(ToString::to_string);
        let said = |word: std::ffi::OsString| word.to_string_lossy().starts_with(flag);
        let source = if std::env::args_os().any(said) {
            merge::Source::Flag
        } else {
            merge::Source::Environment
        };
        complain(&merge::refusal(
            flag.trim_start_matches('-'),
            value,
            Some(&source),
            &reason.unwrap_or_else(|| "it is not a value for that".to_owned()),
        ));
        return ExitCode::from(2);
    }
    // A closed terminal is no reason to fail differently.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
