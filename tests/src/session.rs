use std::fmt;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// No statement of a test takes longer than this; one that does is a hang.
const STATEMENT_LIMIT: Duration = Duration::from_secs(120);

/// One connection that waits for each answer.
pub struct Session {
    runtime: Runtime,
    client: Client,
}

/// A row of text values, as the simple query protocol gives them.
type TextRow = Vec<Option<String>>;

impl Session {
    /// Connects to `database` at `port` on loopback.
    ///
    /// # Errors
    /// What the server answered, or that there was none.
    pub fn connect(port: u16, database: &str) -> Result<Session, SqlError> {
        let runtime = Builder::new_current_thread().enable_all().build().expect("make a runtime");
        let conninfo = format!(
            "host=127.0.0.1 port={port} user=postgres dbname={database} connect_timeout=10 application_name=walship-test"
        );
        let client = runtime.block_on(async {
            let connecting = tokio_postgres::connect(&conninfo, NoTls);
            let (client, connection) = match tokio::time::timeout(STATEMENT_LIMIT, connecting).await {
                Ok(connected) => connected?,
                Err(_) => return Err(SqlError::hang("connecting")),
            };
            // an error of the connection reaches the client's calls as well
            tokio::spawn(async move {
                let _ = connection.await;
            });
            Ok::<_, SqlError>(client)
        })?;
        Ok(Session { runtime, client })
    }

    /// Runs `sql`, any number of statements, and returns the rows of all of them.
    ///
    /// # Errors
    /// The server's, or that the connection was lost.
    pub fn query(&self, sql: &str) -> Result<Vec<TextRow>, SqlError> {
        let messages = self.wait(sql, self.client.simple_query(sql))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Runs `sql`, which must succeed, and returns its first value as text; empty for
    /// NULL and when there is no row.
    ///
    /// # Panics
    /// With the statement and the error, when it fails.
    pub fn value(&self, sql: &str) -> String {
        let rows = self.query(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()).unwrap_or_default()
    }

    /// Runs `sql`, which must succeed.
    ///
    /// # Panics
    /// With the statement and the error, when it fails.
    pub fn run(&self, sql: &str) {
        self.query(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// Runs `sql`, which must fail, and returns the error.
    ///
    /// # Panics
    /// When it succeeds.
    pub fn error(&self, sql: &str) -> SqlError {
        match self.query(sql) {
            Ok(rows) => panic!("{sql}: succeeded with {rows:?}"),
            Err(error) => error,
        }
    }

    /// The asynchronous client, for what is not text.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for a future of [`Session::client`].
    ///
    /// # Errors
    /// What the future gave, or that it took longer than any statement may.
    pub fn wait<T>(
        &self,
        what: &str,
        future: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, SqlError> {
        self.runtime.block_on(async {
            match tokio::time::timeout(STATEMENT_LIMIT, future).await {
                Ok(result) => result.map_err(SqlError::from),
                Err(_) => Err(SqlError::hang(what)),
            }
        })
    }
}

/// Why a statement or a connection failed.
#[derive(Debug, Clone)]
pub struct SqlError {
    /// SQLSTATE; empty when it was not the server that said no.
    pub code: String,
    /// The message.
    pub message: String,
    /// Further fields, empty when absent.
    pub detail: String,
    /// Advice, empty when absent.
    pub hint: String,
}

impl SqlError {
    fn hang(what: &str) -> SqlError {
        let message = format!("no answer within {STATEMENT_LIMIT:?}: {what}");
        SqlError { code: String::new(), message, detail: String::new(), hint: String::new() }
    }

    /// Whether the connection is gone, so that the outcome of the statement is unknown.
    pub fn is_connection_lost(&self) -> bool {
        self.code.is_empty() || self.code.starts_with("57P")
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> SqlError {
        match error.as_db_error() {
            Some(error) => SqlError {
                code: error.code().code().to_owned(),
                message: error.message().to_owned(),
                detail: error.detail().unwrap_or_default().to_owned(),
                hint: error.hint().unwrap_or_default().to_owned(),
            },
            None => SqlError {
                code: String::new(),
                message: error.to_string(),
                detail: String::new(),
                hint: String::new(),
            },
        }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.message)?;
        for (name, text) in [("DETAIL", &self.detail), ("HINT", &self.hint)] {
            if !text.is_empty() {
                write!(f, "\n{name}: {text}")?;
            }
        }
        Ok(())
    }
}
