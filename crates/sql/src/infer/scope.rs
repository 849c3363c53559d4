use rusqlite::Connection;

use crate::catalog;
use crate::statement::declared_type;
use crate::value::PgType;

/// A result column of a subquery: its name, and its type where that is known.
pub(super) type NamedType = (String, Option<PgType>);

/// Something that a FROM clause names.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// What its columns may be qualified with.
    pub(super) alias: String,
    /// Its columns, where it is a subquery; else it is the table of that name.
    pub(super) content: Content,
}

/// Where the columns of a source come from.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A table or view.
    Table(String),
    /// A subquery or common table expression.
    Columns(Vec<NamedType>),
}

/// A name as its syntax tree has it, without quotes.
pub(super) fn unquoted(name: &str) -> String {
    let inner = || name.get(1..name.len().saturating_sub(1)).unwrap_or_default();
    match name.as_bytes().first() {
        Some(b'"') => inner().replace("\"\"", "\""),
        Some(b'`') => inner().replace("``", "`"),
        Some(b'[') => inner().to_owned(),
        _ => name.to_owned(),
    }
}

impl Source {
    /// Type of a column; the outer `None` if there is no such column.
    pub(super) fn column(&self, connection: &Connection, name: &str) -> Option<Option<PgType>> {
        match &self.content {
            Content::Columns(columns) => columns
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, pg_type)| *pg_type),
            Content::Table(table) if catalog::column_types(table).is_some() => {
                let columns = catalog_columns(table)?;
                columns.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, of)| of)
            }
            Content::Table(table) => match declared_type(connection, table, name) {
                Some(declared) if declared.is_empty() => Some(None),
                Some(declared) => Some(Some(PgType::from_declaration(&declared))),
                None if ["rowid", "oid", "_rowid_"].iter().any(|own| name.eq_ignore_ascii_case(own)) => {
                    Some(Some(PgType::Int8))
                }
                None => None,
            },
        }
    }

    /// All columns; `None` where they cannot be told.
    pub(super) fn columns(&self, connection: &Connection) -> Option<Vec<NamedType>> {
        match &self.content {
            Content::Columns(columns) => Some(columns.clone()),
            Content::Table(table) => catalog_columns(table).or_else(|| table_columns(connection, table)),
        }
    }
}

/// Columns of one of the catalog's tables, which SQLite's schema does not list; a table of the same name in the
/// database would hide it.
fn catalog_columns(table: &str) -> Option<Vec<NamedType>> {
    let columns = catalog::column_types(table)?;
    Some(columns.iter().map(|(name, of)| ((*name).to_owned(), Some(of.announced()))).collect())
}

/// Columns of a table or view, as a star shows them.
pub(super) fn table_columns(connection: &Connection, table: &str) -> Option<Vec<NamedType>> {
    let mut statement =
        connection.prepare_cached("SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden <> 1").ok()?;
    let rows = statement.query_map([table], |row| {
        let declared: String = row.get(1)?;
        let pg_type = (!declared.is_empty()).then(|| PgType::from_declaration(&declared));
        Ok((row.get::<_, String>(0)?, pg_type))
    });
    rows.ok()?.collect::<rusqlite::Result<Vec<_>>>().ok().filter(|columns| !columns.is_empty())
}
