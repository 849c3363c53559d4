//! What SQL clients send: framing over a blocking stream, and their messages.
//!
//! Nothing here knows SQL. Lengths are checked against a named maximum before
//! they are trusted, and a buffer grows only as bytes arrive.

mod channel;
mod frontend;

pub(super) use channel::Channel;
pub use channel::ChannelError;
pub(super) use frontend::{Bind, FrontendMessage, Parse, Target};
