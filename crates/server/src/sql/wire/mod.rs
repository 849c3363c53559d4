//! Protocol version 3 as bytes: framing, what clients send, what servers answer.
//!
//! Nothing here knows SQL. Lengths are checked against a named maximum before
//! they are trusted, and a buffer grows only as bytes arrive.

mod channel;
mod frontend;
mod output;

pub(super) use channel::Channel;
pub use channel::ChannelError;
pub(super) use frontend::{Bind, FrontendMessage, Parse, Target};
pub(super) use output::FieldDescription;
pub use output::{Output, TransactionStatus};
