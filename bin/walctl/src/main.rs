//! walctl.
fn main() {}
