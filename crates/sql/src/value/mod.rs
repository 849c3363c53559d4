//! Types and values between SQLite and the wire.
//!
//! A type is announced before a row is seen ([`PgType`]); values are then encoded
//! as that type ([`encode_text`], [`encode_binary`]) and parameters decoded from
//! it ([`decode`]).

mod array;
mod datetime;
mod decode;
mod encode;
mod numeric;

pub use crate::pg_type::PgType;
pub(super) use decode::decode;
pub(super) use encode::{encode_binary, encode_text};
