//! What a client may send in a time.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Pump;
use crate::core::protocol::Reply;
use crate::core::rate::Used;
use crate::error::{CloseCode, ErrorCode};

const MESSAGE: &str = "more messages than this client may send: try again in a second";
const GOES_ON: &str = "goes on sending more than it may";

/// What a session has sent of late.
#[derive(Debug, Default)]
pub(super) struct Sent {
    used: Used,
    /// By how many more messages were refused than have passed.
    refused: u32,
}

impl<S> Pump<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Counts a message; says whether it is to be looked at. Who sends more than twice what it may, in spite
    /// of being told, is closed once that are two bursts.
    pub(super) fn may_pass(&mut self) -> bool {
        let now = self.server.since_start();
        let pass = self.server.message_rate.take(&mut self.sent.used, now);
        if pass {
            self.sent.refused = self.sent.refused.saturating_sub(1);
            return true;
        }
        self.server.dispatch.counters().rate_limited.add();
        self.sent.refused = self.sent.refused.saturating_add(1);
        let burst = self.server.config.limits.message_burst;
        if self.sent.refused >= burst.saturating_mul(2) {
            self.end_over_rate(GOES_ON);
        }
        false
    }

    /// Counts a frame of a handler's own protocol, in which nothing can be refused: if it may not pass the
    /// session is closed.
    pub(super) fn may_hand_over(&mut self) -> bool {
        let pass = !self.session.is_raw() || self.may_pass();
        if !pass {
            self.end_over_rate("more messages than it may send");
        }
        pass
    }

    pub(super) fn tell_rate_limited(&self, id: Option<&str>) {
        let (code, message) = (ErrorCode::RateLimited, MESSAGE);
        self.session.tell(&match id {
            Some(id) => Reply::Failed { id, code, message },
            None => Reply::Error { code, message },
        });
    }

    fn end_over_rate(&self, reason: &str) {
        let first = self.session.outbox().finish(CloseCode::RateLimited, reason);
        let counter = &self.server.dispatch.counters().sessions_over_rate;
        counter.add_many(u64::from(first));
    }
}
