/// How a cast to a type of PostgreSQL is written here, around the text of what is cast; `None` for a type that is not
/// known. `literal`: what is cast is a string constant.
pub(super) fn cast(type_name: &str, operand: &str, literal: bool) -> Option<String> {
    let name = type_name.to_ascii_lowercase();
    let base = name.split('(').next().unwrap_or_default().trim();
    if base.ends_with("[]") {
        return Some(operand.to_owned());
    }
    let affinity = match base {
        "int" | "int2" | "int4" | "int8" | "integer" | "bigint" | "smallint" | "oid" | "xid" => "INTEGER",
        "float" | "float4" | "float8" | "real" | "double precision" => "REAL",
        "numeric" | "decimal" => "NUMERIC",
        "text" | "varchar" | "character varying" | "name" | "char" | "bpchar" | "inet" | "json" | "jsonb"
        | "uuid" => "TEXT",
        "bytea" => "BLOB",
        _ => {
            let function = match base {
                "regclass" if literal => "pg_regclass_oid",
                "regclass" => "pg_regclass",
                "regtype" => "pg_regtype",
                "regnamespace" => "pg_regnamespace",
                "pg_lsn" => "pg_lsn",
                "interval" => "pg_interval",
                "timestamptz" | "timestamp" | "timestamp with time zone" | "timestamp without time zone" => {
                    "pg_timestamptz"
                }
                "bool" | "boolean" => return Some(format!("({operand} IN (1, 't', 'true', 'on', 'yes'))")),
                _ => return None,
            };
            return Some(format!("{function}({operand})"));
        }
    };
    Some(format!("CAST({operand} AS {affinity})"))
}
