use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use walship_client::{Connection, Purpose, QueryResult};
use walship_protocol::{Command as ReplicationCommand, SlotKind, SlotName};

use crate::connection::{ConnectionOptions, block_on};
use crate::failure::Failure;
use crate::table::Table;

/// Columns of `pg_replication_slots` that mean something for physical slots.
const COLUMNS: [&str; 6] =
    ["slot_name", "temporary", "active_pid", "restart_lsn", "wal_status", "safe_wal_size"];

/// Create, drop or list replication slots of a running node
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a permanent physical slot, which keeps the log from the last checkpoint on
    Create {
        /// Its name: 1 to 63 of a-z 0-9 _
        name: SlotName,

        /// Succeed if there is one already
        #[arg(long)]
        if_not_exists: bool,

        /// Keep the log only from the slot's first use on
        #[arg(long)]
        no_reserve: bool,

        #[command(flatten)]
        connection: ConnectionOptions,
    },
    /// Drop a slot: its follower may miss log from now on
    Drop {
        /// Its name
        name: SlotName,

        /// Wait until nobody uses it
        #[arg(long)]
        wait: bool,

        #[command(flatten)]
        connection: ConnectionOptions,
    },
    /// List slots
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        connection: ConnectionOptions,
    },
}

/// Does what the arguments say.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(act(&arguments.action))
}

async fn act(action: &Action) -> Result<(), Failure> {
    match action {
        Action::Create { name, if_not_exists, no_reserve, connection } => {
            let command = ReplicationCommand::CreateReplicationSlot {
                slot: name.clone(),
                temporary: false,
                kind: SlotKind::Physical,
                reserve_wal: !no_reserve,
            };
            let mut connection = connection.connect(Purpose::Replication).await?;
            match connection.query(&command.to_string()).await {
                Err(error) if *if_not_exists && error.sqlstate() == Some("42710") => {}
                other => drop(other?),
            }
            connection.close().await;
        }
        Action::Drop { name, wait, connection } => {
            let command = ReplicationCommand::DropReplicationSlot { slot: name.clone(), wait: *wait };
            let mut connection = connection.connect(Purpose::Replication).await?;
            connection.query(&command.to_string()).await?;
            connection.close().await;
        }
        Action::List { json, connection } => {
            let mut connection = connection.connect(Purpose::Sql).await?;
            let rows = slots(&mut connection).await?;
            connection.close().await;
            if *json { println!("{:#}", json!({ "slots": rows })) } else { print!("{}", table(&rows)) }
        }
    }
    Ok(())
}

/// The slots, a JSON object for each.
pub(crate) async fn slots(connection: &mut Connection) -> Result<Vec<Value>, Failure> {
    let query = format!("SELECT {} FROM pg_replication_slots ORDER BY slot_name", COLUMNS.join(", "));
    Ok(objects(&connection.query(&query).await?))
}

/// Rows of the last result as JSON objects of texts.
pub(crate) fn objects(results: &[QueryResult]) -> Vec<Value> {
    let Some(result) = results.last() else { return Vec::new() };
    let value = |value: &Option<bytes::Bytes>| match value {
        Some(bytes) => Value::String(String::from_utf8_lossy(bytes).into_owned()),
        None => Value::Null,
    };
    let object = |row: &Vec<Option<bytes::Bytes>>| {
        let pairs = result.columns.iter().zip(row);
        Value::Object(pairs.map(|(column, cell)| (column.name.clone(), value(cell))).collect::<Map<_, _>>())
    };
    result.rows.iter().map(object).collect()
}

/// The slots for people.
pub(crate) fn table(rows: &[Value]) -> Table {
    let mut table = Table::new(&COLUMNS);
    for row in rows {
        table.row(COLUMNS.map(|column| row.get(column).and_then(Value::as_str).unwrap_or("").to_owned()));
    }
    table
}
