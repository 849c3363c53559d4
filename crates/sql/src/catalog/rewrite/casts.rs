use crate::catalog::PgType;

/// What is known of the operand of a cast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand {
    /// A string constant.
    pub(super) literal: bool,
    /// A parameter, which gets its type from the cast.
    pub(super) parameter: bool,
    /// Its type, where the catalog knows it.
    pub(super) of: Option<PgType>,
    /// Whether the statement asks the catalog anything: then casts are PostgreSQL's, which round and complain, not
    /// SQLite's.
    pub(super) asks_catalog: bool,
}

/// How a cast to a type of PostgreSQL is written here, around the text of what is cast; `None` for a type that is not
/// known.
pub(super) fn cast(type_name: &str, text: &str, operand: Operand) -> Option<String> {
    let name = type_name.to_ascii_lowercase();
    let (base, length) = match name.split_once('(') {
        Some((base, length)) => (base.trim(), length.trim_end_matches(')')),
        None => (name.trim(), ""),
    };
    if base.ends_with("[]") {
        return Some(text.to_owned());
    }
    let is_bool = operand.of.is_some_and(|of| of.category() == 'B');
    let function = match base {
        "int" | "int4" | "integer" => operand.integer("pg_int4"),
        "int2" | "smallint" => operand.integer("pg_int2"),
        "int8" | "bigint" => operand.integer("pg_int8"),
        "oid" | "xid" => return Some(format!("CAST({text} AS INTEGER)")),
        "float" | "float4" | "float8" | "real" | "double precision" => {
            return Some(format!("CAST({text} AS REAL)"));
        }
        "numeric" | "decimal" => return Some(numeric(text, length)),
        "text" | "varchar" | "character varying" | "name" | "char" | "bpchar" if is_bool => "pg_bool_text",
        "text" | "varchar" | "character varying" | "name" | "char" | "bpchar" | "inet" | "json" | "jsonb"
        | "uuid" => return Some(format!("CAST({text} AS TEXT)")),
        "bytea" => return Some(format!("CAST({text} AS BLOB)")),
        "bool" | "boolean" => return Some(format!("({text} IN (1, 't', 'true', 'on', 'yes'))")),
        "regclass" if operand.literal => "pg_regclass_oid",
        "regclass" => "pg_regclass",
        "regtype" => "pg_regtype",
        "regnamespace" => "pg_regnamespace",
        "pg_lsn" => "pg_lsn",
        "interval" => "pg_interval",
        "date" if operand.asks_catalog => "pg_date",
        "timestamptz" | "timestamp" | "timestamp with time zone" | "timestamp without time zone" => {
            "pg_timestamptz"
        }
        _ => return None,
    };
    Some(match function {
        "" => format!("CAST({text} AS INTEGER)"),
        function => format!("{function}({text})"),
    })
}

impl Operand {
    /// The function that casts to an integer; none where SQLite's own cast is meant.
    fn integer(self, function: &'static str) -> &'static str {
        if self.asks_catalog && !self.parameter { function } else { "" }
    }
}

/// `numeric(10, 2)` rounds.
fn numeric(text: &str, length: &str) -> String {
    match length.split_once(',') {
        Some((_, scale)) => format!("round(CAST({text} AS NUMERIC), {})", scale.trim()),
        None => format!("CAST({text} AS NUMERIC)"),
    }
}
