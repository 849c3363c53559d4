//! walship protocol.
