use crate::value::PgType;

/// What a function of SQLite's returns.
pub(super) enum Returns {
    /// Always that.
    Type(PgType),
    /// What its arguments are, those from that place on.
    Arguments(usize),
}

const INT8: &[&str] = &[
    "count",
    "length",
    "octet_length",
    "instr",
    "unicode",
    "random",
    "sign",
    "changes",
    "total_changes",
    "last_insert_rowid",
    "row_number",
    "rank",
    "dense_rank",
    "ntile",
    "unixepoch",
    "json_array_length",
    "json_valid",
    "json_error_position",
    "likely_count",
    "sqlite_compileoption_used",
    "hex_length",
];
const FLOAT8: &[&str] = &[
    "avg",
    "total",
    "julianday",
    "percent_rank",
    "cume_dist",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "ln",
    "log",
    "log10",
    "log2",
    "pi",
    "pow",
    "power",
    "radians",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "round",
    "median",
    "percentile",
];
const TEXT: &[&str] = &[
    "lower",
    "upper",
    "trim",
    "ltrim",
    "rtrim",
    "substr",
    "substring",
    "replace",
    "hex",
    "printf",
    "format",
    "char",
    "quote",
    "typeof",
    "soundex",
    "concat",
    "concat_ws",
    "group_concat",
    "string_agg",
    "date",
    "time",
    "datetime",
    "strftime",
    "timediff",
    "sqlite_version",
    "sqlite_source_id",
    "json",
    "json_array",
    "json_object",
    "json_patch",
    "json_remove",
    "json_replace",
    "json_set",
    "json_insert",
    "json_type",
    "json_quote",
    "json_pretty",
    "json_group_array",
    "json_group_object",
    "snippet",
    "highlight",
];
const BYTEA: &[&str] = &["zeroblob", "randomblob", "unhex", "jsonb"];
const BOOL: &[&str] = &["glob", "like"];
const ARGUMENTS: &[&str] = &[
    "coalesce",
    "greatest",
    "least",
    "ifnull",
    "min",
    "max",
    "abs",
    "sum",
    "nullif",
    "first_value",
    "last_value",
    "nth_value",
    "lag",
    "lead",
    "likely",
    "unlikely",
    "likelihood",
    "ceil",
    "ceiling",
    "floor",
    "trunc",
    "mod",
];

/// The result type of one of SQLite's own functions, by its name in lower case.
pub(super) fn builtin(name: &str) -> Option<Returns> {
    let lists = [
        (INT8, PgType::Int8),
        (FLOAT8, PgType::Float8),
        (TEXT, PgType::Text),
        (BYTEA, PgType::Bytea),
        (BOOL, PgType::Bool),
    ];
    if let Some((_, pg_type)) = lists.iter().find(|(names, _)| names.contains(&name)) {
        return Some(Returns::Type(*pg_type));
    }
    match name {
        // the first argument is a condition, or a unit
        "iif" | "if" | "date_trunc" => Some(Returns::Arguments(1)),
        name if ARGUMENTS.contains(&name) => Some(Returns::Arguments(0)),
        _ => None,
    }
}

/// What a function takes, where it takes only that: a parameter there is of that type.
pub(super) fn argument(name: &str, at: usize) -> Option<PgType> {
    match (name, at) {
        ("substr" | "substring", 1 | 2)
        | ("round", 1)
        | ("zeroblob" | "randomblob" | "ntile" | "char", _) => Some(PgType::Int8),
        (
            "length" | "lower" | "upper" | "trim" | "ltrim" | "rtrim" | "replace" | "instr" | "substr"
            | "substring",
            _,
        ) => Some(PgType::Text),
        ("sqrt" | "ln" | "exp" | "pow" | "power" | "sin" | "cos" | "tan" | "log" | "round", _) => {
            Some(PgType::Float8)
        }
        _ => None,
    }
}
