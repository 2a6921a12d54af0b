//! Processes that end with the test, whatever becomes of it, and what they say.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::process::Child;
use std::sync::mpsc;
use std::{iter, thread};

use super::wait::PATIENCE;

/// A process, killed and waited for when this is dropped.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of an output; none any more at its end, or when there is no other for long.
pub fn lines(output: impl Read + Send + 'static) -> impl Iterator<Item = String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    iter::from_fn(move || receiver.recv_timeout(3 * PATIENCE).ok())
}

/// The first line of an output, which is closed then; empty if there is none for long.
pub fn first_line(output: impl Read + Send + 'static) -> String {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let _ = sender.send(read.map(|_| line));
    });
    let line = receiver.recv_timeout(3 * PATIENCE);
    line.ok().and_then(Result::ok).unwrap_or_default()
}

/// Whether all threads of a process stand still: a signal is taken a moment after it was sent. Where that cannot be
/// seen, they are believed to.
pub fn has_stopped(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state is behind the name, which may have anything in it.
        (stat.rsplit(')').next()).is_none_or(|rest| rest.trim_start().starts_with('T'))
    })
}
