/// A PostgreSQL type as rows are described with it.
#[derive(Debug, PartialEq, Eq)]
pub struct PgType {
    /// PostgreSQL's number for it.
    pub oid: u32,
    /// `pg_type.typname`; array types begin with `_`.
    pub name: &'static str,
    /// As `format_type` prints it.
    pub sql_name: &'static str,
    /// Bytes; -1 if they vary.
    pub length: i16,
    /// `pg_type.typcategory`.
    pub category: char,
    /// The array type over it; 0 if there is none here.
    pub array: u32,
}

macro_rules! types {
    ($($constant:ident = $oid:literal $name:literal $sql:literal $length:literal $category:literal $array:literal;)*) => {
        $(
            #[doc = concat!("`", $sql, "`, number ", $oid, ".")]
            pub static $constant: PgType = PgType {
                oid: $oid, name: $name, sql_name: $sql, length: $length, category: $category, array: $array,
            };
        )*
        /// Every type that rows are described with.
        pub static TYPES: &[&PgType] = &[$(&$constant),*];
    };
}

types! {
    BOOL = 16 "bool" "boolean" 1 'B' 1000;
    BYTEA = 17 "bytea" "bytea" -1 'U' 1001;
    CHAR = 18 "char" "\"char\"" 1 'Z' 1002;
    NAME = 19 "name" "name" 64 'S' 1003;
    INT8 = 20 "int8" "bigint" 8 'N' 1016;
    INT2 = 21 "int2" "smallint" 2 'N' 1005;
    INT2VECTOR = 22 "int2vector" "int2vector" -1 'A' 0;
    INT4 = 23 "int4" "integer" 4 'N' 1007;
    REGPROC = 24 "regproc" "regproc" 4 'N' 1008;
    TEXT = 25 "text" "text" -1 'S' 1009;
    OID = 26 "oid" "oid" 4 'N' 1028;
    XID = 28 "xid" "xid" 4 'U' 1011;
    OIDVECTOR = 30 "oidvector" "oidvector" -1 'A' 0;
    JSON = 114 "json" "json" -1 'U' 199;
    PG_NODE_TREE = 194 "pg_node_tree" "pg_node_tree" -1 'Z' 0;
    FLOAT4 = 700 "float4" "real" 4 'N' 1021;
    FLOAT8 = 701 "float8" "double precision" 8 'N' 1022;
    INET = 869 "inet" "inet" -1 'I' 1041;
    BOOL_ARRAY = 1000 "_bool" "boolean[]" -1 'A' 0;
    CHAR_ARRAY = 1002 "_char" "\"char\"[]" -1 'A' 0;
    NAME_ARRAY = 1003 "_name" "name[]" -1 'A' 0;
    INT2_ARRAY = 1005 "_int2" "smallint[]" -1 'A' 0;
    INT4_ARRAY = 1007 "_int4" "integer[]" -1 'A' 0;
    TEXT_ARRAY = 1009 "_text" "text[]" -1 'A' 0;
    OID_ARRAY = 1028 "_oid" "oid[]" -1 'A' 0;
    ACLITEM_ARRAY = 1034 "_aclitem" "aclitem[]" -1 'A' 0;
    BPCHAR = 1042 "bpchar" "character" -1 'S' 1014;
    VARCHAR = 1043 "varchar" "character varying" -1 'S' 1015;
    DATE = 1082 "date" "date" 4 'D' 1182;
    TIME = 1083 "time" "time without time zone" 8 'D' 1183;
    TIMESTAMP = 1114 "timestamp" "timestamp without time zone" 8 'D' 1115;
    TIMESTAMPTZ = 1184 "timestamptz" "timestamp with time zone" 8 'D' 1185;
    INTERVAL = 1186 "interval" "interval" 16 'T' 1187;
    NUMERIC = 1700 "numeric" "numeric" -1 'N' 1231;
    REGCLASS = 2205 "regclass" "regclass" 4 'N' 2210;
    REGTYPE = 2206 "regtype" "regtype" 4 'N' 2211;
    REGTYPE_ARRAY = 2211 "_regtype" "regtype[]" -1 'A' 0;
    ANYARRAY = 2277 "anyarray" "anyarray" -1 'P' 0;
    VOID = 2278 "void" "void" 4 'P' 0;
    UUID = 2950 "uuid" "uuid" 16 'U' 2951;
    PG_LSN = 3220 "pg_lsn" "pg_lsn" 8 'U' 3221;
    JSONB = 3802 "jsonb" "jsonb" -1 'U' 3807;
}

