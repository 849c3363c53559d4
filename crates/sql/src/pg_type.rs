/// What PostgreSQL's catalog says of a type.
struct Facts {
    oid: u32,
    name: &'static str,
    sql_name: &'static str,
    length: i16,
    category: char,
    array: u32,
}

macro_rules! types {
    ($($variant:ident $constant:ident = $oid:literal $name:literal $sql:literal $length:literal $category:literal $array:literal;)*) => {
        /// A type of PostgreSQL's, as rows and parameters are described with it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum PgType {
            $(
                #[doc = concat!("`", $sql, "`, number ", $oid, ".")]
                $variant,
            )*
            /// Any other, by its number: text format only.
            Other(u32),
        }

        impl PgType {
            /// Every type that is known by name.
            pub const ALL: &[PgType] = &[$(PgType::$variant),*];

            fn facts(self) -> Facts {
                let (oid, name, sql_name, length, category, array) = match self {
                    $(PgType::$variant => ($oid, $name, $sql, $length, $category, $array),)*
                    PgType::Other(oid) => (oid, "unknown", "a type that only has a text format here", -1, 'X', 0),
                };
                Facts { oid, name, sql_name, length, category, array }
            }
        }

        /// The types under their names, for lists of columns.
        #[allow(dead_code, reason = "not every type is one of a column")]
        pub(crate) mod constants {
            use super::PgType;
            $(
                #[doc = concat!("`", $sql, "`.")]
                pub(crate) static $constant: PgType = PgType::$variant;
            )*
        }
    };
}

// PostgreSQL 15's pg_type: number, typname, what format_type() prints, bytes (-1 if they vary), category, array type
types! {
    Bool BOOL = 16 "bool" "boolean" 1 'B' 1000;
    Bytea BYTEA = 17 "bytea" "bytea" -1 'U' 1001;
    Char CHAR = 18 "char" "\"char\"" 1 'Z' 1002;
    Name NAME = 19 "name" "name" 64 'S' 1003;
    Int8 INT8 = 20 "int8" "bigint" 8 'N' 1016;
    Int2 INT2 = 21 "int2" "smallint" 2 'N' 1005;
    Int2Vector INT2VECTOR = 22 "int2vector" "int2vector" -1 'A' 0;
    Int4 INT4 = 23 "int4" "integer" 4 'N' 1007;
    RegProc REGPROC = 24 "regproc" "regproc" 4 'N' 1008;
    Text TEXT = 25 "text" "text" -1 'S' 1009;
    Oid OID = 26 "oid" "oid" 4 'N' 1028;
    Xid XID = 28 "xid" "xid" 4 'U' 1011;
    OidVector OIDVECTOR = 30 "oidvector" "oidvector" -1 'A' 0;
    Json JSON = 114 "json" "json" -1 'U' 199;
    PgNodeTree PG_NODE_TREE = 194 "pg_node_tree" "pg_node_tree" -1 'Z' 0;
    Float4 FLOAT4 = 700 "float4" "real" 4 'N' 1021;
    Float8 FLOAT8 = 701 "float8" "double precision" 8 'N' 1022;
    Inet INET = 869 "inet" "inet" -1 'I' 1041;
    BoolArray BOOL_ARRAY = 1000 "_bool" "boolean[]" -1 'A' 0;
    CharArray CHAR_ARRAY = 1002 "_char" "\"char\"[]" -1 'A' 0;
    NameArray NAME_ARRAY = 1003 "_name" "name[]" -1 'A' 0;
    Int2Array INT2_ARRAY = 1005 "_int2" "smallint[]" -1 'A' 0;
    Int4Array INT4_ARRAY = 1007 "_int4" "integer[]" -1 'A' 0;
    TextArray TEXT_ARRAY = 1009 "_text" "text[]" -1 'A' 0;
    OidArray OID_ARRAY = 1028 "_oid" "oid[]" -1 'A' 0;
    AclItemArray ACLITEM_ARRAY = 1034 "_aclitem" "aclitem[]" -1 'A' 0;
    BpChar BPCHAR = 1042 "bpchar" "character" -1 'S' 1014;
    Varchar VARCHAR = 1043 "varchar" "character varying" -1 'S' 1015;
    Date DATE = 1082 "date" "date" 4 'D' 1182;
    Time TIME = 1083 "time" "time without time zone" 8 'D' 1183;
    Timestamp TIMESTAMP = 1114 "timestamp" "timestamp without time zone" 8 'D' 1115;
    Timestamptz TIMESTAMPTZ = 1184 "timestamptz" "timestamp with time zone" 8 'D' 1185;
    Interval INTERVAL = 1186 "interval" "interval" 16 'T' 1187;
    Numeric NUMERIC = 1700 "numeric" "numeric" -1 'N' 1231;
    RegClass REGCLASS = 2205 "regclass" "regclass" 4 'N' 2210;
    RegType REGTYPE = 2206 "regtype" "regtype" 4 'N' 2211;
    RegTypeArray REGTYPE_ARRAY = 2211 "_regtype" "regtype[]" -1 'A' 0;
    AnyArray ANYARRAY = 2277 "anyarray" "anyarray" -1 'P' 0;
    Void VOID = 2278 "void" "void" 4 'P' 0;
    Uuid UUID = 2950 "uuid" "uuid" 16 'U' 2951;
    PgLsn PG_LSN = 3220 "pg_lsn" "pg_lsn" 8 'U' 3221;
    Jsonb JSONB = 3802 "jsonb" "jsonb" -1 'U' 3807;
}

