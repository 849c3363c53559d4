//! walship client.
