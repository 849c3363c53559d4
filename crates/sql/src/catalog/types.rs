use crate::pg_type::PgType;
pub(crate) use crate::pg_type::constants::*;

impl PgType {
    /// The collation by which texts of the type compare as what they mean; each has its type's name.
    pub(crate) fn collation(self) -> &'static str {
        match self {
            PgType::PgLsn => super::LSN_COLLATION,
            PgType::Timestamptz => super::TIMESTAMP_COLLATION,
            PgType::Interval => super::INTERVAL_COLLATION,
            _ => "BINARY",
        }
    }
}
