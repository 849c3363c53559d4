//! Every query of docs/monitoring.md runs on a real pair and answers what is true there, on PostgreSQL as well.

use walship_tests::{Lab, Oracle, Session, repository_root, wait_until};
use walship_types::Lsn;

/// One query of the page.
struct Query {
    /// The headings that it stands under.
    section: String,
    title: String,
    sql: String,
}

fn page() -> Vec<Query> {
    let text = std::fs::read_to_string(repository_root().join("docs/monitoring.md")).unwrap();
    let (mut queries, mut section, mut title) = (Vec::new(), String::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("### ") {
            title = name.to_owned();
        } else if let Some(name) = line.strip_prefix("## ") {
            (section, title) = (name.to_owned(), name.to_owned());
        } else if line == "```sql" {
            let sql: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            queries.push(Query { section: section.clone(), title: title.clone(), sql: sql.join("\n") });
        }
    }
    assert!(queries.len() >= 30, "only {} queries on the page", queries.len());
    queries
}

impl Query {
    fn is_ours(&self) -> bool {
        self.sql.contains("walship_")
    }

    fn on_follower(&self) -> bool {
        self.section == "On a follower" || self.sql.contains("AS seconds")
    }
}

/// Names and values of the first row of an answer, `None` for NULL.
type Answer = Vec<(String, Option<String>)>;

fn ask(session: &Session, sql: &str) -> Vec<Answer> {
    let statement = session.wait(sql, session.client().prepare(sql)).unwrap_or_else(|e| panic!("{sql}\n{e}"));
    let names: Vec<String> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    let rows = session.query(sql).unwrap_or_else(|e| panic!("{sql}\n{e}"));
    rows.into_iter().map(|row| names.iter().cloned().zip(row).collect()).collect()
}

/// The answers on the role that the queries are for.
struct Answers(Vec<(String, Vec<Answer>)>);

impl Answers {
    fn of(leader: &Session, follower: &Session) -> Answers {
        let asked = page().into_iter().map(|query| {
            let session = if query.on_follower() { follower } else { leader };
            (query.title.clone(), ask(session, &query.sql))
        });
        Answers(asked.collect())
    }

    /// The value of a column in the first row of whichever query under the title has it.
    fn text(&self, title: &str, column: &str) -> String {
        let queries = self.0.iter().filter(|(known, _)| known == title);
        let mut first = queries.filter_map(|(_, rows)| rows.first());
        let cell = first.find_map(|row| row.iter().find(|(name, _)| name == column));
        let (_, value) = cell.unwrap_or_else(|| panic!("no {column} under {title}: {:?}", self.0));
        value.clone().unwrap_or_default()
    }

    fn number(&self, title: &str, column: &str) -> f64 {
        let text = self.text(title, column);
        text.parse().unwrap_or_else(|_| panic!("{title}, {column}: \"{text}\" is no number"))
    }

    fn rows(&self, title: &str) -> usize {
        self.0.iter().filter(|(known, _)| known == title).map(|(_, rows)| rows.len()).sum()
    }
}

#[test]
fn every_column_of_ours_is_described() {
    let text = std::fs::read_to_string(repository_root().join("docs/monitoring.md")).unwrap();
    let (_, section) = text.split_once("## What PostgreSQL has no column for").unwrap();
    let table =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let first = table.skip(2).filter_map(|line| line.split('|').nth(1));
    let described: Vec<String> =
        first.flat_map(|cell| cell.split(',').map(|name| name.trim().trim_matches('`').to_owned())).collect();
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    let sql = "SELECT * FROM walship_stat_database";
    let there = session.wait(sql, session.client().prepare(sql)).unwrap();
    let there: Vec<&str> = there.columns().iter().map(|column| column.name()).collect();
    assert_eq!(described, there);
}

fn lsn(session: &Session, sql: &str) -> u64 {
    session.value(sql).parse::<Lsn>().unwrap().0
}

