//! The `ringpost` command.

mod cli;
mod demo;

fn main() -> std::process::ExitCode {
    cli::main()
}
