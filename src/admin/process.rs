//! What Prometheus' own clients tell of their process, under the same names. On Linux; elsewhere
//! there is nothing to read, and all but its start is absent.

use std::fs;
use std::time::Duration;

use super::exposition::{Exposition, Kind};

/// Ticks a second of the times in `/proc`: fixed to 100 for what user space is shown, whatever the
/// kernel's own are.
const TICKS: f64 = 100.0;

/// Appends what there is to know of this process.
pub(super) fn render(text: &mut Exposition, started_unix_ms: u64) {
    let help = "Start time of the process since unix epoch in seconds.";
    let seconds = Duration::from_millis(started_unix_ms).as_secs_f64();
    text.single(Kind::Gauge, "process_start_time_seconds", help, seconds);

    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let stat = read("/proc/self/stat");
    if let Some(ticks) = cpu_ticks(&stat) {
        let help = "User and system CPU time spent, in seconds.";
        let name = "process_cpu_seconds_total";
        text.single(Kind::Counter, name, help, ticks / TICKS);
    }
    let status = read("/proc/self/status");
    if let Some(bytes) = bytes_of(&status, "VmRSS:") {
        let help = "Resident memory size in bytes.";
        text.single(Kind::Gauge, "process_resident_memory_bytes", help, bytes);
    }
    if let Some(bytes) = bytes_of(&status, "VmSize:") {
        let help = "Virtual memory size in bytes.";
        text.single(Kind::Gauge, "process_virtual_memory_bytes", help, bytes);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is being read.
        let open = files.count().saturating_sub(1);
        let help = "Number of open file descriptors.";
        text.single(Kind::Gauge, "process_open_fds", help, open);
        if let Some(max) = files_max() {
            let help = "Maximum number of open file descriptors.";
            text.single(Kind::Gauge, "process_max_fds", help, max);
        }
    }
}

#[cfg(unix)]
fn files_max() -> Option<u64> {
    let limits = rlimit::Resource::NOFILE.get();
    limits.ok().map(|(soft, _)| soft)
}

#[cfg(not(unix))]
fn files_max() -> Option<u64> {
    None
}

/// The numbers of `/proc/self/stat` from the third on: before them stands the program's name, which may
/// have anything in it.
fn numbers(stat: &str) -> impl Iterator<Item = f64> {
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    // The state is a letter.
    let words = behind.split_ascii_whitespace().skip(1);
    words.map_while(|word| word.parse().ok())
}

fn cpu_ticks(stat: &str) -> Option<f64> {
    let mut times = numbers(stat).skip(10);
    Some(times.next()? + times.next()?)
}

/// A line such as `VmRSS:      1234 kB`.
fn bytes_of(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a (b) c) S 1 42 42 0 -1 4194560 1000 0 0 0 150 50 0 0 20 0 9 0 12345 \
                        1000000 500 18446744073709551615 1 1";

    #[test]
    fn times_stand_behind_a_name_with_anything_in_it() {
        assert_eq!(cpu_ticks(STAT), Some(200.0));
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn the_start_is_known_without_the_files_of_the_whole_machine() {
        // A service may be shown its own process alone (ProcSubset=pid).
        let mut text = Exposition::default();
        render(&mut text, 1_700_000_123_450);
        let text = text.finish();
        let start = "process_start_time_seconds 1700000123.45\n";
        assert!(text.contains(start), "{text}");
    }

    #[test]
    fn memory_is_given_in_bytes() {
        let status = "Name:\ta\nVmSize:\t  20 kB\nVmRSS:\t    1234 kB\n";
        assert_eq!(bytes_of(status, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(bytes_of(status, "VmHWM:"), None);
    }
}