#[test]
fn every_query_is_postgresqls_too() {
    let lab = Lab::new();
    let primary = Oracle::start(lab.path(), &[]);
    let standby = primary.standby(lab.path(), &[]);
    let connect = |oracle: &Oracle| Session::connect(oracle.port(), "postgres").unwrap();
    let theirs = [connect(&primary), connect(&standby)];
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    let ours = [leader.connect(), follower.connect()];
    wait_until("PostgreSQL's standby streams", || {
        theirs[1].value("SELECT status FROM pg_stat_wal_receiver") == "streaming"
    });
    for query in page().iter().filter(|query| !query.is_ours()) {
        let on = usize::from(query.on_follower());
        let columns = |session: &Session| {
            let prepared = session.wait(&query.sql, session.client().prepare(&query.sql));
            let statement = prepared.unwrap_or_else(|e| panic!("{}\n{e}", query.sql));
            let columns = statement.columns().iter();
            columns.map(|column| column.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(columns(&ours[on]), columns(&theirs[on]), "{}", query.sql);
        theirs[on].run(&query.sql);
    }
}

#[test]
fn every_query_answers_what_is_true() {
    let lab = Lab::new();
    let leader_node = lab.leader();
    let follower_node = lab.follower(&leader_node);
    let (leader, follower) = (leader_node.connect(), follower_node.connect());
    leader.run("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    wait_until("the follower is level", || {
        leader.value("SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication") == "t"
    });
    let idle = Answers::of(&leader, &follower);
    for (title, column) in [
        ("Bytes behind each follower", "lag_bytes"),
        ("Bytes behind each follower", "unreplayed"),
        ("Bytes behind, received and replayed", "unreplayed_bytes"),
        ("Seconds behind", "lag_seconds"),
        ("postgres_exporter and check_postgres", "pg_wal_lsn_diff"),
        ("Archiver", "failed_count"),
    ] {
        assert_eq!(idle.number(title, column), 0.0, "{title}");
    }
    assert_eq!(idle.text("Followers", "state"), "streaming");
    assert_eq!(idle.number("Synchronous followers", "connected"), 1.0);
    assert_eq!(idle.number("Synchronous followers", "synchronous"), 0.0);
    assert_eq!(idle.text("What slots hold back", "wal_status"), "reserved");
    assert_eq!(idle.text("Paused replay", "paused"), "f");
    assert_eq!(idle.text("Role", "role"), "leader");
    assert_eq!(idle.rows("Who waits for whom"), 0);
    assert_eq!(idle.rows("Long transactions"), 0);
    assert!(idle.number("Silence of the leader", "silent_seconds") < 60.0);
    assert!(idle.number("Databases", "bytes") >= 8192.0);
    assert_eq!(idle.number("Databases", "checksum_failures"), 0.0);

    // replay stands still while the leader writes about a megabyte
    follower.run("SELECT pg_wal_replay_pause()");
    let before = lsn(&leader, "SELECT pg_current_wal_lsn()");
    let held = leader_node.connect();
    held.run("BEGIN IMMEDIATE");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| leader_node.connect().run("INSERT INTO t VALUES ('waited')"));
        wait_until("a writer waits", || {
            leader.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'turn'") == "1"
        });
        let blocked = Answers::of(&leader, &follower);
        let holder = held.value("SELECT pg_backend_pid()");
        assert_eq!(blocked.text("Who waits for whom", "blocked_by"), format!("{{{holder}}}"));
        assert_eq!(blocked.number("Writers and readers", "waiting_writers"), 1.0);
        assert_eq!(blocked.text("Writers and readers", "writer_pid"), holder);
        held.run("COMMIT");
        waiting.join().unwrap();
    });
    for _ in 0..64 {
        leader.run("INSERT INTO t VALUES (hex(randomblob(8192)))");
    }
    let end = lsn(&leader, "SELECT pg_current_wal_lsn()");
    assert!(end - before > 1 << 20);
    wait_until("the follower has received it, and its leader knows", || {
        lsn(&leader, "SELECT flush_lsn FROM pg_stat_replication") == end
            && lsn(&follower, "SELECT pg_last_wal_receive_lsn()") == end
            && lsn(&follower, "SELECT latest_end_lsn FROM pg_stat_wal_receiver") == end
    });
    let replayed = lsn(&follower, "SELECT pg_last_wal_replay_lsn()");
    let behind = (end - replayed) as f64;
    let late = Answers::of(&leader, &follower);
    for (title, column) in [
        ("Bytes behind each follower", "lag_bytes"),
        ("Bytes behind each follower", "unreplayed"),
        ("Bytes behind, received and replayed", "unreplayed_bytes"),
        ("Bytes behind, received and replayed", "lag_bytes"),
        ("postgres_exporter and check_postgres", "pg_wal_lsn_diff"),
    ] {
        assert_eq!(late.number(title, column), behind, "{title}, {column}");
    }
    for column in ["unsent", "unwritten", "unflushed"] {
        assert_eq!(late.number("Bytes behind each follower", column), 0.0, "{column}");
    }
    let retained = end - lsn(&leader, "SELECT restart_lsn FROM pg_replication_slots");
    assert_eq!(late.number("What slots hold back", "retained_bytes"), retained as f64);
    let check = "postgres_exporter and check_postgres";
    assert_eq!(late.number(check, "delta"), retained as f64);
    assert_eq!(late.number(check, "current_wal_lsn"), end as f64);
    assert_eq!(late.text(check, "receive").parse::<Lsn>().unwrap().0, end);
    assert_eq!(late.text(check, "replay").parse::<Lsn>().unwrap().0, replayed);
    assert_eq!(late.text("Paused replay", "paused"), "t");
    let seconds = late.number("Seconds behind", "lag_seconds");
    assert!(seconds > 0.0 && seconds < 600.0, "{seconds}");
    assert!(late.number("Log written", "wal_bytes") >= (end - before) as f64);
    assert!(late.number("Log written", "segments") >= 1.0);
    assert!(late.number("Connections", "used") >= 2.0);
    let unread =
        "SELECT verified_lsn FROM walship_stat_database WHERE verified_time > now() - interval '1 hour'";
    wait_until("the scrubber has verified the database", || !leader.value(unread).is_empty());
    let verified = lsn(&leader, unread);
    assert!(verified > 0 && verified <= end, "{verified} {end}");

    // an idle slot is behind by what was written since it was made
    leader.run("SELECT pg_create_physical_replication_slot('unused', true)");
    let kept = lsn(&leader, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'unused'");
    let megabytes = (((end - kept) as f64) / 1024.0 / 1024.0 * 10.0).round() / 10.0;
    let unused = Answers::of(&leader, &follower);
    assert_eq!(unused.number("What slots hold back", "retained_mb"), megabytes);

    follower.run("SELECT pg_wal_replay_resume()");
    wait_until("the follower is level again", || {
        Answers::of(&leader, &follower).number("Bytes behind each follower", "lag_bytes") == 0.0
    });
}

