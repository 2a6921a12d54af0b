//! `GET /v1/cluster/events`: the cluster again and again, as server-sent events (HTML Living Standard,
//! section 9.2).
//!
//! - `ring`: at first, and when it has changed;
//! - `timeline`: a list of what happened, all that is kept at first, and then what is new;
//! - `snapshot`: the numbers of all members, once a second;
//! - `end`: the last one, when the node drains.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::{Admin, Body, overview};
use crate::core::api::Fault;
use crate::core::ring::Digest;
use crate::dispatch::Dispatch;
use crate::error::ErrorCode;

/// Watchers at a time; one more is refused. Each costs some kilobytes a second.
const WATCHERS_MAX: usize = 32;
/// Events that are ready and not yet taken by the connection: a slow one gets the next when it can.
const AHEAD: usize = 2;
/// A watcher that has not taken anything for so long is gone.
const TAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A snapshot comes after this at the latest, whether or not a round of questions is over.
const EVERY: Duration = Duration::from_millis(1500);
/// How often to see whether the node drains.
const LOOK: Duration = Duration::from_millis(100);

/// Who watches the cluster at this node.
pub(crate) struct Watchers {
    places: Arc<Semaphore>,
    /// The last snapshot, which all watchers of a round get, by the round's number.
    last: Mutex<(u64, Bytes)>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(WATCHERS_MAX)),
            last: Mutex::default(),
        }
    }
}

impl Watchers {
    fn snapshot(&self, dispatch: &Dispatch, round: u64) -> Bytes {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != round || last.1.is_empty() {
            *last = (round, event("snapshot", &overview::snapshot(dispatch)));
        }
        last.1.clone()
    }
}

/// The answer to a new watcher.
///
/// # Errors
/// 403 to a page from elsewhere, 429 when there are too many, 503 when the node drains.
pub(super) fn watch(admin: &Arc<Admin>, headers: &HeaderMap) -> Result<Response<Body>, Fault> {
    // It could not read the answer, but would take the place of whoever can.
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        let message =
            "this is for the node's own page and for programs, not for pages from elsewhere";
        return Err(Fault::new(ErrorCode::NotAllowed, message));
    }
    if admin.dispatch.is_draining() {
        let message = "this node drains: watch the cluster at another";
        return Err(Fault::new(ErrorCode::Unreachable, message));
    }
    let Ok(place) = Arc::clone(&admin.watchers.places).try_acquire_owned() else {
        let message =
            format!("{WATCHERS_MAX} watch the cluster at this node already: take another");
        return Err(Fault::new(ErrorCode::RateLimited, message));
    };
    let (events, taken) = mpsc::channel::<Bytes>(AHEAD);
    let watcher = Watcher {
        admin: Arc::clone(admin),
        events,
        key: headers.get(AUTHORIZATION).cloned(),
        ring: None,
        moment: 0,
    };
    admin.spawn(async move {
        watcher.run().await;
        drop(place);
    });
    let frames = ReceiverStream::new(taken).map(|event| Ok::<_, Infallible>(Frame::data(event)));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

struct Watcher {
    admin: Arc<Admin>,
    events: mpsc::Sender<Bytes>,
    /// With which it came. When it is withdrawn the stream ends.
    key: Option<HeaderValue>,
    /// The ring that it knows.
    ring: Option<Digest>,
    /// The last moment that it knows.
    moment: u64,
}

impl Watcher {
    /// Until the watcher is gone, or the node drains.
    async fn run(mut self) {
        let admin = Arc::clone(&self.admin);
        let dispatch = &admin.dispatch;
        let mut rounds = dispatch.overview().rounds();
        dispatch.look().await;
        loop {
            if !admin.admits_key(self.key.as_ref()) {
                return;
            }
            dispatch.look_again();
            let round = *rounds.borrow_and_update();
            let mut news = self.news();
            news.push(admin.watchers.snapshot(dispatch, round));
            for event in news {
                if !self.tell(event).await {
                    return;
                }
            }
            let until = Instant::now() + EVERY;
            while Instant::now() < until {
                if dispatch.is_draining() {
                    self.tell(event("end", r#"{"reason":"draining"}"#)).await;
                    return;
                }
                tokio::select! {
                    changed = rounds.changed() => if changed.is_ok() { break } else { return },
                    () = self.events.closed() => return,
                    () = sleep(LOOK) => {}
                }
            }
        }
    }

    /// What the watcher does not know yet.
    fn news(&mut self) -> Vec<Bytes> {
        let dispatch = &self.admin.dispatch;
        let mut news = Vec::new();
        let moments = dispatch.moments(self.moment);
        let view = Arc::clone(&dispatch.topology().view);
        if self.ring.replace(view.digest()) != Some(view.digest()) {
            news.push(event("ring", &overview::ring(&view)));
        }
        if let Some(last) = moments.iter().map(|moment| moment.number).max() {
            self.moment = last;
            news.push(event("timeline", &overview::events(&moments)));
        }
        news
    }

    async fn tell(&self, event: Bytes) -> bool {
        let told = timeout(TAKE_TIMEOUT, self.events.send(event)).await;
        matches!(told, Ok(Ok(())))
    }
}

/// One event; JSON has no line breaks.
fn event(name: &str, json: &str) -> Bytes {
    format!("event: {name}\ndata: {json}\n\n").into()
}