impl PgType {
    /// Its number in PostgreSQL's catalog.
    pub fn oid(self) -> u32 {
        self.facts().oid
    }

    /// `pg_type.typname`; array types begin with `_`.
    pub fn type_name(self) -> &'static str {
        self.facts().name
    }

    /// As `format_type` prints it.
    pub fn sql_name(self) -> &'static str {
        self.facts().sql_name
    }

    /// Its name in PostgreSQL's messages.
    pub fn name(self) -> &'static str {
        let name = self.sql_name();
        name.strip_suffix(" without time zone").unwrap_or(name)
    }

    /// Size in bytes as RowDescription has it, -1 if it varies.
    pub fn length(self) -> i16 {
        self.facts().length
    }

    /// `pg_type.typcategory`.
    pub fn category(self) -> char {
        self.facts().category
    }

    /// Number of the array type over it; 0 if there is none here.
    pub fn array(self) -> u32 {
        self.facts().array
    }

    /// The type with that number; `None` for 0 and "unknown", which leave the choice to the server.
    pub fn from_oid(oid: u32) -> Option<PgType> {
        const UNKNOWN: u32 = 705;
        match oid {
            0 | UNKNOWN => None,
            _ => Some(PgType::known(oid).unwrap_or(PgType::Other(oid))),
        }
    }

    /// The type with that number, if it is one that is known by name.
    pub fn known(oid: u32) -> Option<PgType> {
        PgType::ALL.iter().copied().find(|known| known.oid() == oid)
    }

    /// The type of that name, as the catalog's own tables declare it, or by either of PostgreSQL's names.
    pub fn from_name(name: &str) -> Option<PgType> {
        if name.eq_ignore_ascii_case(CHAR_DECLARATION) {
            return Some(PgType::Char);
        }
        PgType::ALL.iter().copied().find(|known| {
            known.type_name().eq_ignore_ascii_case(name) || known.sql_name().eq_ignore_ascii_case(name)
        })
    }

    /// The type that a declaration (of a column, in a CAST, behind `::`) stands for.
    /// A name that neither SQLite nor PostgreSQL gives a meaning is text.
    pub fn from_declaration(declaration: &str) -> PgType {
        let lower = declaration.to_ascii_lowercase();
        let bare = lower.split('(').next().unwrap_or_default().trim();
        match bare {
            // in PostgreSQL they have 32 bits, SQLite's have 64 under these names
            "integer" | "serial" | "bigserial" => PgType::Int8,
            "real" => PgType::Float8,
            // SQL's character type; the catalog's own one-byte type is declared as CHAR_DECLARATION
            "char" | "character" => PgType::BpChar,
            "datetime" => PgType::Timestamp,
            "decimal" => PgType::Numeric,
            // "timestamp(3) with time zone" loses only its middle
            _ if bare.starts_with("timestamp") && lower.contains("with time zone") => PgType::Timestamptz,
            _ => PgType::from_name(bare).map_or_else(|| affinity(bare), PgType::announced),
        }
    }

    /// Length of a `varchar(n)` or `char(n)` that a column is declared as.
    pub fn declared_length(self, declaration: &str) -> Option<i32> {
        if !matches!(self, PgType::Varchar | PgType::BpChar) {
            return None;
        }
        let (_, length) = declaration.split_once('(')?;
        length.trim_end().trim_end_matches(')').trim().parse().ok()
    }

    /// What values of the type are announced as: text, if there is no binary form of them here.
    pub fn announced(self) -> PgType {
        match self {
            PgType::Void => self,
            PgType::PgNodeTree | PgType::RegProc | PgType::RegClass | PgType::RegType => PgType::Text,
            PgType::AclItemArray => self,
            _ if self.element().is_some() => self,
            _ if matches!(self.category(), 'A' | 'P') => PgType::Text,
            _ => self,
        }
    }

    /// The type of an array's elements, where arrays of it have a binary form here.
    pub fn element(self) -> Option<PgType> {
        Some(match self {
            PgType::TextArray => PgType::Text,
            PgType::NameArray => PgType::Name,
            PgType::Int2Array => PgType::Int2,
            PgType::Int4Array => PgType::Int4,
            PgType::OidArray => PgType::Oid,
            _ => return None,
        })
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

    /// The type's name in the declaration of a catalog table.
    pub(crate) fn declaration(self) -> &'static str {
        if self == PgType::Char { CHAR_DECLARATION } else { self.type_name() }
    }
}

