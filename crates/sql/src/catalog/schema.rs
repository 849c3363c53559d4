//! What a database's schema holds, in PostgreSQL's terms: relations, columns, indexes, constraints, triggers.

mod check;
mod read;

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::PgType;

/// The first oid that PostgreSQL gives to what users create.
const FIRST_USER_OID: i64 = 16_384;
/// Added for what is in a session's temporary schema.
const TEMPORARY_OIDS: i64 = 1 << 28;
/// Added for constraints, which SQLite has no rows for.
const CONSTRAINT_OIDS: i64 = 1 << 29;
/// Added for the index that a rowid table's own b-tree is for an INTEGER PRIMARY KEY.
const ROWID_INDEX_OIDS: i64 = 1 << 30;

/// `pg_namespace.oid` of the schemas that there are.
pub(crate) const PUBLIC: i64 = 2200;
pub(crate) const PG_CATALOG: i64 = 11;
pub(crate) const PG_TEMP: i64 = 16_383;

/// PostgreSQL's role of whoever owns the database, which owns the schema `public`.
pub(crate) const DATABASE_OWNER: i64 = 6171;

/// The schema at one moment.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// Differs whenever the schema does.
    pub(crate) key: u64,
    pub(crate) relations: Vec<Relation>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) triggers: Vec<Trigger>,
}

/// A table or view.
#[derive(Debug)]
pub(crate) struct Relation {
    pub(crate) oid: i64,
    pub(crate) name: String,
    pub(crate) namespace: i64,
    /// `pg_class.relkind`.
    pub(crate) kind: &'static str,
    pub(crate) temporary: bool,
    /// Name of the b-tree that holds it.
    pub(crate) btree: Option<String>,
    /// The statement that created it.
    pub(crate) sql: String,
    pub(crate) columns: Vec<Column>,
}

/// A column of a table, view or index.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: PgType,
    /// Length of a `varchar(n)`.
    pub(crate) length: Option<i32>,
    pub(crate) not_null: bool,
    pub(crate) default: Option<String>,
    /// `pg_attribute.attgenerated`: `s` for stored, `v` for virtual.
    pub(crate) generated: &'static str,
}

/// An index, also one that only SQLite's constraints made.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) oid: i64,
    pub(crate) table: i64,
    pub(crate) name: String,
    pub(crate) namespace: i64,
    pub(crate) btree: Option<String>,
    pub(crate) unique: bool,
    pub(crate) primary: bool,
    /// Whether it stands for a UNIQUE constraint.
    pub(crate) constraint: bool,
    /// The WHERE of a partial index.
    pub(crate) predicate: Option<String>,
    pub(crate) keys: Vec<IndexKey>,
}

/// A column or expression of an index.
#[derive(Debug)]
pub(crate) struct IndexKey {
    /// Number of the table's column from 1; 0 for an expression.
    pub(crate) attribute: i64,
    /// As the definition prints it.
    pub(crate) text: String,
    pub(crate) descending: bool,
}

/// A constraint.
#[derive(Debug)]
pub(crate) struct Constraint {
    pub(crate) oid: i64,
    pub(crate) name: String,
    pub(crate) namespace: i64,
    /// `pg_constraint.contype`: p, u, f or c.
    pub(crate) kind: &'static str,
    pub(crate) table: i64,
    pub(crate) index: i64,
    pub(crate) foreign_table: i64,
    pub(crate) columns: Vec<i64>,
    pub(crate) foreign_columns: Vec<i64>,
    pub(crate) definition: String,
    pub(crate) deferrable: bool,
}

/// A trigger.
#[derive(Debug)]
pub(crate) struct Trigger {
    pub(crate) oid: i64,
    pub(crate) table: i64,
    pub(crate) name: String,
    pub(crate) sql: String,
}

impl Schema {
    pub(crate) fn relation(&self, oid: i64) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.oid == oid)
    }

    pub(crate) fn index(&self, oid: i64) -> Option<&Index> {
        self.indexes.iter().find(|index| index.oid == oid)
    }

    /// A table or view by oid or name, the name with or without `public.` and quotes.
    pub(crate) fn relation_by_text(&self, text: &str) -> Option<&Relation> {
        if let Ok(oid) = text.parse::<i64>() {
            return self.relation(oid);
        }
        let bare = text.rsplit_once('.').map_or(text, |(_, name)| name);
        let name = match bare.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => bare.to_owned(),
        };
        self.relations.iter().find(|relation| relation.name.eq_ignore_ascii_case(&name))
    }
}

impl Relation {
    pub(crate) fn is_table(&self) -> bool {
        self.kind == "r"
    }
}

impl Index {
    /// As `pg_get_indexdef` prints it.
    pub(crate) fn definition(&self, table: &str) -> String {
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|key| if key.descending { format!("{} DESC", key.text) } else { key.text.clone() })
            .collect();
        let unique = if self.unique { "UNIQUE " } else { "" };
        let predicate = self.predicate.as_ref().map(|text| format!(" WHERE {text}")).unwrap_or_default();
        format!(
            "CREATE {unique}INDEX {} ON {} USING btree ({}){predicate}",
            super::functions::quote_identifier(&self.name),
            super::functions::quote_identifier(table),
            keys.join(", ")
        )
    }
}

/// The schema that was read last on a connection, as long as it holds.
#[derive(Debug, Default)]
pub(crate) struct SchemaCache {
    /// Locked only by the connection's own thread.
    last: Mutex<Option<Arc<Schema>>>,
}

impl SchemaCache {
    /// The schema as the connection's transaction sees it.
    ///
    /// The key is made of the schema's text, not of its version number: a rolled back change gives its number to the
    /// next one.
    pub(crate) fn current(&self, connection: &Connection) -> rusqlite::Result<Arc<Schema>> {
        let key = read::key(connection)?;
        if let Some(last) = self.last.lock().as_ref().filter(|last| last.key == key) {
            return Ok(Arc::clone(last));
        }
        let schema = Arc::new(read::schema(connection, key)?);
        *self.last.lock() = Some(Arc::clone(&schema));
        Ok(schema)
    }
}
