//! Many clients that are closed, and whether they come back as a herd.

use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::client::Client;

/// When each of them was closed, counted from this call, and with which code; the earliest first.
///
/// # Panics
/// When one is not closed within this time.
pub fn closes(clients: Vec<Client>, within: Duration) -> Vec<(Duration, Option<u16>)> {
    let start = Instant::now();
    let mut closes: Vec<_> = thread::scope(|scope| {
        let clients = clients.into_iter().map(|mut client| {
            scope.spawn(move || {
                let (_, code) = client.read_to_close(within);
                (start.elapsed(), code)
            })
        });
        let clients: Vec<_> = clients.collect();
        let closed = clients.into_iter().map(ScopedJoinHandle::join);
        closed.map(|it| it.expect("it was closed")).collect()
    });
    closes.sort_unstable();
    closes
}

/// All were closed with 1012, in about this time, and no 200 ms had a third of them.
///
/// # Panics
/// When that is not so.
#[track_caller]
pub fn assert_no_herd(closes: &[(Duration, Option<u16>)], time: Duration) {
    let (first, last) = (closes[0].0, closes[closes.len() - 1].0);
    println!("{} were closed from {first:?} to {last:?}", closes.len());
    assert!(
        closes.iter().all(|(_, code)| *code == Some(1012)),
        "{closes:?}"
    );
    let took = last.saturating_sub(first);
    assert!(
        took > time / 2 && took < time * 3 / 2,
        "{took:?}: {closes:?}"
    );
    let mut thirds = closes.windows(closes.len() / 3);
    let herd =
        thirds.find(|third| third[third.len() - 1].0 < third[0].0 + Duration::from_millis(200));
    assert_eq!(herd, None, "a third of them in 200 ms");
}
