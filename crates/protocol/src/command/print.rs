use std::fmt;

use super::{BaseBackupOptions, CheckpointMode, Command, CompressionChoice, ManifestMode, SlotKind};

/// Prints the command so that [`Command::parse`] (and a PostgreSQL 15 server) reads it back.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::IdentifySystem => f.write_str("IDENTIFY_SYSTEM"),
            Command::Show { name } => write!(f, "SHOW {name}"),
            Command::ReadReplicationSlot { slot } => write!(f, "READ_REPLICATION_SLOT \"{slot}\""),
            Command::CreateReplicationSlot { slot, temporary, kind, reserve_wal } => {
                write!(f, "CREATE_REPLICATION_SLOT \"{slot}\"")?;
                if *temporary {
                    f.write_str(" TEMPORARY")?;
                }
                match kind {
                    SlotKind::Physical => f.write_str(" PHYSICAL")?,
                    SlotKind::Logical { plugin } => {
                        let plugin = plugin.replace('"', "\"\"");
                        write!(f, " LOGICAL \"{plugin}\"")?;
                    }
                }
                if *reserve_wal { f.write_str(" (RESERVE_WAL)") } else { Ok(()) }
            }
            Command::DropReplicationSlot { slot, wait } => {
                write!(f, "DROP_REPLICATION_SLOT \"{slot}\"{}", if *wait { " WAIT" } else { "" })
            }
            Command::StartReplication { slot, start, timeline } => {
                f.write_str("START_REPLICATION")?;
                if let Some(slot) = slot {
                    write!(f, " SLOT \"{slot}\"")?;
                }
                write!(f, " {start}")?;
                timeline.map_or(Ok(()), |timeline| write!(f, " TIMELINE {timeline}"))
            }
            Command::StartLogicalReplication { slot } => {
                write!(f, "START_REPLICATION SLOT \"{slot}\" LOGICAL 0/0")
            }
            Command::TimelineHistory { timeline } => write!(f, "TIMELINE_HISTORY {timeline}"),
            Command::BaseBackup(options) => print_base_backup(options, f),
            Command::Fence { system_id, timeline, history, node } => {
                let (history, node) = (quoted(history), quoted(node));
                write!(
                    f,
                    "WALSHIP_FENCE SYSTEM '{system_id}' TIMELINE {timeline} HISTORY {history} NODE {node}"
                )
            }
            Command::Switchover { to, catch_up_ms, hold_ms } => {
                write!(f, "WALSHIP_SWITCHOVER TO {} CATCH_UP {catch_up_ms} HOLD {hold_ms}", quoted(to))
            }
            Command::Pledge { timeline, for_ms } => {
                write!(f, "WALSHIP_PLEDGE TIMELINE {timeline} FOR {for_ms}")
            }
            Command::TakeOver { end, timeline } => write!(f, "WALSHIP_TAKE_OVER {end} TIMELINE {timeline}"),
            Command::ImportDatabase { name } => write!(f, "WALSHIP_IMPORT_DATABASE \"{name}\""),
            Command::ReadPages { keep_from } => write!(f, "WALSHIP_READ_PAGES {keep_from}"),
            Command::ExportDatabase { name } => write!(f, "WALSHIP_EXPORT_DATABASE \"{name}\""),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn print_base_backup(options: &BaseBackupOptions, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut list = vec![format!("LABEL {}", quoted(&options.label))];
    let mut when = |wanted: bool, text: &str| {
        if wanted {
            list.push(text.to_owned());
        }
    };
    when(options.progress, "PROGRESS");
    when(options.wal, "WAL");
    when(options.checkpoint == CheckpointMode::Fast, "CHECKPOINT 'fast'");
    when(!options.wait, "WAIT 0");
    when(options.tablespace_map, "TABLESPACE_MAP");
    when(!options.verify_checksums, "VERIFY_CHECKSUMS 0");
    when(options.manifest == ManifestMode::Yes, "MANIFEST 'yes'");
    when(options.manifest == ManifestMode::ForceEncode, "MANIFEST 'force-encode'");
    if let Some(rate) = options.max_rate_kib {
        list.push(format!("MAX_RATE {rate}"));
    }
    if options.manifest != ManifestMode::No {
        list.push(format!("MANIFEST_CHECKSUMS '{}'", options.manifest_checksums));
    }
    if let CompressionChoice::Server { method, detail } = &options.compression {
        list.push(format!("COMPRESSION {}", quoted(method)));
        if let Some(detail) = detail {
            list.push(format!("COMPRESSION_DETAIL {}", quoted(detail)));
        }
    }
    write!(f, "BASE_BACKUP ({})", list.join(", "))
}
