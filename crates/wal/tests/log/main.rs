//! The log through its public API.

mod append_and_read;
#[path = "../../examples/make_fixtures/cases.rs"]
mod cases;
mod dumped;
mod faults;
mod fixtures;
mod follow;
mod garbage;
mod power_loss;
mod scene;
