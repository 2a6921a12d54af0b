//! What connections say.

use std::time::{Duration, Instant};

use super::connecting::{Attempt, Move, Trial};
use super::requests::Kind;
use super::{ConnectionId, Input, Machine, Output, Phase, Reply, WAIT_MAX, after};
use crate::client::error::{Error, Failure, SendError};
use crate::client::event::{Event, Message, Receipt};
use crate::client::messages::{self, Redirect, Said, Welcome};
use crate::error::close_means_reconnect;

/// Between a node's pings, where its welcome does not say.
const HEARTBEAT: Duration = Duration::from_secs(25);
/// The close code that a newer session of the same user can cause.
const REPLACED: u16 = 4511;

impl Machine {
    pub(super) fn current_says(&mut self, now: Instant, input: Input<'_>) {
        let Some(current) = &mut self.current else {
            return;
        };
        let node = current.target.clone();
        match input {
            Input::Heard => current.liveness.heard(now),
            Input::Text(text) => match messages::parse(text) {
                Ok(said) => self.current_said(now, said, text),
                Err(error) => self.events.notice(Event::Error {
                    code: "not_understood".to_owned(),
                    message: format!("a message of {node} is not understood: {error}"),
                }),
            },
            Input::Closed(code, reason) => {
                // The connection that is being made may be the newer session.
                let replaced = code == REPLACED && matches!(self.attempt, Attempt::Running(_));
                let error = Error::Closed { node, code, reason };
                self.lost(now, error, close_means_reconnect(code) || replaced);
            }
            Input::Broken(reason) => self.lost(now, Error::Broken { node, reason }, true),
            Input::Failed(error) => self.lost(now, error, true),
            Input::Redirected(_) => {}
        }
    }

    fn current_said(&mut self, now: Instant, said: Said, text: &str) {
        match said {
            Said::Message(message) => self.message(now, message),
            Said::Receipt(id, outcome) => self.receipt(now, &id, outcome),
            Said::Joined(id, reply) => self.joined(now, &id, reply, text),
            Said::Left(id) => self.settle(&id, Ok(Reply::Left)),
            Said::Presence(id, online) => self.settle(&id, Ok(Reply::Presence(online))),
            Said::RoomPage(id, page) => self.settle(&id, Ok(Reply::RoomPage(page))),
            Said::Delivered { id, user } => self.events.notice(Event::Delivered { id, user }),
            Said::Member { room, user, joined } => self.member(room, user, joined),
            Said::Redirect(redirect) => {
                let Redirect {
                    url,
                    reason,
                    after_ms,
                } = redirect;
                let at = after(now, Duration::from_millis(after_ms.unwrap_or(0)));
                if let Some(current) = &mut self.current {
                    let from = current.target.clone();
                    current.moving = Some(Move {
                        at,
                        from,
                        url,
                        reason,
                    });
                }
            }
            Said::Error {
                room: Some(room), ..
            } => self.events.tell(Event::RoomGap { room }),
            Said::Error { code, message, .. } => {
                self.events.notice(Event::Error { code, message });
            }
            Said::Other => self.events.notice(Event::Other(text.to_owned())),
            Said::Welcome(_) | Said::Pong => {}
        }
    }

    pub(super) fn trial_says(&mut self, now: Instant, mut trial: Box<Trial>, input: Input<'_>) {
        let node = trial.target.clone();
        match input {
            Input::Heard => {}
            Input::Text(text) => self.trial_said(now, trial, text),
            Input::Redirected(url) => self.follow(now, &trial, &url, "not_owner"),
            Input::Failed(error) => {
                let definite = matches!(&error, Error::Refused { status, .. }
                    if matches!(status, 400..=499) && !matches!(status, 408 | 425 | 429));
                self.trial_failed(now, &trial, error, definite);
            }
            Input::Closed(code, reason) => {
                let rejected = trial.rejected.take();
                let error = rejected.unwrap_or(Error::Closed { node, code, reason });
                self.trial_failed(now, &trial, error, !close_means_reconnect(code));
            }
            Input::Broken(reason) => {
                let rejected = trial.rejected.take();
                let error = rejected.unwrap_or(Error::Broken { node, reason });
                self.trial_failed(now, &trial, error, false);
            }
        }
    }

    fn trial_said(&mut self, now: Instant, mut trial: Box<Trial>, text: &str) {
        let node = trial.target.clone();
        match messages::parse(text) {
            Ok(Said::Welcome(welcome)) => self.welcome(now, &trial, &welcome),
            Ok(Said::Redirect(Redirect { url, reason, .. })) => {
                self.outputs.push_back(Output::Close(trial.connection));
                self.follow(now, &trial, &url, &reason);
            }
            Ok(Said::Error { code, message, .. }) => {
                trial.rejected = Some(Error::Rejected {
                    node,
                    code,
                    message,
                });
                self.attempt = Attempt::Running(trial);
            }
            Ok(_) | Err(_) => {
                self.outputs.push_back(Output::Close(trial.connection));
                let text: String = text.chars().take(200).collect();
                let reason = format!("did not begin with a welcome but {text}");
                self.trial_failed(now, &trial, Error::Strange { node, reason }, false);
            }
        }
    }

