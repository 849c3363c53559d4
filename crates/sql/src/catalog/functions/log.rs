use Nature::{Acts, Pure, Reads};
use walship_types::{Lsn, TimelineId, segment_file_name};

use super::{Nature, function, not_in_recovery, only_in_recovery};
use crate::catalog::cell::Cell;
use crate::catalog::function::{Call, Function};
use crate::catalog::types::{BOOL, PG_LSN, TEXT, TIMESTAMPTZ, VOID};
use crate::catalog::{Positions, ReplayPause, SqlError};

pub(super) static FUNCTIONS: &[Function] = &[
    function("pg_is_in_recovery", 0, &BOOL, Reads, |call| Ok(call.scope.source.in_recovery().into())),
    function("pg_current_wal_lsn", 0, &PG_LSN, Reads, |call| Ok(leader(call)?.write.into())),
    function("pg_current_wal_insert_lsn", 0, &PG_LSN, Reads, |call| Ok(leader(call)?.insert.into())),
    function("pg_current_wal_flush_lsn", 0, &PG_LSN, Reads, |call| Ok(leader(call)?.flush.into())),
    function("pg_last_wal_receive_lsn", 0, &PG_LSN, Reads, |call| {
        Ok(call.scope.source.positions().receive.into())
    }),
    function("pg_last_wal_replay_lsn", 0, &PG_LSN, Reads, |call| {
        Ok(call.scope.source.positions().replay.into())
    }),
    function("pg_last_xact_replay_timestamp", 0, &TIMESTAMPTZ, Reads, |call| {
        Ok(call.scope.source.positions().last_replayed_commit.into())
    }),
    function("pg_lsn", 1, &PG_LSN, Pure, |call| Ok(call.lsn(0)?.to_string().into())),
    function("pg_walfile_name", 1, &TEXT, Reads, |call| Ok(file_and_offset(call)?.0.into())),
    function("pg_walfile_name_offset", 1, &TEXT, Reads, |call| {
        let (file, offset) = file_and_offset(call)?;
        Ok(format!("({file},{offset})").into())
    }),
    function("pg_switch_wal", 0, &PG_LSN, Acts, |call| {
        leader(call)?;
        Ok(call.scope.source.switch_segment()?.into())
    }),
    function("pg_create_restore_point", 1, &PG_LSN, Acts, restore_point),
    function("pg_is_wal_replay_paused", 0, &BOOL, Reads, |call| {
        Ok((follower(call)? != ReplayPause::NotPaused).into())
    }),
    function("pg_get_wal_replay_pause_state", 0, &TEXT, Reads, |call| {
        let state = match follower(call)? {
            ReplayPause::NotPaused => "not paused",
            ReplayPause::Requested => "pause requested",
            ReplayPause::Paused => "paused",
        };
        Ok(state.into())
    }),
    function("pg_wal_replay_pause", 0, &VOID, Acts, |call| set_paused(call, true)),
    function("pg_wal_replay_resume", 0, &VOID, Acts, |call| set_paused(call, false)),
];

fn leader(call: &Call<'_, '_>) -> Result<Positions, SqlError> {
    if call.scope.source.in_recovery() {
        return Err(not_in_recovery());
    }
    Ok(call.scope.source.positions())
}

fn follower(call: &Call<'_, '_>) -> Result<ReplayPause, SqlError> {
    if !call.scope.source.in_recovery() {
        return Err(only_in_recovery());
    }
    Ok(call.scope.source.replay_pause())
}

fn set_paused(call: &Call<'_, '_>, paused: bool) -> Result<Cell, SqlError> {
    follower(call)?;
    call.scope.source.set_replay_paused(paused)?;
    Ok("".into())
}

/// The name of the segment file, and the offset in it. A position at a segment's very start belongs to the end of the
/// segment before, as PostgreSQL sees it: a reported position is the end of what was.
fn file_and_offset(call: &Call<'_, '_>) -> Result<(String, u64), SqlError> {
    if call.scope.source.in_recovery() {
        return Err(SqlError::new("55000", "recovery is in progress")
            .with_hint("pg_walfile_name() cannot be executed during recovery."));
    }
    let positions = call.scope.source.positions();
    let (lsn, size) = (call.lsn(0)?, call.scope.source.identity().segment_size);
    let last_byte = Lsn(lsn.0.saturating_sub(1));
    let file = segment_file_name(TimelineId(positions.timeline), size.segment_of(last_byte), size);
    Ok((file, size.offset_of(lsn)))
}

fn restore_point(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    const NAME_LENGTH_MAX: usize = 63;
    leader(call)?;
    let name = call.text(0);
    if name.is_empty() {
        return Err(SqlError::new("22023", "restore point name must not be empty"));
    }
    if name.len() > NAME_LENGTH_MAX {
        return Err(SqlError::new(
            "22023",
            format!("value too long for restore point (maximum {NAME_LENGTH_MAX} characters)"),
        ));
    }
    Ok(call.scope.source.create_restore_point(&name)?.into())
}
