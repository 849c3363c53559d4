/// A type of PostgreSQL's that results and parameters are announced as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PgType {
    /// boolean; SQLite stores 0 and 1.
    Bool,
    /// bytea.
    Bytea,
    /// name.
    Name,
    /// bigint: what INTEGER is.
    Int8,
    /// smallint.
    Int2,
    /// integer, where PostgreSQL's own functions have it, and small literals.
    Int4,
    /// text.
    Text,
    /// oid.
    Oid,
    /// json, stored as text.
    Json,
    /// real.
    Float4,
    /// double precision: what REAL is.
    Float8,
    /// character varying.
    Varchar,
    /// date, stored as text.
    Date,
    /// time, stored as text.
    Time,
    /// timestamp, stored as text.
    Timestamp,
    /// timestamp with time zone, stored as text.
    Timestamptz,
    /// interval, as text.
    Interval,
    /// numeric.
    Numeric,
    /// uuid, stored as text or as 16 bytes.
    Uuid,
    /// jsonb, stored as text.
    Jsonb,
    /// pg_lsn.
    PgLsn,
    /// Any other, by its OID: text format only.
    Other(u32),
}

impl PgType {
    /// Its OID in PostgreSQL's catalog.
    pub fn oid(self) -> u32 {
        match self {
            PgType::Bool => 16,
            PgType::Bytea => 17,
            PgType::Name => 19,
            PgType::Int8 => 20,
            PgType::Int2 => 21,
            PgType::Int4 => 23,
            PgType::Text => 25,
            PgType::Oid => 26,
            PgType::Json => 114,
            PgType::Float4 => 700,
            PgType::Float8 => 701,
            PgType::Varchar => 1043,
            PgType::Date => 1082,
            PgType::Time => 1083,
            PgType::Timestamp => 1114,
            PgType::Timestamptz => 1184,
            PgType::Interval => 1186,
            PgType::Numeric => 1700,
            PgType::Uuid => 2950,
            PgType::PgLsn => 3220,
            PgType::Jsonb => 3802,
            PgType::Other(oid) => oid,
        }
    }

    /// The type with that OID; `None` for 0 and "unknown", which leave the choice to the server.
    pub fn from_oid(oid: u32) -> Option<PgType> {
        Some(match oid {
            0 | 705 => return None,
            16 => PgType::Bool,
            17 => PgType::Bytea,
            19 => PgType::Name,
            20 => PgType::Int8,
            21 => PgType::Int2,
            23 => PgType::Int4,
            25 => PgType::Text,
            26 => PgType::Oid,
            114 => PgType::Json,
            700 => PgType::Float4,
            701 => PgType::Float8,
            1042 | 1043 => PgType::Varchar,
            1082 => PgType::Date,
            1083 => PgType::Time,
            1114 => PgType::Timestamp,
            1184 => PgType::Timestamptz,
            1186 => PgType::Interval,
            1700 => PgType::Numeric,
            2950 => PgType::Uuid,
            3220 => PgType::PgLsn,
            3802 => PgType::Jsonb,
            other => PgType::Other(other),
        })
    }

    /// Size in bytes as RowDescription has it, -1 if it varies.
    pub fn length(self) -> i16 {
        match self {
            PgType::Bool => 1,
            PgType::Int2 => 2,
            PgType::Int4 | PgType::Oid | PgType::Float4 | PgType::Date => 4,
            PgType::Int8
            | PgType::Float8
            | PgType::Time
            | PgType::Timestamp
            | PgType::Timestamptz
            | PgType::PgLsn => 8,
            PgType::Interval | PgType::Uuid => 16,
            PgType::Name => 64,
            _ => -1,
        }
    }

