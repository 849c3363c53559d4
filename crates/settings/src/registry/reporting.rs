use crate::Unit::{Bytes, Kilobytes, Milliseconds, Minutes};
use crate::definition::{Category, Context, Definition, TextRule};

const WHERE: Category = Category("Reporting and Logging / Where to Log");
const WHEN: Category = Category("Reporting and Logging / When to Log");
const WHAT: Category = Category("Reporting and Logging / What to Log");
const MONITORING: Category = Category("Reporting and Logging / Monitoring");
const STATISTICS: Category = Category("Statistics / Cumulative Query and Index Statistics");

const SERVER_LEVELS: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "info", "notice", "warning", "error", "log", "fatal",
    "panic",
];

pub(super) const SETTINGS: &[Definition] = &[
    WHERE
        .one_of("log_destination", "stderr", &["stderr", "jsonlog", "journal"])
        .at(Context::Postmaster)
        .about("the form of log lines: text, one JSON object each, or entries of systemd's journal with priority and fields"),
    WHERE.bool("logging_collector", "off")
        .at(Context::Postmaster)
        .about("whether log lines go to files in log_directory, in place of standard error"),
    WHERE.text("log_directory", "log")
        .at(Context::Postmaster)
        .about("where the files are; a relative path is below the data directory"),
    WHERE.text("log_filename", "walship-%Y-%m-%d_%H%M%S.log")
        .at(Context::Postmaster)
        .about("the name of the files, with conversions as strftime has them, in UTC"),
    WHERE.int("log_rotation_age", "1d", 0, 35_791_394)
        .unit(Minutes)
        .at(Context::Postmaster)
        .about("how long a file is written, in whole multiples since 1970; 0 for no limit"),
    WHERE.int("log_rotation_size", "10MB", 0, 2_097_151)
        .unit(Kilobytes)
        .at(Context::Postmaster)
        .about("how large a file becomes; 0 for no limit"),
    WHERE.bool("log_truncate_on_rotation", "off")
        .at(Context::Postmaster)
        .about("whether a file whose name comes again with time is emptied: walship-%a.log keeps a week"),
    WHEN.one_of("log_min_messages", "warning", SERVER_LEVELS)
        .at(Context::Superuser)
        .about("the least important messages that are logged; log lines of events count as more important than error"),
    WHEN.text("log_module_levels", "")
        .rule(TextRule::ModuleLevels)
        .at(Context::Sighup)
        .about("levels of parts of the server in place of log_min_messages, as in replication=debug1, wal=debug3: of access, archive, basebackup, client, engine, listen, monitoring, node, replication, restore, run, sql, wal"),
    WHEN.one_of("log_min_error_statement", "error", SERVER_LEVELS)
        .at(Context::Superuser)
        .about("log the statements that cause messages of this importance or above"),
    WHEN.int("log_min_duration_statement", "-1", -1, 2_147_483_647)
        .unit(Milliseconds)
        .at(Context::Superuser)
        .about("log statements that take at least this long; 0 for all, -1 for none"),
    WHAT.one_of("log_statement", "none", &["none", "ddl", "mod", "all"])
        .at(Context::Superuser)
        .about("which statements are logged"),
    WHAT.bool("log_connections", "off").at(Context::Sighup).about("whether each new connection is logged"),
    WHAT.bool("log_disconnections", "off").at(Context::Sighup).about("whether the end of each session is logged"),
    WHAT.bool("log_checkpoints", "on").at(Context::Sighup).about("whether each checkpoint is logged"),
    WHAT.bool("log_replication_commands", "off")
        .at(Context::Superuser)
        .about("whether each replication command is logged"),
    WHAT.text("application_name", "")
        .rule(TextRule::Ascii)
        .about("the name by which the application is known in views and logs"),
    MONITORING
        .text("metrics_listen", "")
        .at(Context::Postmaster)
        .about("the addresses, each with a port, on which metrics, health and a page are served over HTTP, separated by commas; empty for none"),
    STATISTICS
        .bool("track_activities", "on")
        .at(Context::Superuser)
        .about("whether the running statement of each session is shown in pg_stat_activity"),
    STATISTICS
        .int("track_activity_query_size", "1kB", 100, 1_048_576)
        .unit(Bytes)
        .at(Context::Postmaster)
        .about("how much of a statement pg_stat_activity shows"),
];
