use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::types::Value;
use walship_settings::{SessionIdentity, SessionSettings, Settings, SharedSettings};
use walship_sql::catalog::memory::MemorySource;
use walship_sql::catalog::{self, SessionContext, SqlError};

/// A connection with the catalog of a made-up node.
pub(crate) struct Session {
    /// The connection.
    pub(crate) connection: Connection,
    /// The node.
    pub(crate) source: Arc<MemorySource>,
    context: Arc<SessionContext>,
}

/// Two tables that refer to one another, with an index, a view and a trigger.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE parent(id bigint primary key, name text not null unique, v real default 1.5);
    CREATE TABLE child(id integer primary key, parent_id bigint references parent(id) on delete cascade, b boolean,
                       CHECK (id > 0));
    CREATE INDEX child_p ON child(parent_id);
    CREATE VIEW vv AS SELECT name FROM parent;
    CREATE TRIGGER tr AFTER INSERT ON child BEGIN SELECT 1; END;";

impl Session {
    /// A session on a database with that schema.
    pub(crate) fn new(schema: &str) -> Session {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(schema).unwrap();
        let shared = Arc::new(SharedSettings::new(Settings::defaults()));
        let identity = SessionIdentity { user: "postgres".to_owned(), superuser: true };
        let settings = Arc::new(Mutex::new(SessionSettings::new(shared, identity)));
        let context = Arc::new(SessionContext::new(42, "postgres", settings, None));
        let source = Arc::new(MemorySource::default());
        catalog::install(&connection, source.clone(), context.clone()).unwrap();
        Session { connection, source, context }
    }

    /// Rows as psql prints them unaligned, after the rewriting that the statement loop does.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        self.try_rows(sql).unwrap_or_else(|error| panic!("{sql}\n{error:?}"))
    }

    /// As [`Session::rows`], with the error that a client would get.
    pub(crate) fn try_rows(&self, sql: &str) -> Result<Vec<String>, SqlError> {
        let rewritten = catalog::rewrite(sql)?;
        let sql = rewritten.as_ref().map_or(sql, |query| query.sql.as_str());
        let plain = |error: rusqlite::Error| {
            self.context.take_failure().unwrap_or_else(|| SqlError::new("XX000", format!("{error}: {sql}")))
        };
        let mut statement = self.connection.prepare(sql).map_err(plain)?;
        let kinds: Vec<Option<String>> =
            statement.columns().map(|column| column.decl_type().map(str::to_owned)).collect();
        let print = |(value, kind): (Value, &Option<String>)| match (value, kind.as_deref()) {
            (Value::Null, _) => String::new(),
            (Value::Integer(flag), Some("bool")) => if flag == 0 { "f" } else { "t" }.to_owned(),
            (Value::Integer(number), _) => number.to_string(),
            (Value::Real(number), _) => number.to_string(),
            (Value::Text(text), _) => text,
            (Value::Blob(bytes), _) => format!("{bytes:?}"),
        };
        let rows = statement.query_map([], |row| {
            let values =
                (0..kinds.len()).map(|at| row.get::<_, Value>(at)).collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(values.into_iter().zip(&kinds).map(print).collect::<Vec<_>>().join("|"))
        });
        rows.map_err(plain)?.collect::<rusqlite::Result<_>>().map_err(plain)
    }
}
