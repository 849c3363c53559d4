//! Every view has the columns of a real PostgreSQL 15, by name, type and order, and in a situation that both are
//! brought into its values are the same.

use walship_tests::{Lab, Node, Oracle, Session, wait_until};

/// Views of ours that PostgreSQL does not have.
const OURS: [&str; 4] =
    ["walship_stat_database", "walship_stat_synchronous", "walship_stat_failover", "walship_role_privileges"];
/// Settings of both that mean the same and are declared otherwise here, with the reason.
const DECLARED_OTHERWISE: [(&str, &str); 3] = [
    ("log_destination", "there are two destinations, and only one at a time"),
    ("recovery_target", "`immediate` is the only target that it may name"),
    ("standard_conforming_strings", "it is always on, and what it may be is listed"),
];
/// Types of the catalog's own tables that only have a text form here, and are announced as text.
const AS_TEXT: [u32; 7] = [22, 24, 30, 194, 2205, 2211, 2277];

/// A leader with one follower named `follower`, on a slot of that name.
struct Pair {
    leader: Session,
    follower: Session,
}

impl Pair {
    fn ours(leader: &Node, follower: &Node) -> Pair {
        Pair { leader: leader.connect(), follower: follower.connect() }
    }

    fn theirs(leader: &Oracle, follower: &Oracle) -> Pair {
        let connect = |oracle: &Oracle| Session::connect(oracle.port(), "postgres").unwrap();
        Pair { leader: connect(leader), follower: connect(follower) }
    }

    /// Waits until the leader has been told that everything is replayed, and no lag is shown any more.
    fn wait_idle(&self) {
        let idle = "SELECT replay_lsn = pg_current_wal_lsn() AND replay_lag IS NULL FROM pg_stat_replication \
                    WHERE application_name = 'follower'";
        wait_until("the follower is caught up and shows no lag", || self.leader.value(idle) == "t");
    }
}

fn oracles(lab: &Lab) -> (Oracle, Oracle) {
    let leader = Oracle::start(lab.path(), &["max_slot_wal_keep_size=1GB"]);
    let session = Session::connect(leader.port(), "postgres").unwrap();
    session.run("SELECT pg_create_physical_replication_slot('follower')");
    let conninfo = format!(
        "primary_conninfo=host=127.0.0.1 port={} user=postgres application_name=follower",
        leader.port()
    );
    let settings = [conninfo.as_str(), "primary_slot_name=follower", "wal_receiver_status_interval=1s"];
    let follower = leader.standby(lab.path(), &settings);
    (leader, follower)
}

