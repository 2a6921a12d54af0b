//! WebSocket conformance of the echo server in `examples/echo.rs`, over a real socket.
//!
//! Modelled on the sections of the Autobahn test suite that apply without extensions: 1 to 7, 9 and
//! 10, and what that suite leaves out (masks, forms of the length, limits). Every case is data: what
//! is sent, what has to come back, and how the connection has to end.

mod case;
mod closing;
mod fragments;
mod headers;
mod messages;
#[path = "../support/raw_ws.rs"]
mod raw_ws;
mod utf8;