    /// Its name in PostgreSQL's messages.
    pub fn name(self) -> &'static str {
        match self {
            PgType::Bool => "boolean",
            PgType::Bytea => "bytea",
            PgType::Name => "name",
            PgType::Int8 => "bigint",
            PgType::Int2 => "smallint",
            PgType::Int4 => "integer",
            PgType::Text => "text",
            PgType::Oid => "oid",
            PgType::Json => "json",
            PgType::Float4 => "real",
            PgType::Float8 => "double precision",
            PgType::Varchar => "character varying",
            PgType::Date => "date",
            PgType::Time => "time",
            PgType::Timestamp => "timestamp",
            PgType::Timestamptz => "timestamp with time zone",
            PgType::Interval => "interval",
            PgType::Numeric => "numeric",
            PgType::Uuid => "uuid",
            PgType::Jsonb => "jsonb",
            PgType::PgLsn => "pg_lsn",
            PgType::Other(_) => "a type that only has a text format here",
        }
    }

    /// The type that a declaration (of a column, in a CAST, behind `::`) stands for.
    /// A name that neither SQLite nor PostgreSQL gives a meaning is text.
    pub fn from_declaration(declaration: &str) -> PgType {
        let lower = declaration.to_ascii_lowercase();
        let bare = lower.split('(').next().unwrap_or_default().trim();
        match bare {
            "bool" | "boolean" => PgType::Bool,
            "bytea" => PgType::Bytea,
            "name" => PgType::Name,
            "smallint" | "int2" => PgType::Int2,
            "int4" => PgType::Int4,
            "oid" => PgType::Oid,
            "serial" | "bigserial" => PgType::Int8,
            "json" => PgType::Json,
            "jsonb" => PgType::Jsonb,
            "float4" => PgType::Float4,
            "varchar" | "character varying" => PgType::Varchar,
            _ if bare.starts_with("timestamp") && lower.contains("with time zone") => PgType::Timestamptz,
            "date" => PgType::Date,
            "time" | "time without time zone" => PgType::Time,
            "timestamp" | "datetime" | "timestamp without time zone" => PgType::Timestamp,
            "timestamptz" => PgType::Timestamptz,
            "interval" => PgType::Interval,
            "numeric" | "decimal" => PgType::Numeric,
            "uuid" => PgType::Uuid,
            "pg_lsn" => PgType::PgLsn,
            // what is left goes by SQLite's affinity rules; "timestamp(3) with time zone" loses only its middle
            other if other.starts_with("timestamp") && lower.contains("with time zone") => {
                PgType::Timestamptz
            }
            other if other.contains("int") => PgType::Int8,
            other if ["char", "clob", "text"].iter().any(|part| other.contains(part)) => PgType::Text,
            other if other.contains("blob") => PgType::Bytea,
            other if ["real", "floa", "doub"].iter().any(|part| other.contains(part)) => PgType::Float8,
            _ => PgType::Text,
        }
    }

    /// The SQLite type whose CAST keeps a value of this type as it is stored.
    pub fn storage(self) -> &'static str {
        match self {
            PgType::Bool | PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid => "INTEGER",
            PgType::Float4 | PgType::Float8 => "REAL",
            PgType::Numeric => "NUMERIC",
            PgType::Bytea => "BLOB",
            _ => "TEXT",
        }
    }

    /// Whether it is one of the integer types.
    pub fn is_integer(self) -> bool {
        matches!(self, PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid)
    }

    /// Whether it is a number with a fraction.
    pub fn is_fractional(self) -> bool {
        matches!(self, PgType::Float4 | PgType::Float8 | PgType::Numeric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_mean_what_both_worlds_say() {
        for (declaration, expected) in [
            ("INTEGER", PgType::Int8),
            ("unsigned big int", PgType::Int8),
            ("VARCHAR(20)", PgType::Varchar),
            ("NVARCHAR(9)", PgType::Text),
            ("double precision", PgType::Float8),
            ("BLOB", PgType::Bytea),
            ("decimal(10,2)", PgType::Numeric),
            ("timestamp(3) with time zone", PgType::Timestamptz),
            ("DATETIME", PgType::Timestamp),
            ("Boolean", PgType::Bool),
            ("", PgType::Text),
            ("frobnitz", PgType::Text),
        ] {
            assert_eq!(PgType::from_declaration(declaration), expected, "{declaration}");
        }
    }

    #[test]
    fn oids_round_trip() {
        for oid in
            [16, 17, 19, 20, 21, 23, 25, 26, 114, 700, 701, 1043, 1082, 1114, 1184, 1700, 2950, 3220, 869]
        {
            assert_eq!(PgType::from_oid(oid).map(PgType::oid), Some(oid));
        }
        assert_eq!(PgType::from_oid(0), None);
    }
}