fn rows(session: &Session, sql: &str) -> Vec<Vec<Option<String>>> {
    session.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Names and type numbers of what a query returns.
fn columns(session: &Session, sql: &str) -> Vec<(String, u32)> {
    let statement = session.wait(sql, session.client().prepare(sql)).unwrap_or_else(|e| panic!("{sql}: {e}"));
    statement.columns().iter().map(|column| (column.name().to_owned(), column.type_().oid())).collect()
}

#[test]
fn every_view_has_postgresqls_columns() {
    let lab = Lab::new();
    let oracle = Oracle::start(lab.path(), &[]);
    let theirs = Session::connect(oracle.port(), "postgres").unwrap();
    let leader = lab.leader();
    let ours = leader.connect();
    let named = "SELECT relname FROM pg_class WHERE relnamespace = 11 AND relkind = 'v' ORDER BY 1";
    let views: Vec<String> = rows(&ours, named).into_iter().map(|row| row[0].clone().unwrap()).collect();
    assert!(views.len() > 40, "{views:?}");
    let relations: Vec<_> = rows(&theirs, "SELECT relname FROM pg_class WHERE relnamespace = 11");
    for view in views.iter().filter(|view| !OURS.contains(&view.as_str())) {
        // a few are functions that return rows
        let is_relation = relations.iter().any(|row| row[0].as_ref() == Some(view));
        let call = if is_relation { "" } else { "()" };
        let sql = format!("SELECT * FROM {view}{call}");
        let mut wanted = columns(&theirs, &sql);
        wanted.iter_mut().filter(|(_, of)| AS_TEXT.contains(of)).for_each(|(_, of)| *of = 25);
        assert_eq!(columns(&ours, &sql), wanted, "{view}");
        rows(&ours, &sql);
        // and in binary format, which this client asks for
        let sent = ours.wait(&sql, ours.client().query(&sql, &[]));
        sent.unwrap_or_else(|error| panic!("{view}: {error}"));
    }
    for view in [
        "pg_stat_replication",
        "pg_stat_wal_receiver",
        "pg_replication_slots",
        "pg_stat_activity",
        "pg_stat_wal",
        "pg_stat_progress_basebackup",
        "pg_stat_database",
        "pg_settings",
        "pg_database",
        "pg_stat_bgwriter",
        "pg_stat_archiver",
        "pg_stat_ssl",
        "pg_locks",
    ] {
        assert!(views.iter().any(|known| known == view), "{view} is missing");
    }
}

#[test]
fn functions_return_postgresqls_types_under_its_names() {
    let lab = Lab::new();
    let oracle = Oracle::start(lab.path(), &[]);
    let theirs = Session::connect(oracle.port(), "postgres").unwrap();
    let leader = lab.leader();
    let ours = leader.connect();
    for sql in [
        "SELECT pg_is_in_recovery(), pg_current_wal_lsn(), pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()",
        "SELECT pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp()",
        "SELECT pg_wal_lsn_diff('0/20', '0/10'), pg_walfile_name('0/3000001'), pg_size_pretty(pg_database_size('postgres'))",
        "SELECT now(), clock_timestamp(), pg_postmaster_start_time(), pg_conf_load_time(), current_setting('port')",
        "SELECT pg_backend_pid(), pg_blocking_pids(pg_backend_pid()), current_database(), current_user",
        "SELECT now() - pg_postmaster_start_time(), extract(epoch FROM now()), pg_current_wal_lsn() - '0/0'",
        "SELECT now() - interval '5 min', '0/1'::pg_lsn, '5 s'::interval, 'a'::text, 1::bigint, 2::int, 1.5::float8",
        "SELECT count(*), max(pid), (SELECT 1 AS one), EXISTS (SELECT 1) FROM pg_stat_activity",
        "SELECT CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END, coalesce(sync_priority, 0), greatest(pid, 1) FROM pg_stat_replication",
        "SELECT *, replay_lag > interval '1 s' AS late FROM pg_stat_replication",
        "SELECT sum(pg_database_size(datname)) FROM pg_database",
    ] {
        let (mut found, mut wanted) = (columns(&ours, sql), columns(&theirs, sql));
        // SQLite's sums of whole numbers are whole
        for (column, theirs) in found.iter_mut().zip(&mut wanted) {
            if column.0 == "sum" && (column.1, theirs.1) == (20, 1700) {
                theirs.1 = 20;
            }
        }
        assert_eq!(found, wanted, "{sql}");
    }
}

/// Questions whose answers are the same on both, on each side of an idle pair.
const ON_THE_LEADER: [&str; 9] = [
    "SELECT usename, usesysid, application_name, client_addr, client_hostname, client_port > 0, backend_xmin, state, \
     sent_lsn = pg_current_wal_lsn(), write_lsn = sent_lsn, flush_lsn = sent_lsn, replay_lsn = sent_lsn, write_lag, \
     flush_lag, replay_lag, sync_priority, sync_state, reply_time > backend_start, backend_start < now() \
     FROM pg_stat_replication",
    "SELECT slot_name, plugin, slot_type, datoid, database, temporary, active, xmin, catalog_xmin, \
     restart_lsn = pg_current_wal_lsn(), confirmed_flush_lsn, wal_status, safe_wal_size > 900000000, two_phase \
     FROM pg_replication_slots",
    "SELECT r.pid = s.active_pid, a.pid = r.pid, a.backend_type, a.state, a.usename, a.datname, a.wait_event_type, a.wait_event \
     FROM pg_stat_replication r, pg_replication_slots s, pg_stat_activity a WHERE a.backend_type = 'walsender'",
    "SELECT datname, usename, application_name, client_addr, client_hostname, client_port > 0, backend_start <= xact_start, \
     xact_start <= query_start, query_start <= state_change, wait_event_type, wait_event, state, leader_pid, query_id, \
     backend_type, length(query) > 100 FROM pg_stat_activity WHERE pid = pg_backend_pid()",
    "SELECT datname, datistemplate, datallowconn, datconnlimit, datlocprovider, encoding, datcollate, datctype, datacl \
     FROM pg_database WHERE datname = 'postgres'",
    "SELECT backend_type, datname, usename, wait_event_type, wait_event, state, query FROM pg_stat_activity \
     WHERE backend_type IN ('checkpointer', 'walwriter') ORDER BY 1",
    "SELECT archived_count, last_archived_wal, last_archived_time, failed_count, last_failed_wal, last_failed_time, \
     stats_reset < now() FROM pg_stat_archiver",
    "SELECT count(*) FROM pg_stat_wal_receiver UNION ALL SELECT count(*) FROM pg_stat_progress_basebackup \
     UNION ALL SELECT count(*) FROM pg_locks WHERE NOT granted UNION ALL SELECT count(*) FROM pg_prepared_xacts",
    "SELECT pid = pg_backend_pid(), ssl, version, cipher, bits, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
];
const ON_THE_FOLLOWER: [&str; 4] = [
    "SELECT status, receive_start_tli, written_lsn >= flushed_lsn, flushed_lsn = pg_last_wal_receive_lsn(), received_tli, \
     last_msg_send_time <= last_msg_receipt_time, latest_end_lsn = pg_last_wal_receive_lsn(), \
     latest_end_time <= now(), slot_name, sender_host, receive_start_lsn <= flushed_lsn, sender_port > 0 FROM pg_stat_wal_receiver",
    "SELECT r.pid = a.pid, a.backend_type, a.wait_event_type, a.wait_event, a.state FROM pg_stat_wal_receiver r \
     JOIN pg_stat_activity a ON a.pid = r.pid",
    "SELECT pg_is_in_recovery(), pg_is_wal_replay_paused(), pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn(), \
     pg_last_xact_replay_timestamp() < now(), pg_get_wal_replay_pause_state()",
    "SELECT count(*) FROM pg_stat_replication UNION ALL SELECT count(*) FROM pg_replication_slots",
];

#[test]
fn an_idle_pair_shows_the_same() {
    let lab = Lab::new();
    let (their_leader, their_follower) = oracles(&lab);
    let our_leader = lab.leader();
    let our_follower = lab.follower(&our_leader);
    let (ours, theirs) =
        (Pair::ours(&our_leader, &our_follower), Pair::theirs(&their_leader, &their_follower));
    for pair in [&ours, &theirs] {
        pair.leader.run("CREATE TABLE t(v integer)");
        pair.leader.run("INSERT INTO t VALUES (1)");
        // a running PostgreSQL writes to its log by itself; not before the next checkpoint, if one has just been
        pair.leader.run("CHECKPOINT");
    }
    for pair in [&ours, &theirs] {
        pair.wait_idle();
    }
    for sql in ON_THE_LEADER {
        assert_eq!(rows(&ours.leader, sql), rows(&theirs.leader, sql), "{sql}");
    }
    for sql in ON_THE_FOLLOWER {
        // the receiver's position of the leader's last report follows a moment later
        wait_until(sql, || rows(&ours.follower, sql) == rows(&theirs.follower, sql));
    }
}

#[test]
fn sessions_show_what_they_do_and_wait_for() {
    let lab = Lab::new();
    let oracle = Oracle::start(lab.path(), &[]);
    let leader = lab.leader();
    let ports = [leader.port(), oracle.port()];
    let connect = |port: u16| Session::connect(port, "postgres").unwrap();
    let sql = "SELECT state, wait_event_type, wait_event, xact_start IS NULL, query, query_start <= state_change \
               FROM pg_stat_activity WHERE application_name = 'walship-test' AND pid <> pg_backend_pid()";
    let states = ["SELECT 1", "BEGIN", "SELECT nonsense", "ROLLBACK"];
    let mut shown = Vec::new();
    for port in ports {
        let (session, watcher) = (connect(port), connect(port));
        let mut seen = Vec::new();
        for statement in states {
            let _ = session.query(statement);
            wait_until("the session is idle again", || {
                watcher.value(&format!(
                    "SELECT count(*) FROM ({sql}) x WHERE state LIKE 'idle%' AND wait_event = 'ClientRead'"
                )) == "1"
            });
            seen.push(rows(&watcher, sql));
        }
        shown.push(seen);
    }
    assert_eq!(shown[0], shown[1]);
    // a writer that waits for another one is shown with whom it waits for
    let (first, watcher) = (leader.connect(), leader.connect());
    first.run("CREATE TABLE t(v)");
    first.run("BEGIN; INSERT INTO t VALUES (1)");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| leader.connect().run("INSERT INTO t VALUES (2)"));
        let waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'turn'";
        wait_until("a session waits for its turn", || !watcher.value(waits).is_empty());
        let (waiting, holder) = (watcher.value(waits), first.value("SELECT pg_backend_pid()"));
        assert_eq!(watcher.value(&format!("SELECT pg_blocking_pids({waiting})")), format!("{{{holder}}}"));
        let locks =
            "SELECT pid, locktype, mode, granted, waitstart IS NULL FROM pg_locks ORDER BY granted DESC";
        let lock = |pid: &str, granted: &str| {
            [pid, "database", "ExclusiveLock", granted, granted].map(|cell| Some(cell.to_owned())).to_vec()
        };
        assert_eq!(rows(&watcher, locks), [lock(&holder, "t"), lock(&waiting, "f")]);
        let queue =
            "SELECT waiting_writers, writer_pid FROM walship_stat_database WHERE datname = 'postgres'";
        assert_eq!(rows(&watcher, queue), [vec![Some("1".to_owned()), Some(holder)]]);
        first.run("COMMIT");
        second.join().unwrap();
    });
    assert_eq!(watcher.value("SELECT count(*) FROM pg_locks"), "0");
}

