//! The log through its public API.

mod append_and_read;
mod faults;
mod follow;
mod power_loss;
mod scene;
