//! Ctrl-C: the first one ends a load test, the second one also its waiting.

use tokio::sync::watch;

/// Counts interrupts.
#[derive(Debug)]
pub struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Counts from now on.
    pub fn listen() -> Self {
        let (sender, receiver) = watch::channel(0);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                sender.send_modify(|count| *count += 1);
            }
            // Without a handler the signal ends the process; nobody is told anything.
            sender.closed().await;
        });
        Self(receiver)
    }

    pub fn count(&self) -> u32 {
        *self.0.borrow()
    }

    /// Waits until there have been so many.
    pub async fn at_least(&self, count: u32) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|seen| *seen >= count).await.is_err() {
            // The runtime is going down.
            std::future::pending::<()>().await;
        }
    }
}
