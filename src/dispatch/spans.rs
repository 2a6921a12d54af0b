//! What becomes of a message that is traced: spans, each of something that one node does with it.
//!
//! Where they go is somebody else's business ([`SpanSink`]). Without a sink nothing is recorded, and
//! what others have said of a trace is passed on as it came. A message that is not traced costs a
//! look at an empty pointer.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Dispatch, Waiter};
use crate::config::TraceConfig;
use crate::core::peer::Outcome;
use crate::core::stream::Message;
use crate::core::trace::TraceContext;

/// Takes spans that have ended.
pub trait SpanSink: Debug + Send + Sync {
    /// Never waits.
    fn ended(&self, span: Span);
}

/// What one node has done with a message.
#[derive(Debug, Clone)]
pub struct Span {
    /// What it was.
    pub what: Step,
    /// The span itself.
    pub context: TraceContext,
    /// The span that it is a part of; `None`: the trace starts here.
    pub parent: Option<u64>,
    /// The message's id.
    pub message: Box<str>,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// How it ended; `None` for success.
    pub failed: Option<&'static str>,
}

/// Something that a node does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From taking it from its sender to its receipt.
    Send,
    /// Into the stream that this node owns, until all holders have it and it is on its way to the
    /// recipient's sessions.
    Append,
    /// A message that is not kept, to sessions of this node and on to guests.
    Deliver,
}

impl Step {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "ringpost send",
            Self::Append => "ringpost append",
            Self::Deliver => "ringpost deliver",
        }
    }
}

/// Which messages are traced, and where that goes.
#[derive(Debug, Clone)]
pub struct Tracing {
    /// Where spans go.
    pub sink: Arc<dyn SpanSink>,
    /// Of a million messages without a trace of their own, how many get one.
    pub sampled_ppm: u32,
}

/// A span that has not ended.
#[derive(Debug)]
pub struct OpenSpan {
    what: Step,
    pub(super) context: TraceContext,
    parent: Option<u64>,
    message: Box<str>,
    start: SystemTime,
}

impl Dispatch {
    /// Traces messages from now on.
    #[must_use]
    pub fn with_tracing(mut self, tracing: Option<Tracing>) -> Self {
        self.tracing = tracing;
        self
    }

    /// A message was taken from its sender, who may have a trace. Returns the span, if there is one,
    /// and what is told to the next node.
    pub(super) fn trace_new(
        &self,
        parent: Option<TraceContext>,
        message: &str,
    ) -> (Option<Box<OpenSpan>>, Option<Box<TraceContext>>) {
        if parent.is_none() {
            let sampled = |tracing: &Tracing| {
                rand::random_range(0..TraceConfig::MILLION) < tracing.sampled_ppm
            };
            if !self.tracing.as_ref().is_some_and(sampled) {
                return (None, None);
            }
        }
        let span = self.open_span(Step::Send, parent, message);
        let onward = span.as_ref().map(|span| span.context).or(parent);
        (span, onward.map(Box::new))
    }

    /// A message has come from another node, or is about to go a step further on this one.
    pub(super) fn trace_on(
        &self,
        what: Step,
        parent: Option<&TraceContext>,
        message: &str,
    ) -> Option<Box<OpenSpan>> {
        self.open_span(what, Some(*parent?), message)
    }

    fn open_span(
        &self,
        what: Step,
        parent: Option<TraceContext>,
        message: &str,
    ) -> Option<Box<OpenSpan>> {
        if self.tracing.is_none() || parent.is_some_and(|parent| !parent.sampled) {
            return None;
        }
        let context = TraceContext {
            trace: parent.map_or_else(|| rand::random_range(1..=u128::MAX), |it| it.trace),
            span: rand::random_range(1..=u64::MAX),
            sampled: true,
        };
        Some(Box::new(OpenSpan {
            what,
            context,
            parent: parent.map(|parent| parent.span),
            message: message.into(),
            start: SystemTime::now(),
        }))
    }

    /// Whoever waits for a message to be in its stream, and a span if it is traced.
    pub(super) fn traced(
        &self,
        trace: Option<&TraceContext>,
        message: &Message,
        waiter: Waiter,
    ) -> Waiter {
        match self.trace_on(Step::Append, trace, message.id()) {
            None => waiter,
            Some(span) => Waiter::Traced(Box::new(waiter), span),
        }
    }

