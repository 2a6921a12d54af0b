//! Who is there: changes that sessions want to hear of, and how many sessions a user may have.

mod changes;
mod limits;
#[path = "../support/mod.rs"]
mod support;