/// What SQLite would compute from the digits of a text is an error with the spelling that works.
#[test]
fn what_is_not_understood_is_an_error_and_not_a_number() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    for (sql, code, hint) in [
        ("SELECT replay_lag > 5 FROM pg_stat_replication", "42883", "interval '5 s'"),
        ("SELECT avg(replay_lag) FROM pg_stat_replication", "42883", "extract(epoch FROM x)"),
        ("SELECT l * 2 FROM (SELECT sent_lsn AS l FROM pg_stat_replication) x", "42883", "a::pg_lsn"),
        ("SELECT sent_lsn > 5 FROM pg_stat_replication", "42883", "pg_wal_lsn_diff"),
        ("SELECT backend_start > 5 FROM pg_stat_activity", "42883", "interval '5 min'"),
        ("SELECT setting > 100 FROM pg_settings", "42883", "x::int8"),
        (
            "SELECT sum(l) FROM (SELECT replay_lag AS l FROM pg_stat_replication) x",
            "42883",
            "extract(epoch FROM x)",
        ),
        ("SELECT extract(day FROM now())", "0A000", "epoch"),
        ("SELECT age(datfrozenxid) FROM pg_database", "0A000", "wraparound"),
        ("SELECT txid_current()", "42883", "walship_last_commit_lsn"),
        ("SELECT * FROM pg_stat_statements", "42P01", "pg_stat_activity"),
        ("SELECT * FROM pg_stat_nothing", "42P01", "pg_stat_replication"),
        ("SELECT table_name FROM information_schema.tables", "42P01", "pg_tables"),
        ("SELECT 'abc'::int FROM pg_settings", "22P02", ""),
        ("SELECT '0/zz'::pg_lsn - pg_current_wal_lsn()", "22P02", ""),
    ] {
        let error = session.error(sql);
        assert_eq!(error.code, code, "{sql}: {error}");
        assert!(error.hint.contains(hint), "{sql}: {error}");
    }
    for (sql, value) in [
        ("SELECT pg_wal_lsn_diff('0/100000', '0/80000') / 1024 / 1024", "0.5"),
        ("SELECT (b - a) / 1024.0 FROM (SELECT '0/400'::pg_lsn AS a, '0/600'::pg_lsn AS b) x", "0.5"),
        ("SELECT max(l) FROM (SELECT '0/A0'::pg_lsn AS l UNION ALL SELECT '0/1B0'::pg_lsn) x", "0/1B0"),
        ("SELECT pg_is_in_recovery() = 'f', pg_is_in_recovery()", "t"),
        ("SELECT count(*) FROM pg_settings WHERE name = 'port' AND pending_restart = 'false'", "1"),
        ("SELECT 1.5::int + 2.4::int FROM pg_settings LIMIT 1", "4"),
        ("SELECT extract(epoch FROM '2 days 1 hour'::interval)", "176400"),
        ("SELECT now() - interval '1 h' < now() - '30 min'::interval", "t"),
        ("SELECT (NOT pg_is_in_recovery())::text", "true"),
        (
            "SELECT to_char('2026-02-03 04:05:06.5'::timestamptz, 'YYYY-MM-DD HH24:MI:SS.MS')",
            "2026-02-03 04:05:06.500",
        ),
        ("SELECT greatest('0/1'::pg_lsn, NULL, '0/A'::pg_lsn)", "0/A"),
    ] {
        assert_eq!(session.value(sql), value, "{sql}");
    }
}
