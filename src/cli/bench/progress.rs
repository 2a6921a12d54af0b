//! A line a second for whoever waits.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Says once a second how far a load test is, on standard error.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    /// When the last line was written; none when there are to be no lines.
    last: Option<Instant>,
}

impl Progress {
    /// As the flags say, or else if somebody sees it.
    pub fn new(wanted: bool, unwanted: bool) -> Self {
        let shown = !unwanted && (wanted || io::stderr().is_terminal());
        let now = Instant::now();
        Self {
            started: now,
            last: shown.then_some(now),
        }
    }

    /// Writes a line if it is time for one; `line` is given the time since the last one.
    pub fn tick(&mut self, line: impl FnOnce(Duration) -> String) {
        let Some(last) = &mut self.last else {
            return;
        };
        let since = last.elapsed();
        if since >= EVERY {
            *last = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            // Nobody may be listening any more.
            let _ = writeln!(io::stderr().lock(), "{seconds:>4}s  {}", line(since));
        }
    }
}
