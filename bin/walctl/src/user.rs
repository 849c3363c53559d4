use std::io::{IsTerminal as _, Read as _};

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use walship_auth::Verifier;
use walship_client::{Connection, Purpose};

use crate::connection::{ConnectionOptions, block_on};
use crate::failure::Failure;
use crate::slot::objects;
use crate::table::Table;

/// Longest password that is taken from standard input, in bytes.
const PASSWORD_BYTES_MAX: u64 = 64 * 1024;

/// Add, remove or list users of a running leader, and set their passwords
///
/// A password is asked for at a terminal, else it is the first line of standard input. It
/// never leaves this program: the server is given its SCRAM-SHA-256 verifier.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user, who may log in with a password
    Add(Add),
    /// Remove a user
    Remove {
        /// Name of the user
        name: String,

        /// Succeed if there is none
        #[arg(long)]
        if_exists: bool,

        #[command(flatten)]
        connection: ConnectionOptions,
    },
    /// Give a user a new password
    Passwd {
        /// Name of the user
        name: String,

        #[command(flatten)]
        connection: ConnectionOptions,
    },
    /// List users and what they may do
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        connection: ConnectionOptions,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
struct Add {
    /// Name of the user
    name: String,

    /// May read
    #[arg(long, group = "what", conflicts_with = "read_write")]
    read_only: bool,

    /// May read and write
    #[arg(long, group = "what")]
    read_write: bool,

    /// May replicate: take base backups and stream the log of the whole cluster
    #[arg(long, group = "what")]
    replication: bool,

    /// May do everything
    #[arg(long, group = "what")]
    superuser: bool,

    /// Database that --read-only and --read-write are about; can be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    database: Vec<String>,

    /// When the password stops being good (2030-01-01, 2030-01-01 12:00:00+00)
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,

    /// How many sessions the user may have at once
    #[arg(long, value_name = "NUMBER")]
    connection_limit: Option<u32>,

    /// Give no password: who is let in without one is then up to pg_hba.conf
    #[arg(long)]
    no_password: bool,

    #[command(flatten)]
    connection: ConnectionOptions,
}

/// Does what the arguments say.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.action {
        Action::Add(add) => {
            let statements = add.statements()?;
            block_on(add_user(add, &statements))
        }
        Action::Remove { name, if_exists, connection } => {
            let exists = if *if_exists { "IF EXISTS " } else { "" };
            block_on(execute(connection, &format!("DROP ROLE {exists}{}", identifier(name))))
        }
        Action::Passwd { name, connection } => {
            let password = password(name)?;
            block_on(execute(connection, &format!("ALTER ROLE {} PASSWORD {password}", identifier(name))))
        }
        Action::List { json, connection } => block_on(list(connection, *json)),
    }
}

impl Add {
    /// CREATE ROLE, then its grants.
    fn statements(&self) -> Result<Vec<String>, Failure> {
        let name = identifier(&self.name);
        if !(self.database.is_empty() || self.read_only || self.read_write) {
            return Err(Failure::usage("--database needs --read-only or --read-write"));
        }
        let mut create = format!("CREATE ROLE {name} LOGIN");
        for (given, word) in [(self.superuser, " SUPERUSER"), (self.replication, " REPLICATION")] {
            create.push_str(if given { word } else { "" });
        }
        if let Some(limit) = self.connection_limit {
            create.push_str(&format!(" CONNECTION LIMIT {limit}"));
        }
        if let Some(until) = &self.valid_until {
            create.push_str(&format!(" VALID UNTIL {}", literal(until)));
        }
        let grants = match (self.read_only, self.read_write) {
            (true, _) => ("pg_read_all_data", "CONNECT"),
            (_, true) => ("pg_write_all_data", "ALL"),
            _ => ("", ""),
        };
        let mut statements = Vec::new();
        match (grants, self.database.as_slice()) {
            (("", _), _) => {}
            ((everywhere, _), []) => create.push_str(&format!(" IN ROLE {everywhere}")),
            ((_, privilege), databases) => {
                for database in databases {
                    let database = identifier(database);
                    statements.push(format!("GRANT {privilege} ON DATABASE {database} TO {name}"));
                }
            }
        }
        if !self.no_password {
            create.push_str(&format!(" PASSWORD {}", password(&self.name)?));
        }
        statements.insert(0, create);
        Ok(statements)
    }
}

