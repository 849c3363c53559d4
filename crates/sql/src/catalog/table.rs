use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::vtab::{Context, Filters, IndexInfo, Module, VTab, VTabConfig, VTabConnection, VTabCursor};
use rusqlite::{Connection, Error, ffi};

use super::cell::Cell;
use super::privilege::check_table;
use super::schema::{Schema, SchemaCache};
use super::{CatalogSource, PgType, SessionContext, SqlError};

/// One row of a catalog table, a cell for each column.
pub(crate) type Row = Vec<Cell>;

/// A read-only table of the catalog: PostgreSQL's name, columns, types and order.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, &'static PgType)],
    pub(crate) rows: Rows,
}

/// Where a table's rows come from.
pub(crate) enum Rows {
    /// From the node and the session, anew for every scan.
    Live(fn(&Scope) -> Vec<Row>),
    /// From the database's schema, kept until it changes.
    Schema(fn(&Schema, &Scope) -> Vec<Row>),
    /// There never are any: what it would list does not exist here.
    Empty,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Rows::Live(_) => "Live",
            Rows::Schema(_) => "Schema",
            Rows::Empty => "Empty",
        })
    }
}

/// What rows and functions are made from.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) source: Arc<dyn CatalogSource>,
    pub(crate) session: Arc<SessionContext>,
    pub(crate) schema: Arc<SchemaCache>,
}

impl Table {
    /// As SQLite is told of it. Positions, times and intervals get the collations by which they compare as such.
    fn declaration(&self) -> String {
        let column = |(name, kind): &(&str, &'static PgType)| {
            let collation = match kind.collation() {
                "BINARY" => String::new(),
                collation => format!(" COLLATE {collation}"),
            };
            format!("\"{name}\" {}{collation}", kind.declaration())
        };
        let columns: Vec<String> = self.columns.iter().map(column).collect();
        format!("CREATE TABLE x({})", columns.join(", "))
    }
}

/// Makes a table known to a connection under its own name.
pub(crate) fn register(
    connection: &Connection,
    table: &'static Table,
    scope: &Scope,
) -> rusqlite::Result<()> {
    const MODULE: &Module<'static, CatalogTable> = &Module::eponymous_only_module();
    connection.create_module(table.name, MODULE, Some((table, scope.clone())))
}

/// Rows of the schema that the kept key describes.
type Kept = Mutex<Option<(u64, Arc<Vec<Row>>)>>;

#[repr(C)]
struct CatalogTable {
    /// SQLite's part; must be first.
    base: ffi::sqlite3_vtab,
    connection: *mut ffi::sqlite3,
    table: &'static Table,
    scope: Scope,
    kept: Kept,
}

// SAFETY: repr(C) with SQLite's structure first, as the trait demands.
unsafe impl<'vtab> VTab<'vtab> for CatalogTable {
    type Aux = (&'static Table, Scope);
    type Cursor = CatalogCursor<'vtab>;

    fn connect(
        db: &mut VTabConnection,
        aux: Option<&Self::Aux>,
        _module: &[u8],
        _database: &[u8],
        _name: &[u8],
        _arguments: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, Self)> {
        let (table, scope) =
            aux.ok_or_else(|| Error::ModuleError("catalog table without a definition".to_owned()))?;
        // a schema that somebody else wrote must not reach the node through a view or trigger
        db.config(VTabConfig::DirectOnly)?;
        let declaration = CString::new(table.declaration())?;
        // SAFETY: SQLite disconnects every table before it closes the connection, so that the handle outlives it.
        let connection = unsafe { db.handle() };
        let kept = Mutex::new(None);
        let base = ffi::sqlite3_vtab::default();
        Ok((declaration.into(), CatalogTable { base, connection, table, scope: scope.clone(), kept }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<bool> {
        info.set_estimated_cost(100.0);
        info.set_estimated_rows(25);
        Ok(true)
    }

    fn open(&'vtab mut self) -> rusqlite::Result<CatalogCursor<'vtab>> {
        Ok(CatalogCursor {
            base: ffi::sqlite3_vtab_cursor::default(),
            rows: Arc::default(),
            at: 0,
            phantom: PhantomData,
        })
    }
}

impl CatalogTable {
    fn rows(&self) -> rusqlite::Result<Arc<Vec<Row>>> {
        let make = match self.table.rows {
            Rows::Empty => return Ok(Arc::default()),
            Rows::Live(make) => return Ok(Arc::new(make(&self.scope))),
            Rows::Schema(make) => make,
        };
        // SAFETY: the handle is valid while the table is connected, this is called by SQLite on the connection's own
        // thread, and the borrowed connection does not close it.
        let connection = unsafe { Connection::from_handle(self.connection) }?;
        let schema = self.scope.schema.current(&connection)?;
        let mut kept = self.kept.lock();
        match &*kept {
            Some((key, rows)) if *key == schema.key => Ok(Arc::clone(rows)),
            _ => {
                let rows = Arc::new(make(&schema, &self.scope));
                *kept = Some((schema.key, Arc::clone(&rows)));
                Ok(rows)
            }
        }
    }
}

#[repr(C)]
struct CatalogCursor<'vtab> {
    /// SQLite's part; must be first.
    base: ffi::sqlite3_vtab_cursor,
    rows: Arc<Vec<Row>>,
    at: usize,
    phantom: PhantomData<&'vtab CatalogTable>,
}

impl CatalogCursor<'_> {
    fn table(&self) -> &CatalogTable {
        // SAFETY: SQLite sets the pointer to the table that opened this cursor, which outlives it; CatalogTable begins
        // with that structure.
        unsafe { &*self.base.pVtab.cast::<CatalogTable>() }
    }
}

// SAFETY: repr(C) with SQLite's structure first, as the trait demands.
unsafe impl VTabCursor for CatalogCursor<'_> {
    fn filter(&mut self, _: c_int, _: Option<&str>, _: &Filters<'_>) -> rusqlite::Result<()> {
        let table = self.table();
        check_table(&table.scope, table.table.name).map_err(|error| failed(&table.scope.session, error))?;
        self.rows = table.rows()?;
        self.at = 0;
        Ok(())
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        self.at += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.at >= self.rows.len()
    }

    fn column(&self, context: &mut Context, column: c_int) -> rusqlite::Result<()> {
        let row = self.rows.get(self.at);
        let cell = usize::try_from(column).ok().and_then(|column| row?.get(column));
        context.set_result(cell.unwrap_or(&Cell::Null).clone())
    }

    fn rowid(&self) -> rusqlite::Result<i64> {
        Ok(i64::try_from(self.at).unwrap_or(i64::MAX))
    }
}

/// Keeps the whole error for the statement loop, and gives SQLite its message.
pub(crate) fn failed(session: &SessionContext, error: SqlError) -> Error {
    let message = error.report().message.clone();
    session.fail(error);
    Error::UserFunctionError(message.into())
}
