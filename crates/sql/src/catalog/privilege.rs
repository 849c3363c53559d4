use super::table::Scope;
use super::{SessionContext, SqlError};

/// What a function or table of the catalog asks of the role that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needed {
    Superuser,
    Replication,
}

/// Functions that change the node, read its files, or keep its log.
const FUNCTIONS: &[(&str, Needed)] = &[
    ("pg_promote", Needed::Superuser),
    ("walship_unfence", Needed::Superuser),
    ("pg_reload_conf", Needed::Superuser),
    ("pg_rotate_logfile", Needed::Superuser),
    ("pg_switch_wal", Needed::Superuser),
    ("pg_create_restore_point", Needed::Superuser),
    ("pg_wal_replay_pause", Needed::Superuser),
    ("pg_wal_replay_resume", Needed::Superuser),
    ("pg_backup_start", Needed::Superuser),
    ("pg_backup_stop", Needed::Superuser),
    ("pg_read_file", Needed::Superuser),
    ("pg_read_binary_file", Needed::Superuser),
    ("pg_ls_dir", Needed::Superuser),
    ("pg_ls_waldir", Needed::Superuser),
    ("pg_ls_logdir", Needed::Superuser),
    ("pg_stat_file", Needed::Superuser),
    ("pg_stat_reset_shared", Needed::Superuser),
    ("pg_create_physical_replication_slot", Needed::Replication),
    ("pg_drop_replication_slot", Needed::Replication),
    ("pg_replication_slot_advance", Needed::Replication),
    ("pg_copy_physical_replication_slot", Needed::Replication),
];

/// Tables that show secrets, or where files are.
const TABLES: &[&str] = &["pg_authid", "pg_shadow", "pg_hba_file_rules", "pg_file_settings"];

/// 42501 unless the session's role may call a function now.
pub(super) fn check_function(scope: &Scope, name: &str) -> Result<(), SqlError> {
    let Some((_, needed)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else { return Ok(()) };
    let privileges = scope.source.privileges(&scope.session);
    match needed {
        Needed::Superuser if !privileges.superuser => {
            Err(SqlError::new("42501", format!("permission denied for function {name}")))
        }
        Needed::Replication if !privileges.replication => {
            Err(SqlError::new("42501", "must be superuser or replication role to use replication slots"))
        }
        _ => Ok(()),
    }
}

/// 42501 unless the session's role may read a table of the catalog now.
pub(super) fn check_table(scope: &Scope, name: &str) -> Result<(), SqlError> {
    if TABLES.contains(&name) && !scope.source.privileges(&scope.session).superuser {
        return Err(SqlError::new("42501", format!("permission denied for table {name}")));
    }
    Ok(())
}

/// 42501 unless the session's role may end or cancel another's session: its own user's, or
/// anybody's for a superuser.
pub(super) fn check_signal(scope: &Scope, pid: i32, what: &str) -> Result<(), SqlError> {
    let session: &SessionContext = &scope.session;
    if scope.source.privileges(session).superuser {
        return Ok(());
    }
    let target = scope.source.backends().into_iter().find(|backend| backend.pid == pid);
    match target {
        Some(target) if target.user.as_deref() != Some(&session.user) => Err(SqlError::new(
            "42501",
            format!("must be superuser or the same user to {what} another session"),
        )),
        _ => Ok(()),
    }
}