/// The declared type that the catalog gives to columns of PostgreSQL's one-byte `"char"`: `CHAR` in a user's table is
/// SQL's character type.
const CHAR_DECLARATION: &str = "pg_char";

/// SQLite's rules for declarations that PostgreSQL has no name for; NUMERIC affinity takes anything, so it is text.
fn affinity(bare: &str) -> PgType {
    let has = |parts: &[&str]| parts.iter().any(|part| bare.contains(part));
    match () {
        () if has(&["int"]) => PgType::Int8,
        () if has(&["char", "clob", "text"]) => PgType::Text,
        () if has(&["blob"]) => PgType::Bytea,
        () if has(&["real", "floa", "doub"]) => PgType::Float8,
        () => PgType::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_mean_what_both_worlds_say() {
        for (declaration, expected) in [
            ("INTEGER", PgType::Int8),
            ("int", PgType::Int8),
            ("int4", PgType::Int4),
            ("smallint", PgType::Int2),
            ("BIGINT", PgType::Int8),
            ("unsigned big int", PgType::Int8),
            ("VARCHAR(20)", PgType::Varchar),
            ("char(3)", PgType::BpChar),
            ("NVARCHAR(9)", PgType::Text),
            ("Text", PgType::Text),
            ("double precision", PgType::Float8),
            ("REAL", PgType::Float8),
            ("float", PgType::Float8),
            ("float4", PgType::Float4),
            ("BLOB", PgType::Bytea),
            ("decimal(10,2)", PgType::Numeric),
            ("timestamp(3) with time zone", PgType::Timestamptz),
            ("timestamptz", PgType::Timestamptz),
            ("DATETIME", PgType::Timestamp),
            ("time", PgType::Time),
            ("Boolean", PgType::Bool),
            ("pg_lsn", PgType::PgLsn),
            ("pg_char", PgType::Char),
            ("int2vector", PgType::Text),
            ("_int2", PgType::Int2Array),
            ("_regtype", PgType::Text),
            ("regclass", PgType::Text),
            ("", PgType::Text),
            ("frobnitz", PgType::Text),
        ] {
            assert_eq!(PgType::from_declaration(declaration), expected, "{declaration}");
        }
        assert_eq!(PgType::Varchar.declared_length("VARCHAR( 30 )"), Some(30));
        assert_eq!(PgType::Numeric.declared_length("numeric(10, 2)"), None);
    }

    #[test]
    fn numbers_round_trip() {
        for known in PgType::ALL {
            assert_eq!(PgType::from_oid(known.oid()), Some(*known));
        }
        assert_eq!(PgType::from_oid(600).map(PgType::oid), Some(600));
        assert_eq!(PgType::from_oid(0), None);
    }
}