    /// A span has ended.
    pub(super) fn trace_end(&self, span: Option<Box<OpenSpan>>, outcome: Outcome) {
        let (Some(span), Some(tracing)) = (span, &self.tracing) else {
            return;
        };
        tracing.sink.ended(Span {
            what: span.what,
            context: span.context,
            parent: span.parent,
            message: span.message,
            start: span.start,
            end: SystemTime::now(),
            failed: failure(outcome),
        });
    }
}

fn failure(outcome: Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::Done => return None,
        Outcome::Offline => "offline",
        Outcome::Unknown => "unknown",
        Outcome::InboxFull => "inbox_full",
        Outcome::RateLimited => "rate_limited",
        Outcome::Unreachable => "unreachable",
        Outcome::TooMany => "too_many",
        Outcome::NotOwner => "not_owner",
        Outcome::Busy => "busy",
        Outcome::OutOfOrder => "out_of_order",
        Outcome::Outdated => "outdated",
        Outcome::Diverged => "diverged",
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::tests::doubtful;
    use super::*;

    #[derive(Debug, Default)]
    struct Ended(Mutex<Vec<Span>>);

    impl SpanSink for Ended {
        fn ended(&self, span: Span) {
            self.0.lock().unwrap().push(span);
        }
    }

    /// A node that traces so many of a million messages, and what it has recorded.
    fn tracing(sampled_ppm: u32) -> (Dispatch, Arc<Ended>) {
        let sink = Arc::<Ended>::default();
        let tracing = Tracing {
            sink: Arc::<Ended>::clone(&sink),
            sampled_ppm,
        };
        (doubtful().0.with_tracing(Some(tracing)), sink)
    }

    fn context(sampled: bool) -> TraceContext {
        TraceContext {
            trace: 7,
            span: 8,
            sampled,
        }
    }

    #[test]
    fn without_a_collector_a_trace_is_passed_on_as_it_came() {
        let (dispatch, _) = doubtful();
        for parent in [None, Some(context(true)), Some(context(false))] {
            let (span, onward) = dispatch.trace_new(parent, "m1");
            assert!(span.is_none());
            assert_eq!(onward.as_deref(), parent.as_ref());
        }
    }

    #[test]
    fn whoever_began_a_trace_has_decided_whether_it_is_recorded() {
        let (dispatch, _) = tracing(TraceConfig::MILLION);
        let (span, onward) = dispatch.trace_new(Some(context(false)), "m1");
        assert!(span.is_none());
        assert_eq!(onward.as_deref(), Some(&context(false)));

        let (dispatch, _) = tracing(0);
        let (span, onward) = dispatch.trace_new(Some(context(true)), "m1");
        let (span, onward) = (span.unwrap(), onward.unwrap());
        assert_eq!(span.parent, Some(8));
        assert_eq!(*onward, span.context);
        assert_eq!((onward.trace, onward.sampled), (7, true));
        assert_ne!(onward.span, 8);
    }

    #[test]
    fn as_many_messages_get_a_trace_as_is_wanted() {
        let traced = |sampled_ppm| {
            let (dispatch, _) = tracing(sampled_ppm);
            let tries = (0..1000).filter(|_| dispatch.trace_new(None, "m1").0.is_some());
            tries.count()
        };
        assert_eq!(traced(0), 0);
        assert_eq!(traced(TraceConfig::MILLION), 1000);
        // Further off than this once in 10^20 runs.
        assert!((350..650).contains(&traced(TraceConfig::MILLION / 2)));
    }

    #[test]
    fn a_span_that_ends_says_how() {
        let (dispatch, ended) = tracing(TraceConfig::MILLION);
        for outcome in [Outcome::Done, Outcome::InboxFull] {
            let (span, _) = dispatch.trace_new(None, "m1");
            dispatch.trace_end(span, outcome);
        }
        let ended = ended.0.lock().unwrap();
        let failed: Vec<_> = ended.iter().map(|span| span.failed).collect();
        assert_eq!(failed, [None, Some("inbox_full")]);
        assert!(ended.iter().all(|span| span.what == Step::Send
            && span.parent.is_none()
            && &*span.message == "m1"
            && span.start <= span.end));
    }
}