    fn welcome(&mut self, now: Instant, trial: &Trial, welcome: &Welcome) {
        if self.welcomed {
            self.stats.reconnects += 1;
        }
        self.welcomed = true;
        let heartbeat = welcome
            .heartbeat_ms
            .map_or(HEARTBEAT, Duration::from_millis);
        let heartbeat = heartbeat.clamp(Duration::from_millis(1), WAIT_MAX);
        let message_bytes_max = welcome.max_message_bytes.unwrap_or(usize::MAX);
        self.take_over(now, trial, heartbeat, message_bytes_max);
        self.events.notice(Event::Connected {
            node: welcome.node.clone(),
            recovered: welcome.recovered,
        });
        if let Some(position) = welcome.position() {
            self.events.adopt(position);
        }
        self.ask_for_rooms();
        for number in self.requests.to_write() {
            self.write(number);
        }
        self.acks.repeat(now);
        self.write_due_ack(now);
    }

    pub(super) fn leaving_says(&mut self, now: Instant, input: Input<'_>) {
        let Some(leaving) = &self.leaving else {
            return;
        };
        let (connection, node) = (leaving.connection, leaving.target.clone());
        let error = match input {
            Input::Text(text) => {
                if let Ok(said) = messages::parse(text) {
                    self.leaving_said(now, connection, said);
                }
                return;
            }
            Input::Heard | Input::Redirected(_) => return,
            Input::Closed(code, reason) => Error::Closed { node, code, reason },
            Input::Broken(reason) => Error::Broken { node, reason },
            Input::Failed(error) => error,
        };
        self.leaving = None;
        self.settle_lost(connection, &error);
    }

    fn leaving_said(&mut self, now: Instant, connection: ConnectionId, said: Said) {
        match said {
            // A kept message comes on the current connection, too, and there in order.
            Said::Message(message) if message.position.is_none() => {
                // A room that the program is not in any more it has left on the current one.
                if message.room().is_none_or(|room| self.rooms.has(room)) {
                    self.message(now, message);
                }
            }
            // What may be repeated was asked on the current connection with its welcome, and if that
            // is gone is asked on the next one: there it may be accepted yet.
            Said::Receipt(id, Err(_)) if !self.requests.was_last_written_to(connection, &id) => {}
            Said::Receipt(id, outcome) => self.receipt(now, &id, outcome),
            Said::Presence(id, online) => self.settle(&id, Ok(Reply::Presence(online))),
            Said::RoomPage(id, page) => self.settle(&id, Ok(Reply::RoomPage(page))),
            Said::Delivered { id, user } => self.events.notice(Event::Delivered { id, user }),
            Said::Member { room, user, joined } if !self.rooms.is_in(&room) => {
                self.member(room, user, joined);
            }
            Said::Message(_)
            | Said::Joined(..)
            | Said::Left(_)
            | Said::Member { .. }
            | Said::Welcome(_)
            | Said::Redirect(_)
            | Said::Error { .. }
            | Said::Pong
            | Said::Other => {}
        }
    }

    fn message(&mut self, now: Instant, message: Message) {
        // The program has said that it wants no more; what is kept for it stays so.
        if matches!(self.phase, Phase::Closing(_)) {
            return;
        }
        let new = match message.room() {
            Some(_) => self.room_message(message),
            None if message.stream == "inbox" => self.events.message(message),
            None => self.events.other_message(message),
        };
        if !new {
            self.stats.repeats_dropped += 1;
        }
        self.ack_handed(now);
    }

    /// Somebody else has come or gone, in a room that the program is in.
    fn member(&mut self, room: String, user: String, joined: bool) {
        if self.rooms.has(&room) {
            self.events.notice(if joined {
                Event::Joined { room, user }
            } else {
                Event::Left { room, user }
            });
        }
    }

    fn receipt(&mut self, now: Instant, id: &str, outcome: Result<Receipt, Failure>) {
        if let Err(failure) = &outcome
            && self.rooms_refused(now, id, failure)
        {
            return;
        }
        let Some((number, request)) = self.requests.settle(id) else {
            return;
        };
        let outcome = match outcome {
            Ok(receipt) => Ok(Reply::Receipt(receipt)),
            Err(mut failure) => {
                // An earlier try may have been accepted, and its receipt lost.
                failure.definite &= !request.repeated;
                if let Kind::Join { room, .. } = &request.kind {
                    self.join_refused(now, room, &failure);
                }
                Err(SendError::Failed(Box::new(failure)))
            }
        };
        self.outputs.push_back(Output::Settle(number, outcome));
    }

    /// A reply to a request that is not known, or has had one, is none of ours.
    fn settle(&mut self, id: &str, outcome: Result<Reply, SendError>) {
        if let Some((number, _)) = self.requests.settle(id) {
            self.outputs.push_back(Output::Settle(number, outcome));
        }
    }
}
