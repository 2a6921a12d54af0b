//! The pure part: state machines without I/O, clocks or global randomness.
//!
//! Time comes in as an argument, randomness as a seed, and what is to be done comes out as a value.
//! So a test can run a thousand clusters from a seed, with loss, crashes and partitions.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod admission;
pub mod api;
pub mod backoff;
pub mod consent;
pub mod directory;
pub mod drain;
pub mod feed;
pub mod frame;
pub mod handshake;
pub mod lane;
pub mod link;
pub mod map;
pub mod membership;
pub mod peer;
pub mod protocol;
pub mod rate;
pub mod ring;
pub mod rooms;
pub mod roster;
pub mod stats;
pub mod stream;
pub mod telling;
pub mod timeline;
pub mod trace;
pub mod trust;
pub mod view;
pub mod watch;
pub mod webhook;
