//! `ringpost completions` and `ringpost man`: what packages install beside the program, made from the same
//! definitions as the help.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Outcome;
use super::output::print;

/// The program, as it is installed.
const NAME: &str = "ringpost";

/// Print the completions of a shell.
///
/// To standard output, for all commands, flags and fixed values.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ringpost completions bash > /usr/share/bash-completion/completions/ringpost
  ringpost completions zsh > /usr/share/zsh/site-functions/_ringpost
  ringpost completions fish > /usr/share/fish/vendor_completions.d/ringpost.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Write the manual pages.
///
/// ringpost.1 and one for each command, ringpost-serve.1 and so on; prints the paths. Files of these
/// names are written over.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ringpost man --out /usr/share/man/man1")]
pub struct ManArgs {
    /// Where to; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Prints them.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, NAME, &mut script);
    print(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

/// Writes them.
pub fn pages(args: &ManArgs, command: Command) -> Outcome {
    let refuse =
        |path: &Path, error: io::Error| format!("{} cannot be written: {error}", path.display());
    std::fs::create_dir_all(&args.out).map_err(|error| refuse(&args.out, error))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let subcommands = command.get_subcommands().cloned();
    for command in subcommands.chain([command.clone()]) {
        let page = Man::new(command).manual("Ringpost");
        let path = args.out.join(page.get_filename());
        let mut text = Vec::new();
        let written = page
            .render(&mut text)
            .and_then(|()| std::fs::write(&path, with_examples(&text)));
        written.map_err(|error| refuse(&path, error))?;
        print(&path.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// The page with what follows the help under a name of its own, in lines as they were written: examples are among
/// them.
fn with_examples(page: &[u8]) -> String {
    let page = String::from_utf8_lossy(page);
    page.replace("\n.SH EXTRA\n", "\n.SH NOTES\n.nf\n")
}
