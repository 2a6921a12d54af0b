//! What a session of a load test does: a state machine without sockets.

use super::messages::{Incoming, Position};
use super::stats::Stats;

/// One user's part in a load test, over all its connections. Time is in microseconds of the
/// [timeline](super::timeline::Timeline).
pub trait Role: Send + 'static {
    /// Who it is.
    fn user(&self) -> &str;

    /// A connection is open and welcomed, with a position if the welcome has one.
    fn opened(&mut self, position: Option<Position>);

    /// The connection has ended.
    fn closed(&mut self, stats: &mut Stats);

    /// Takes a message; answers go to `output`, as frames.
    fn handle(
        &mut self,
        incoming: &Incoming<'_>,
        now_us: u64,
        stats: &mut Stats,
        output: &mut Vec<u8>,
    );

    /// Appends what is to be sent now to `output`, as frames; whether there would be more, were
    /// there less in `output`.
    fn fill(&mut self, now_us: u64, stats: &mut Stats, output: &mut Vec<u8>) -> bool;

    /// When [`Self::fill`], which has just been called, is to be called even if nothing happens
    /// before.
    fn wake_at_us(&self, now_us: u64) -> Option<u64>;

    /// Whether it waits for nothing that leaving the connection would lose.
    fn is_settled(&self) -> bool;

    /// Where the next connection is to resume.
    fn position(&self) -> Option<&Position>;

    /// The load test is over: appends the last words.
    fn finish(&mut self, output: &mut Vec<u8>);
}