/// The declared type that the catalog gives to columns of PostgreSQL's one-byte `"char"`: `CHAR` in a user's table is
/// SQL's character type.
pub(crate) const CHAR_DECLARATION: &str = "pg_char";

impl PgType {
    /// The collation by which texts of the type compare as what they mean; both have their type's name.
    pub(crate) fn collation(&'static self) -> &'static str {
        match self.name {
            "pg_lsn" => super::LSN_COLLATION,
            "interval" => super::INTERVAL_COLLATION,
            _ => "BINARY",
        }
    }

    /// The type's name in the declaration of a catalog table.
    pub(crate) fn declaration(&'static self) -> &'static str {
        if self.oid == CHAR.oid { CHAR_DECLARATION } else { self.name }
    }
}

/// The type of that number.
pub fn type_by_oid(oid: u32) -> Option<&'static PgType> {
    TYPES.iter().copied().find(|known| known.oid == oid)
}

/// The type of that name, as the catalog's own tables declare it, or by either of PostgreSQL's names.
pub fn type_by_name(name: &str) -> Option<&'static PgType> {
    if name.eq_ignore_ascii_case(CHAR_DECLARATION) {
        return Some(&CHAR);
    }
    TYPES
        .iter()
        .copied()
        .find(|known| known.name.eq_ignore_ascii_case(name) || known.sql_name.eq_ignore_ascii_case(name))
}

/// The type, and its length for `varchar(n)`, of a column that a user's table declares so. What PostgreSQL has no
/// name for follows SQLite's rules of affinity.
pub fn type_of_declaration(declared: &str) -> (&'static PgType, Option<i32>) {
    let (name, length) = match declared.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim().parse().ok()),
        None => (declared.trim(), None),
    };
    let lower = name.to_ascii_lowercase();
    let known: &'static PgType = match lower.as_str() {
        // SQLite's integers have 64 bits whatever they are called
        "integer" | "int" | "int4" | "int2" | "smallint" | "bigint" | "int8" | "tinyint" | "mediumint" => {
            &INT8
        }
        "boolean" | "bool" => &BOOL,
        "real" | "double" | "double precision" | "float" | "float4" | "float8" => &FLOAT8,
        "bytea" | "blob" => &BYTEA,
        "varchar" | "character varying" => return (&VARCHAR, length),
        other => match type_by_name(other) {
            // an array, or a type of the catalog's own tables, is only text in a user's table
            Some(found)
                if matches!(found.category, 'D' | 'T')
                    || [3220, 26, 28, 869, 19, 18, 2950].contains(&found.oid) =>
            {
                found
            }
            _ if other.contains("int") => &INT8,
            _ if ["char", "clob", "text"].iter().any(|part| other.contains(part)) => &TEXT,
            _ if other.contains("blob") => &BYTEA,
            _ if ["real", "floa", "doub"].iter().any(|part| other.contains(part)) => &FLOAT8,
            _ => &TEXT,
        },
    };
    (known, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_become_postgresqls() {
        for (declared, name, length) in [
            ("INTEGER", "int8", None),
            ("unsigned big int", "int8", None),
            ("VARCHAR(30)", "varchar", Some(30)),
            ("Text", "text", None),
            ("BLOB", "bytea", None),
            ("boolean", "bool", None),
            ("double precision", "float8", None),
            ("", "text", None),
            ("pg_lsn", "pg_lsn", None),
            ("pg_char", "char", None),
            ("timestamptz", "timestamptz", None),
        ] {
            let (found, typmod) = type_of_declaration(declared);
            assert_eq!((found.name, typmod), (name, length), "{declared}");
        }
    }
}
