//! walsender.
fn main() {}
