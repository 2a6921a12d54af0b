//! Two users at two nodes, of whom one writes to the other all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::{Client, Cluster, PATIENCE, wait_until};

/// Well under the message rate of a session.
const PAUSE: Duration = Duration::from_millis(20);

/// A conversation between two nodes.
pub struct Talk {
    writer: JoinHandle<Duration>,
    reader: JoinHandle<()>,
    sent: Arc<AtomicUsize>,
    read: Arc<AtomicUsize>,
    /// Nothing more is to be said.
    over: Arc<AtomicBool>,
    /// All that was said was read.
    heard: Arc<AtomicBool>,
}

impl Talk {
    /// Between a user of one node and a user of another.
    pub fn begin(cluster: &Cluster, from: usize, to: usize) -> Self {
        let [mut writer, mut reader] = [from, to].map(|index| {
            let user = cluster.user_of(index, &format!("talker{index}-"));
            let (client, _) = Client::welcomed(&cluster.nodes[index].url(&user));
            (user, client)
        });
        let zero = || Arc::new(AtomicUsize::new(0));
        let no = || Arc::new(AtomicBool::new(false));
        let (sent, read, over, heard) = (zero(), zero(), no(), no());
        let (counted, stop) = (Arc::clone(&sent), Arc::clone(&over));
        let recipient = reader.0;
        let writer = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let number = counted.load(Ordering::Relaxed);
                let began = Instant::now();
                let body = number.to_string();
                writer
                    .1
                    .keep_accepted(&recipient, &format!("m{number}"), &body);
                longest = longest.max(began.elapsed());
                counted.store(number + 1, Ordering::Relaxed);
                thread::sleep(PAUSE);
            }
            longest
        });
        let (counted, stop) = (Arc::clone(&read), Arc::clone(&heard));
        let reader = thread::spawn(move || {
            // What was said comes once, and in its order.
            while let Some(message) = next(&mut reader.1, &stop) {
                let number = counted.load(Ordering::Relaxed);
                assert_eq!(message["body"], number, "{message}");
                reader.1.ack(&message);
                counted.store(number + 1, Ordering::Relaxed);
            }
        });
        Self {
            writer,
            reader,
            sent,
            read,
            over,
            heard,
        }
    }

    /// Waits until something more has been said.
    #[track_caller]
    pub fn goes_on(&self) {
        let before = self.sent.load(Ordering::Relaxed);
        wait_until(PATIENCE, "another message is accepted", || {
            self.sent.load(Ordering::Relaxed) > before + 1
        });
    }

    /// Ends it. Returns how much was said, all of which was read, and how long a receipt has taken at most.
    #[track_caller]
    pub fn end(self) -> (usize, Duration) {
        self.over.store(true, Ordering::Relaxed);
        let longest = self.writer.join().expect("the writer had its receipts");
        let sent = self.sent.load(Ordering::Relaxed);
        wait_until(PATIENCE, "all that was said was read", || {
            self.read.load(Ordering::Relaxed) == sent
        });
        self.heard.store(true, Ordering::Relaxed);
        self.reader.join().expect("the reader had its messages");
        (sent, longest)
    }
}

/// The next message; `None` when all were heard and nothing more comes.
fn next(reader: &mut Client, heard: &AtomicBool) -> Option<serde_json::Value> {
    loop {
        let text = reader.text(Duration::from_secs(1));
        match text {
            Some(text) => return serde_json::from_str(&text).ok(),
            None if heard.load(Ordering::Relaxed) => return None,
            None => {}
        }
    }
}