async fn add_user(add: &Add, statements: &[String]) -> Result<(), Failure> {
    let mut connection = add.connection.connect(Purpose::Sql).await?;
    let mut created = false;
    for statement in statements {
        let done = connection.query(statement).await;
        if let Err(error) = done {
            if created {
                // all or nothing; what went wrong before is what matters
                let _ = connection.query(&format!("DROP ROLE {}", identifier(&add.name))).await;
            }
            return Err(error.into());
        }
        created = true;
    }
    connection.close().await;
    Ok(())
}

async fn execute(connection: &ConnectionOptions, statement: &str) -> Result<(), Failure> {
    let mut connection = connection.connect(Purpose::Sql).await?;
    connection.query(statement).await?;
    connection.close().await;
    Ok(())
}

async fn list(connection: &ConnectionOptions, as_json: bool) -> Result<(), Failure> {
    let mut connection = connection.connect(Purpose::Sql).await?;
    let rows = users(&mut connection).await?;
    connection.close().await;
    if as_json {
        println!("{:#}", json!({ "users": rows }));
        return Ok(());
    }
    let mut table = Table::new(&["name", "attributes", "may read", "may write", "valid_until"]);
    for row in &rows {
        let texts = |key: &str| match row.get(key) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        table.row(["name", "attributes", "read", "write", "valid_until"].map(texts));
    }
    print!("{table}");
    Ok(())
}

/// One object for each user; `*` stands for every database.
async fn users(connection: &mut Connection) -> Result<Vec<Value>, Failure> {
    let roles = "SELECT rolname, rolsuper, rolreplication, rolcreatedb, rolcreaterole, rolcanlogin, rolvaliduntil \
                 FROM pg_roles ORDER BY rolname";
    let roles = objects(&connection.query(roles).await?);
    let privileges =
        "SELECT rolname, coalesce(datname, '*') AS datname, privilege FROM walship_role_privileges";
    let privileges = objects(&connection.query(privileges).await?);
    let user = |role: &Value| {
        let has = |column: &str| role.get(column).and_then(Value::as_str) == Some("t");
        let attributes: Vec<&str> = [
            ("rolsuper", "superuser"),
            ("rolreplication", "replication"),
            ("rolcreatedb", "createdb"),
            ("rolcreaterole", "createrole"),
            ("rolcanlogin", "login"),
        ]
        .into_iter()
        .filter(|(column, _)| has(column))
        .map(|(_, word)| word)
        .collect();
        let databases = |privilege: &str| -> Vec<&Value> {
            let own = privileges.iter().filter(|row| row.get("rolname") == role.get("rolname"));
            let own = own.filter(|row| row.get("privilege").and_then(Value::as_str) == Some(privilege));
            own.filter_map(|row| row.get("datname")).collect()
        };
        json!({
            "name": role.get("rolname"),
            "attributes": attributes,
            "read": databases("read"),
            "write": databases("write"),
            "valid_until": role.get("rolvaliduntil"),
        })
    };
    Ok(roles.iter().map(user).collect())
}

/// The verifier of a password that was asked for, as an SQL string.
fn password(name: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("could not read the password: {error}"));
    let text = if std::io::stdin().is_terminal() {
        let first = rpassword::prompt_password(format!("Enter new password for user \"{name}\": "))
            .map_err(failed)?;
        let again = rpassword::prompt_password("Enter it again: ").map_err(failed)?;
        if first != again {
            return Err(Failure::new("passwords did not match"));
        }
        first
    } else {
        let mut text = String::new();
        std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        text.split(['\n', '\r']).next().unwrap_or_default().to_owned()
    };
    if text.is_empty() {
        return Err(
            Failure::new("the password is empty").hint("write it to standard input, or say --no-password")
        );
    }
    let verifier = Verifier::new(&text).map_err(Failure::new)?;
    Ok(literal(&verifier.to_string()))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
    }
}
