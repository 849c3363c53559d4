//! walship server.
