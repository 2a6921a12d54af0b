//! What the membership simulation is made of: a simulated network of simulated nodes ([`world`]),
//! and what happens to them, as data ([`scenario`]).

pub mod process;
pub mod scenario;
pub mod world;

pub use scenario::{Op, Scenario, simulate};
