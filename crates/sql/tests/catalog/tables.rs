//! The catalog on a plain SQLite connection: functions and views.

use walship_sql::catalog::{self, ClientAddress, ReplicationRow, SlotRow};
use walship_types::{Lsn, Timestamp};

use crate::session::{SCHEMA, Session};

fn follower(name: &str, replay: u64) -> ReplicationRow {
    ReplicationRow {
        pid: 7,
        user: "postgres".to_owned(),
        application_name: name.to_owned(),
        client: ClientAddress::default(),
        started_at: Timestamp(0),
        state: "streaming",
        sent: Some(Lsn(0x300_0000)),
        write: Some(Lsn(0x300_0000)),
        flush: Some(Lsn(0x300_0000)),
        replay: Some(Lsn(replay)),
        write_lag: None,
        flush_lag: None,
        replay_lag: Some(std::time::Duration::from_millis(1500)),
        sync_priority: 0,
        sync_state: "async",
        reply_time: Some(Timestamp(0)),
    }
}

#[test]
fn every_table_answers_with_all_its_columns() {
    let session = Session::new(SCHEMA);
    for table in catalog::table_names() {
        let statement = session.connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let declared: Vec<&str> =
            catalog::column_types(table).unwrap().iter().map(|(name, _)| *name).collect();
        assert_eq!(columns, declared, "{table}");
        session.rows(&format!("SELECT * FROM {table}"));
    }
}

#[test]
fn positions_compare_as_positions() {
    let session = Session::new("");
    session.source.state.lock().replication =
        vec![follower("late", 0xA0_0000), follower("level", 0x300_0000)];
    let late =
        "SELECT application_name FROM pg_stat_replication WHERE replay_lsn < '0/1A00000' ORDER BY replay_lsn";
    assert_eq!(session.rows(late), ["late"]);
    let behind = "SELECT application_name, pg_current_wal_lsn() - replay_lsn, extract(epoch from replay_lag) \
                  FROM pg_catalog.pg_stat_replication ORDER BY replay_lsn DESC";
    assert_eq!(session.rows(behind), ["level|0|1.5", "late|39845888|1.5"]);
    let slow =
        "SELECT count(*) FROM pg_stat_replication WHERE replay_lag > interval '1 s' AND replay_lag < '1 day'";
    assert_eq!(session.rows(slow), ["2"]);
    let compared = "SELECT pg_wal_lsn_diff('0/A', '0/1A'), pg_current_wal_lsn() > pg_lsn('0/A')";
    assert_eq!(session.rows(compared), ["-16|1"]);
    let names = "SELECT pg_walfile_name('0/3000000'), pg_walfile_name('0/3000001')";
    assert_eq!(session.rows(names), ["000000010000000000000002|000000010000000000000003"]);
}

#[test]
fn a_follower_refuses_what_only_a_leader_can() {
    let session = Session::new("");
    {
        let mut state = session.source.state.lock();
        state.in_recovery = true;
        state.positions.replay = Some(Lsn(0x300_0000));
        state.positions.receive = Some(Lsn(0x300_0100));
    }
    let error = session.try_rows("SELECT pg_current_wal_lsn()").unwrap_err();
    assert_eq!(
        (error.state().as_str(), error.report().message.as_str()),
        ("55000", "recovery is in progress")
    );
    assert_eq!(
        error.report().hint.as_deref(),
        Some("WAL control functions cannot be executed during recovery.")
    );
    assert_eq!(session.rows("SELECT pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn()"), ["256"]);
    assert_eq!(
        session.rows("SELECT pg_is_in_recovery(), pg_is_wal_replay_paused(), pg_promote(true, 5)"),
        ["1|0|1"]
    );
    assert_eq!(session.source.state.lock().actions, ["promote Some(5s)"]);
    let leader = Session::new("");
    assert_eq!(leader.try_rows("SELECT pg_promote()").unwrap_err().state(), "55000");
}

#[test]
fn settings_are_the_sessions_own() {
    let session = Session::new("");
    assert_eq!(
        session.rows("SELECT set_config('work_mem', '8MB', false), current_setting('work_mem')"),
        ["8MB|8MB"]
    );
    let row =
        "SELECT setting, unit, source, boot_val, pending_restart FROM pg_settings WHERE name = 'work_mem'";
    assert_eq!(session.rows(row), ["8192|kB|session|4096|f"]);
    assert_eq!(session.rows("SELECT current_setting('no.such', true)"), [""]);
    assert_eq!(session.try_rows("SELECT current_setting('nope')").unwrap_err().state(), "42704");
    assert_eq!(session.try_rows("SELECT set_config('port', '1', false)").unwrap_err().state(), "55P02");
}

#[test]
fn slots_are_made_and_listed() {
    let session = Session::new("");
    assert_eq!(session.rows("SELECT pg_create_physical_replication_slot('a', true)"), ["(a,0/3000000)"]);
    let slot = SlotRow {
        name: "a".to_owned(),
        temporary: false,
        active_pid: None,
        restart: Some(Lsn(0x200_0000)),
        wal_status: Some("reserved"),
        safe_wal_size: Some(1),
    };
    session.source.state.lock().slots.push(slot);
    let held = "SELECT slot_name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots";
    assert_eq!(session.rows(held), ["a|f|16777216"]);
    assert_eq!(session.try_rows("SELECT pg_drop_replication_slot('b')").unwrap_err().state(), "42704");
}

#[test]
fn no_file_can_depend_on_the_catalog() {
    let session = Session::new("CREATE TABLE t(a)");
    for sql in ["CREATE VIEW v AS SELECT version()", "CREATE VIEW v AS SELECT * FROM pg_settings"] {
        session.connection.execute_batch(sql).unwrap();
        let error = session.connection.prepare("SELECT * FROM v").unwrap_err().to_string();
        assert!(error.contains("unsafe use of"), "{error}");
        session.connection.execute_batch("DROP VIEW v").unwrap();
    }
}

#[test]
fn the_schema_is_read_again_when_it_changes() {
    let session = Session::new("");
    let names = "SELECT relname FROM pg_class WHERE relnamespace = 2200 ORDER BY 1";
    session.connection.execute_batch("BEGIN; CREATE TABLE a(x)").unwrap();
    assert_eq!(session.rows(names), ["a"]);
    session.connection.execute_batch("ROLLBACK; CREATE TABLE b(x)").unwrap();
    assert_eq!(session.rows(names), ["b"]);
}
