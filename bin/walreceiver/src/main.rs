//! walreceiver.
fn main() {}
