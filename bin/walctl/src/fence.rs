use clap::Args;
use walship_client::{Connection, Purpose};
use walship_protocol::Command;

use crate::connection::{ConnectionOptions, block_on, connect, server};
use crate::failure::Failure;

/// Make an old leader take no writes any more, by showing it who leads now
///
/// It believes nothing but a proof: a node of the same cluster on a newer timeline that left
/// the old leader's own. It stays fenced across restarts, until it follows the new leader or
/// walctl unfence is given.
#[derive(Debug, Args)]
pub(crate) struct FenceArguments {
    /// A node on the newer timeline: a connection string, HOST or HOST:PORT
    #[arg(long, value_name = "CONNINFO")]
    by: String,

    #[command(flatten)]
    connection: ConnectionOptions,
}

/// Let a leader that was fenced by mistake take writes again
///
/// It ignores from then on the timeline that it was fenced for: make sure that nobody leads
/// that one any more.
#[derive(Debug, Args)]
pub(crate) struct UnfenceArguments {
    #[command(flatten)]
    connection: ConnectionOptions,
}

/// Carries the proof from one node to the other.
pub(crate) fn fence(arguments: &FenceArguments) -> Result<(), Failure> {
    let by = server(&arguments.by)?;
    block_on(async {
        let mut newer = connect(&by, Purpose::Replication).await?;
        let proof = proof(&mut newer).await?;
        newer.close().await;
        let mut old = arguments.connection.connect(Purpose::Replication).await?;
        let results = old.query(&proof.to_string()).await?;
        let host = old.host().to_string();
        old.close().await;
        let row = results.first();
        let field = |name| row.and_then(|row| row.text(name)).unwrap_or_default();
        println!("fenced: {host} takes no writes any more");
        println!("timeline {} left its own at {}", field("timeline"), field("switch_lsn"));
        Ok(())
    })
}

async fn proof(newer: &mut Connection) -> Result<Command, Failure> {
    let host = newer.host().to_string();
    let system = newer.query("IDENTIFY_SYSTEM").await?;
    let field = |name: &str| system.first().and_then(|row| row.text(name));
    let unreadable = || Failure::new(format!("the answer of \"{host}\" to IDENTIFY_SYSTEM cannot be read"));
    let system_id = field("systemid").and_then(|text| text.parse().ok()).ok_or_else(unreadable)?;
    let timeline = field("timeline").and_then(|text| text.parse().ok()).map(walship_types::TimelineId);
    let timeline = timeline.ok_or_else(unreadable)?;
    if timeline == walship_types::TimelineId::FIRST {
        return Err(Failure::new(format!(
            "the server at \"{host}\" is on timeline 1, which replaces nothing"
        )));
    }
    let answer = newer.query(&Command::TimelineHistory { timeline }.to_string()).await?;
    let history = answer.first().and_then(|row| row.text("content")).ok_or_else(unreadable)?;
    let follows = newer.parameter("in_hot_standby") == Some("on");
    let node = if follows { format!("followed by \"{host}\"") } else { format!("\"{host}\"") };
    Ok(Command::Fence { system_id, timeline, history: history.to_owned(), node })
}

/// Takes a fence back.
pub(crate) fn unfence(arguments: &UnfenceArguments) -> Result<(), Failure> {
    block_on(async {
        let mut connection = arguments.connection.connect(Purpose::Sql).await?;
        let results = connection.query("SELECT walship_unfence() AS unfenced").await?;
        let was_fenced = results.first().and_then(|row| row.text("unfenced")) == Some("t");
        let host = connection.host().to_string();
        connection.close().await;
        if !was_fenced {
            return Err(Failure::new(format!("the server at \"{host}\" is not fenced")));
        }
        println!("unfenced: {host} takes writes again");
        Ok(())
    })
}
