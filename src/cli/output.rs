//! Standard output and standard error, either of which may be closed.

use std::io::{self, Write};

/// Prints lines to standard output. A reader that has gone away is not our trouble.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
}

/// Prints one sentence to standard error.
pub fn complain(sentence: &str) {
    let sentence = printable(sentence);
    let _ = writeln!(io::stderr().lock(), "ringpost: {sentence}");
}

/// Prints one line of remark to standard error, as a comment of the TOML on standard output would be.
pub fn remark(line: &str) {
    let line = printable(line);
    let _ = writeln!(io::stderr().lock(), "# {line}");
}

/// Text from elsewhere, with nothing in it that a terminal obeys.
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
