use crate::Unit::{Bytes, Kilobytes, Megabytes, Milliseconds, Seconds};
use crate::definition::{Category, Context, Definition};

const LOG: Category = Category("Write-Ahead Log / Settings");
const CHECKPOINTS: Category = Category("Write-Ahead Log / Checkpoints");
const ARCHIVING: Category = Category("Write-Ahead Log / Archiving");
const SQLITE: Category = Category("Resource Usage / SQLite");
const ERRORS: Category = Category("Error Handling");

pub(super) const SETTINGS: &[Definition] = &[
    LOG.one_of("wal_level", "replica", &["replica"])
        .at(Context::Postmaster)
        .about("how much is logged: always all that a follower needs"),
    LOG.one_of("synchronous_commit", "on", &["local", "remote_write", "remote_apply", "on", "off"])
        .about("how far a commit must have come before its client is answered"),
    LOG.bool("fsync", "on").at(Context::Internal).about("whether the log is forced to disk: always"),
    LOG.bool("full_page_writes", "on")
        .at(Context::Internal)
        .about("whether a page is logged in full at its first change after a checkpoint: always"),
    LOG.one_of("wal_sync_method", "fdatasync", &["fdatasync"])
        .at(Context::Internal)
        .about("how the log is forced to disk"),
    LOG.bool("wal_init_zero", "on").at(Context::Internal).about("whether new log segments are filled with zeros: always"),
    LOG.bool("wal_recycle", "on").at(Context::Internal).about("whether old log segments are used again: always"),
    LOG.int("wal_writer_delay", "200ms", 1, 10_000)
        .unit(Milliseconds)
        .at(Context::Sighup)
        .about("the longest that a commit with synchronous_commit = off stays only in memory"),
    LOG.int("wal_hot_tail", "8MB", 65_536, 1 << 30)
        .unit(Bytes)
        .at(Context::Postmaster)
        .about("how much of the log's end is kept in memory for followers that keep up"),
    CHECKPOINTS
        .int("checkpoint_timeout", "5min", 30, 86_400)
        .unit(Seconds)
        .at(Context::Sighup)
        .about("the longest time between automatic checkpoints"),
    CHECKPOINTS
        .real("checkpoint_completion_target", "0.9", 0.0, 1.0)
        .at(Context::Sighup)
        .about("the part of checkpoint_timeout over which a checkpoint that is in no hurry is spread"),
    CHECKPOINTS
        .int("max_wal_size", "1GB", 2, 2_147_483_647)
        .unit(Megabytes)
        .at(Context::Sighup)
        .about("how much log starts a checkpoint"),
    CHECKPOINTS
        .int("min_wal_size", "80MB", 2, 2_147_483_647)
        .unit(Megabytes)
        .at(Context::Sighup)
        .about("how much log is kept to be used again rather than removed"),
    CHECKPOINTS
        .int("checkpoint_warning", "30s", 0, 2_147_483_647)
        .unit(Seconds)
        .at(Context::Sighup)
        .about("warn when checkpoints that the log's size starts come closer together than this; 0 disables"),
    ARCHIVING
        .one_of("archive_mode", "off", &["always", "on", "off"])
        .at(Context::Postmaster)
        .about("whether finished segments are archived; always means on a follower too"),
    ARCHIVING
        .text("archive_command", "")
        .at(Context::Sighup)
        .files_only()
        .about("the shell command that archives a segment"),
    ARCHIVING
        .text("archive_directory", "")
        .at(Context::Sighup)
        .about("the directory to which segments are archived, where no command is given"),
    ARCHIVING
        .int("archive_timeout", "0", 0, 1_073_741_823)
        .unit(Seconds)
        .at(Context::Sighup)
        .about("switch to a new segment at the latest after this time, so that what it holds is archived; 0 disables"),
    SQLITE
        .int("sqlite_cache_size", "512kB", 64, 2_147_483_647)
        .unit(Kilobytes)
        .at(Context::Sighup)
        .about("the page cache of each connection, for those that start from now on"),
    SQLITE
        .int("sqlite_wal_seal_size", "16MB", 1, 65_536)
        .unit(Megabytes)
        .at(Context::Sighup)
        .about("the size of a database's -wal at which it is sealed and restarted"),
    SQLITE
        .int("sqlite_seal_wait", "5s", 0, 600_000)
        .unit(Milliseconds)
        .at(Context::Sighup)
        .about("the longest that a seal holds writers back while it waits for running readers"),
    SQLITE
        .int("capture_cache_size", "16MB", 0, 1_048_576)
        .unit(Kilobytes)
        .at(Context::Sighup)
        .about("memory for the last logged content of pages, against which changes are logged"),
    SQLITE
        .int("checksum_scrub_rate", "4MB", 0, 1_048_576)
        .unit(Kilobytes)
        .at(Context::Sighup)
        .about("how much of the databases is verified against the page hashes in each second; 0 disables"),
    ERRORS.bool("data_sync_retry", "off").at(Context::Internal).about("whether a failed fsync is tried again: never"),
];