#[test]
fn sessions_are_cancelled_and_ended() {
    let lab = Lab::new();
    let leader = lab.leader();
    let watcher = leader.connect();
    let long = "SELECT pg_sleep(100)";
    let pid = format!("SELECT pid FROM pg_stat_activity WHERE query = '{long}' AND state = 'active'");
    for (function, code) in [("pg_cancel_backend", "57014"), ("pg_terminate_backend", "57P01")] {
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| leader.connect().error(long));
            wait_until("the statement runs", || !watcher.value(&pid).is_empty());
            assert_eq!(watcher.value(&format!("SELECT {function}({})", watcher.value(&pid))), "t");
            assert_eq!(sleeper.join().unwrap().code, code);
        });
    }
    assert_eq!(watcher.value("SELECT pg_cancel_backend(2147483647)"), "f");
    assert_eq!(watcher.value("SELECT pg_terminate_backend(1)"), "f");
}

#[test]
fn counters_count() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    session.run("CREATE TABLE t(v)");
    let counted = || {
        let sql = "SELECT w.wal_records, w.wal_fpi, w.wal_bytes, w.wal_write, w.wal_sync, b.checkpoints_req, d.xact_commit, \
                   d.xact_rollback, d.sessions, o.commits, o.log_bytes FROM pg_stat_wal w, pg_stat_bgwriter b, \
                   pg_stat_database d, walship_stat_database o WHERE d.datname = 'postgres' AND o.datname = 'postgres'";
        let row = rows(&session, sql).pop().unwrap();
        row.into_iter().map(|cell| cell.unwrap().parse::<i64>().unwrap()).collect::<Vec<_>>()
    };
    let (before, start) = (counted(), session.value("SELECT pg_current_wal_insert_lsn()"));
    session.run("CHECKPOINT");
    session.run("INSERT INTO t VALUES (1)");
    session.run("BEGIN; INSERT INTO t VALUES (2); ROLLBACK");
    session.error("SELECT nonsense");
    leader.connect().run("SELECT 1");
    let written: i64 =
        session.value(&format!("SELECT pg_current_wal_insert_lsn() - '{start}'")).parse().unwrap();
    let moved: Vec<i64> = counted().iter().zip(&before).map(|(after, before)| after - before).collect();
    let [records, images, bytes, writes, syncs, checkpoints, commits, rollbacks, sessions, logged, log_bytes] =
        moved[..]
    else {
        panic!("{moved:?}")
    };
    assert_eq!((checkpoints, rollbacks, sessions, logged), (1, 2, 1, 1), "{moved:?}");
    assert_eq!(bytes, written);
    // a checkpoint and a commit with its first page images since
    assert!(records >= 2 && images >= 1 && writes >= 1 && syncs >= 1, "{moved:?}");
    assert!(log_bytes > 0 && log_bytes < bytes, "{moved:?}");
    // the checkpoint, the insert, a session's SELECT, and the questions of this test
    assert!(commits >= 5, "{moved:?}");
}

#[test]
fn settings_are_declared_as_postgresql_declares_them() {
    let lab = Lab::new();
    let oracle = Oracle::start(lab.path(), &[]);
    let theirs = Session::connect(oracle.port(), "postgres").unwrap();
    let leader = lab.leader();
    let sql = "SELECT name, vartype, unit FROM pg_settings ORDER BY 1";
    let declared = rows(&theirs, sql);
    let mut compared = 0;
    for ours in rows(&leader.connect(), sql) {
        let name = ours[0].clone().unwrap();
        let Some(theirs) = declared.iter().find(|row| row[0] == ours[0]) else { continue };
        compared += 1;
        if !DECLARED_OTHERWISE.iter().any(|(known, _)| *known == name) {
            assert_eq!(ours, *theirs, "{name}");
        }
    }
    assert!(compared > 60, "only {compared} settings are PostgreSQL's");
}
