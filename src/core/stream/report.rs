//! What a node has of its streams, for those who look at it from outside.

use super::configuration::{ConfigId, Holder};
use super::copy::Role;
use super::position::Position;
use super::streams::Streams;
use crate::id::StreamKey;

/// What a node is for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It owns and serves it.
    Owner,
    /// It owns it, and waits for the first copies.
    Opening,
    /// It is taking it over.
    Taking,
    /// It holds it for another.
    Holder,
}

/// One stream on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The stream.
    pub key: StreamKey,
    /// What the node is for it.
    pub part: Part,
    /// Its copy, if there is one.
    pub copy: Option<CopyReport>,
}

/// The copy of a stream on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyReport {
    /// Its configuration.
    pub config: ConfigId,
    /// All holders of that, the owner first.
    pub holders: Vec<Holder>,
    /// The last operation in it.
    pub seq: u64,
    /// Its end.
    pub tip: Position,
    /// Entries that are kept.
    pub entries: usize,
    /// Those of them that are not acked.
    pub waiting: usize,
    /// Nothing would be lost with it.
    pub empty: bool,
    /// Nothing more is taken in its configuration.
    pub sealed: bool,
}

impl<T> Streams<T> {
    /// All streams of which there is something here.
    pub fn reports(&self) -> impl Iterator<Item = Report> {
        self.by_key.iter().map(|(key, stream)| Report {
            key: key.clone(),
            part: match &stream.role {
                Role::Owner(owner) if owner.serving => Part::Owner,
                Role::Owner(_) => Part::Opening,
                Role::Taking(_) => Part::Taking,
                Role::Held(_) => Part::Holder,
            },
            copy: stream.copy.as_ref().map(|copy| CopyReport {
                config: copy.config.clone(),
                holders: copy.holders.clone(),
                seq: copy.seq,
                tip: copy.log.tip(),
                entries: copy.log.size().0,
                waiting: copy.log.waiting().0,
                empty: copy.log.is_empty(),
                sealed: copy.sealed,
            }),
        })
    }
}
