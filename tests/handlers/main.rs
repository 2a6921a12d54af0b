//! Handlers: what a program can do with its sessions, on clusters of one and three nodes in this
//! process, with clients that share no code with them.
#![allow(clippy::unwrap_used)]

mod anywhere;
mod examples;
mod failing;
mod judging;
mod readme;
mod ring;
mod script;
#[path = "../support/mod.rs"]
mod support;
