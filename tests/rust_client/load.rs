//! Load from one client to another, and what has to arrive of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringpost::client::{Client, Event, PendingReceipt, Recipient, SendError, SendOptions};
use tokio::task::JoinHandle;

use crate::soon;

/// A client that writes its name and numbers to somebody, one after the other.
pub struct Writer {
    pub name: &'static str,
    pub client: Client,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<PendingReceipt>>,
}

impl Writer {
    pub fn start(name: &'static str, client: Client, to: Recipient) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (writes, stopped) = (client.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut receipts = Vec::new();
            // The load: an inbox must not fill up while its user is on the way.
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            while !stopped.load(Ordering::Relaxed) {
                let body = (name, receipts.len());
                let receipt = writes.start_send(&to, &body, SendOptions::default());
                receipts.push(receipt.await.unwrap());
                pace.tick().await;
            }
            receipts
        });
        Self {
            name,
            client,
            stop,
            task,
        }
    }

    /// The numbers that were accepted. What was not is neither delivered nor kept.
    pub async fn accepted(self) -> Vec<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut numbers = Vec::new();
        let receipts = self.task.await.unwrap();
        for (number, receipt) in receipts.into_iter().enumerate() {
            match soon("a receipt", receipt).await {
                Ok(_) => numbers.push(number),
                Err(SendError::Failed(failure)) if failure.code != "unknown" => {}
                Err(error) => panic!("{number}: {error}"),
            }
        }
        numbers
    }
}

/// Who reads, and what it got of which writer.
pub struct Reader {
    pub client: Client,
    pub got: HashMap<String, Vec<usize>>,
    count: usize,
    /// Where it was, one after the other.
    pub nodes: Vec<String>,
}

impl Reader {
    pub fn new(client: Client) -> Self {
        let (got, nodes) = (HashMap::new(), Vec::new());
        let count = 0;
        Self {
            client,
            got,
            count,
            nodes,
        }
    }

    /// Takes the next event. Whoever stops waiting for it has missed nothing.
    async fn one(&mut self) {
        match self.client.next().await.unwrap() {
            Event::Message(message) => {
                let (name, number) = message.json().unwrap();
                self.got.entry(name).or_default().push(number);
                self.count += 1;
            }
            Event::Connected { node, recovered } => {
                assert_ne!(recovered, Some(false), "a gap");
                self.nodes.push(node);
            }
            Event::RoomGap { room } => panic!("a gap in {room}"),
            Event::NotRejoined { failure, .. } => assert!(failure.retry, "{failure:?}"),
            _ => {}
        }
    }

    pub async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        soon(what, async {
            while !done(self) {
                self.one().await;
            }
        })
        .await;
    }

    /// Reads so many messages more.
    pub async fn more(&mut self, count: usize) {
        let wanted = self.count + count;
        self.until("messages", |reader| reader.count >= wanted)
            .await;
    }

    /// Reads for as long as it is let.
    pub async fn on(&mut self) {
        loop {
            self.one().await;
        }
    }

    /// Where it is.
    pub fn node(&self) -> &str {
        self.nodes.last().expect("it is connected")
    }

    /// Ends the load: all that was accepted is here, once and in order.
    pub async fn has_all(&mut self, writers: impl IntoIterator<Item = Writer>) {
        for writer in writers {
            let name = writer.name;
            let sent = writer.accepted().await;
            self.has(name, &sent).await;
        }
    }

    /// What this writer sent and what was accepted is here, once and in order, and nothing else.
    pub async fn has(&mut self, name: &str, sent: &[usize]) {
        let is_last = |got: &Vec<usize>| got.last() >= sent.last();
        self.until("the last message", |reader| {
            reader.got.get(name).is_some_and(is_last)
        })
        .await;
        assert_eq!(self.got[name], sent, "{name}");
    }
}
