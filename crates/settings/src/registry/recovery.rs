use crate::definition::{Category, Context, Definition, TextRule};

const ARCHIVE: Category = Category("Write-Ahead Log / Archive Recovery");
const TARGET: Category = Category("Write-Ahead Log / Recovery Target");

pub(super) const SETTINGS: &[Definition] = &[
    ARCHIVE
        .text("restore_command", "")
        .at(Context::Sighup)
        .files_only()
        .about("the shell command that fetches a segment from the archive"),
    ARCHIVE
        .text("restore_directory", "")
        .at(Context::Sighup)
        .about("the directory from which archived segments are fetched, where no command is given"),
    ARCHIVE
        .text("archive_cleanup_command", "")
        .at(Context::Sighup)
        .files_only()
        .about("the shell command that is run at every restartpoint"),
    ARCHIVE
        .text("recovery_end_command", "")
        .at(Context::Sighup)
        .files_only()
        .about("the shell command that is run once at the end of recovery"),
    TARGET
        .one_of("recovery_target", "", &["", "immediate"])
        .at(Context::Postmaster)
        .about("immediate ends recovery as soon as the databases are consistent"),
    TARGET
        .text("recovery_target_name", "")
        .at(Context::Postmaster)
        .about("the restore point at which recovery ends"),
    TARGET
        .text("recovery_target_time", "")
        .at(Context::Postmaster)
        .about("the time up to which commits are recovered"),
    TARGET
        .text("recovery_target_lsn", "")
        .rule(TextRule::Lsn)
        .at(Context::Postmaster)
        .about("the log position up to which recovery goes"),
    TARGET
        .bool("recovery_target_inclusive", "on")
        .at(Context::Postmaster)
        .about("whether the commit at the target itself is recovered"),
    TARGET
        .text("recovery_target_timeline", "latest")
        .rule(TextRule::Timeline)
        .at(Context::Postmaster)
        .about("the timeline that recovery follows"),
    TARGET
        .one_of("recovery_target_action", "pause", &["pause", "promote", "shutdown"])
        .at(Context::Postmaster)
        .about("what happens when the target is reached"),
];
