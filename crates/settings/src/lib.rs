//! walship settings.
