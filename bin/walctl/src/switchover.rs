use clap::Args;
use serde_json::json;
use walship_client::Purpose;
use walship_protocol::Command;

use crate::connection::{block_on, connect, conninfo_of, server};
use crate::failure::Failure;

const MILLISECONDS: u64 = 1000;

/// Hand the leadership over from one running node to another, without losing a commit
///
/// The leader waits until the follower has nearly everything, holds its writers up, waits
/// until the follower has the rest, and lets it lead; then it follows, in the same process.
/// Writers that wait are then told to connect again (57P01), which clients with several hosts
/// and target_session_attrs=read-write do by themselves. If anything goes wrong before the
/// follower was asked to lead, the leader goes on and nothing has changed.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The leader: a connection string, HOST or HOST:PORT
    #[arg(long, value_name = "CONNINFO")]
    from: String,

    /// The follower that is to lead: how the leader reaches it, and follows it from then on
    #[arg(long, value_name = "CONNINFO")]
    to: String,

    /// How long to wait until the follower has caught up, while writes go on
    #[arg(short, long, value_name = "SECONDS", default_value = "60")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,

    /// How long writers may be held up, with transactions that are under way
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    hold: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Hands over, and says what came of it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (from, to) = (server(&arguments.from)?, conninfo_of(&arguments.to)?);
    let command = Command::Switchover {
        to,
        catch_up_ms: u64::from(arguments.timeout) * MILLISECONDS,
        hold_ms: u64::from(arguments.hold) * MILLISECONDS,
    };
    let row = block_on(async {
        let mut connection = connect(&from, Purpose::Replication).await?;
        let results = connection.query(&command.to_string()).await?;
        connection.close().await;
        Ok(results.into_iter().next().unwrap_or_default())
    })?;
    let field = |name| row.text(name).unwrap_or_default();
    let number = |name| field(name).parse::<u64>().unwrap_or_default();
    if arguments.json {
        let shown = json!({
            "leader": arguments.to,
            "follower": arguments.from,
            "timeline": number("timeline"),
            "switch_lsn": field("switch_lsn"),
            "writers_held_milliseconds": number("held_ms"),
        });
        println!("{shown:#}");
    } else {
        println!("switched over: timeline {} begins at {}", field("timeline"), field("switch_lsn"));
        println!("writers were held up for {} ms", number("held_ms"));
    }
    Ok(())
}
