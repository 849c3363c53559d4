//! walship node.
