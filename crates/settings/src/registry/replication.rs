use crate::Unit::{Megabytes, Milliseconds, Seconds};
use crate::definition::{Category, Context, Definition, TextRule};

const SENDING: Category = Category("Replication / Sending Servers");
const PRIMARY: Category = Category("Replication / Primary Server");
const STANDBY: Category = Category("Replication / Standby Servers");
const FAILOVER: Category = Category("Replication / Failover");

pub(super) const SETTINGS: &[Definition] = &[
    SENDING
        .int("max_wal_senders", "10", 0, 262_143)
        .at(Context::Postmaster)
        .about("the most replication connections at the same time"),
    SENDING
        .int("max_replication_slots", "10", 0, 262_143)
        .at(Context::Postmaster)
        .about("the most replication slots"),
    SENDING
        .int("wal_keep_size", "0", 0, 2_147_483_647)
        .unit(Megabytes)
        .at(Context::Sighup)
        .about("how much log is kept for followers that have no slot"),
    SENDING
        .int("max_slot_wal_keep_size", "10GB", -1, 2_147_483_647)
        .unit(Megabytes)
        .at(Context::Sighup)
        .about("the most log that slots hold back; a slot that would need more is lost; -1 for no limit"),
    SENDING.int("base_backup_yield", "3", 0, 100).at(Context::Sighup).about(
        "how many times as long as it works a base backup pauses, piece by piece, while transactions commit; 0 for never",
    ),
    SENDING
        .int("wal_sender_timeout", "1min", 0, 2_147_483_647)
        .unit(Milliseconds)
        .about("the longest that a follower may be silent before its connection is given up; 0 disables"),
    PRIMARY
        .text("synchronous_standby_names", "")
        .rule(TextRule::StandbyNames)
        .at(Context::Sighup)
        .about("which followers, and how many of them, a commit waits for"),
    STANDBY
        .text("primary_conninfo", "")
        .at(Context::Sighup)
        .about("the connection string to the leader; several hosts are tried in turn"),
    STANDBY
        .text("primary_slot_name", "")
        .rule(TextRule::SlotName)
        .at(Context::Sighup)
        .about("the replication slot to use on the leader"),
    STANDBY.text("cluster_name", "").rule(TextRule::Ascii).at(Context::Postmaster).about(
        "this node's name: what a follower calls itself unless primary_conninfo has an application_name",
    ),
    STANDBY.text("promote_trigger_file", "").at(Context::Sighup).about(
        "the file whose appearance promotes a follower, besides the file promote in the data directory",
    ),
    STANDBY.bool("hot_standby", "on").at(Context::Postmaster).about("whether a follower answers reads"),
    STANDBY.bool("hot_standby_feedback", "off").at(Context::Sighup).about(
        "whether a follower tells the leader about its readers; it changes nothing: replay never blocks them",
    ),
    STANDBY
        .int("wal_receiver_status_interval", "10s", 0, 2_147_483)
        .unit(Seconds)
        .at(Context::Sighup)
        .about("the longest time between a follower's reports of its positions; 0 for only when asked"),
    STANDBY
        .int("wal_receiver_timeout", "1min", 0, 2_147_483_647)
        .unit(Milliseconds)
        .at(Context::Sighup)
        .about("the longest that the leader may be silent before the connection is given up; 0 disables"),
    STANDBY
        .int("wal_retrieve_retry_interval", "5s", 1, 2_147_483_647)
        .unit(Milliseconds)
        .at(Context::Sighup)
        .about("the longest time between attempts to reach the leader; the first ones come sooner"),
    STANDBY
        .int("recovery_min_apply_delay", "0", 0, 2_147_483_647)
        .unit(Milliseconds)
        .at(Context::Sighup)
        .about("how much later than on the leader a commit is applied"),
    FAILOVER
        .int("promote_sequence_gap", "1000", 0, 1_000_000_000)
        .at(Context::Sighup)
        .about("how far AUTOINCREMENT sequences jump ahead at an unplanned promotion"),
    FAILOVER.text("peers", "").at(Context::Sighup).about(
        "connection strings of the cluster's other nodes, separated by semicolons, asked for newer timelines",
    ),
    FAILOVER
        .int("peers_check_interval", "10s", 0, 2_147_483_647)
        .unit(Milliseconds)
        .at(Context::Sighup)
        .about("how often a leader asks its peers for a newer timeline; 0 disables"),
    FAILOVER.text("failover_command", "").at(Context::Sighup).files_only().about(
        "the shell command that a follower runs once when its leader has been silent for failover_timeout",
    ),
    FAILOVER
        .int("failover_timeout", "0", 0, 2_147_483_647)
        .unit(Milliseconds)
        .at(Context::Sighup)
        .about("how long the leader is silent before failover_command is run; 0 disables"),
];
