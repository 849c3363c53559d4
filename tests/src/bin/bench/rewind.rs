use std::process::Command;
use std::time::Instant;

use walship_tests::{
    Lab, Node, Oracle, OrdinaryUser, Role, Session, output_of, postgres_program, wait_caught_up,
};

use crate::Effort;
use crate::table::Table;

/// Rows that the old leader changes alone: about 1 MB of pages.
const CHANGED_ROWS: u32 = 1000;
/// About as large as a row is in its page.
const ROW_BYTES: u32 = 950;

/// How long a way back took, and what it moved.
struct Way {
    seconds: f64,
    moved: f64,
    database: f64,
}

/// The old leader comes back after 1 MB of changes that nobody else has: rewound, from a
/// new base backup, and PostgreSQL's with pg_rewind.
pub(crate) fn measure(effort: Effort) -> Table {
    let mut table = Table::new(&["way back", "database MB", "seconds", "moved MB", "% of database"]);
    let (rewound, anew) = ours(effort.rewind_rows);
    let rows =
        [("walctl rewind", rewound), ("new base backup", anew), ("pg_rewind", theirs(effort.rewind_rows))];
    for (name, Way { seconds, moved, database }) in rows {
        table.row(vec![
            name.to_owned(),
            format!("{:.0}", database / 1e6),
            format!("{seconds:.2}"),
            format!("{:.2}", moved / 1e6),
            format!("{:.2}", 100.0 * moved / database),
        ]);
    }
    table
}

fn fill(rows: u32, value: &str) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO bulk SELECT i, {value} FROM n"
    )
}

fn ours(rows: u32) -> (Way, Way) {
    let lab = Lab::new();
    let mut old = lab.leader();
    old.sql("CREATE TABLE bulk(id INTEGER PRIMARY KEY, v BLOB)");
    old.sql(&fill(rows, &format!("randomblob({ROW_BYTES})")));
    let mut new = lab.follower_with("next", old.port(), &[]);
    wait_caught_up(&old, &new);
    // a promotion would fence an old leader that it can reach
    new.stop();
    old.sql(&format!("UPDATE bulk SET v = randomblob({ROW_BYTES}) WHERE id <= {CHANGED_ROWS}"));
    old.stop();
    new.start();
    lab.walctl(&["promote", "-D", new.dir().to_str().expect("a path")]).success();
    let source = format!("host=127.0.0.1 port={} user=postgres", new.port());
    let start = Instant::now();
    let dir = old.dir().to_str().expect("a path");
    let said = lab.walctl(&["rewind", "-D", dir, "--source", &source, "--name", "old", "--json"]).success();
    let seconds = start.elapsed().as_secs_f64();
    let said: serde_json::Value = serde_json::from_str(&said).expect("walctl prints JSON");
    let number = |name: &str| said[name].as_f64().expect("walctl rewind tells its sums");
    let (moved, database) = (number("page_bytes") + number("log_bytes"), number("database_bytes"));
    let mut back: Node = lab.node(Role::Follower, "leader", &[]);
    back.start();
    walship_tests::assert_identical(&new, &back, "postgres");
    back.stop();
    let start = Instant::now();
    let fresh = lab.follower_with("fresh", new.port(), &[]);
    let anew = Way { seconds: start.elapsed().as_secs_f64(), moved: database, database };
    drop(fresh);
    (Way { seconds, moved, database }, anew)
}

fn theirs(rows: u32) -> Way {
    let lab = Lab::new();
    let settings = ["fsync=on", "wal_log_hints=on", "max_wal_size=256MB", "autovacuum=off"];
    // the old leader needs its log from before the fork; all log of the new one is copied,
    // so that has no more than it must
    let keeping = [settings.as_slice(), &["wal_keep_size=1GB"]].concat();
    let mut old = Oracle::start(lab.path(), &keeping);
    let session =
        |oracle: &Oracle| Session::connect(oracle.port(), "postgres").expect("connect to PostgreSQL");
    let leader = session(&old);
    leader.run("CREATE TABLE bulk(id bigint PRIMARY KEY, v text)");
    // as it is: no compression, no other table for it
    leader.run("ALTER TABLE bulk ALTER v SET STORAGE PLAIN");
    leader.run(&fill(rows, &format!("rpad(md5(i::text), {ROW_BYTES}, md5(i::text))")));
    // hint bits that are set later would count as changes
    leader.run("VACUUM ANALYZE bulk");
    leader.run("CHECKPOINT");
    let new = old.standby(lab.path(), &settings);
    session(&new).run("SELECT pg_promote()");
    leader.run(&format!("UPDATE bulk SET v = reverse(v) WHERE id <= {CHANGED_ROWS}"));
    let database = leader.value("SELECT pg_database_size('postgres')").parse().expect("a size");
    drop(leader);
    old.stop();
    session(&new).run("CHECKPOINT");
    let mut rewind = Command::new(postgres_program("pg_rewind"));
    OrdinaryUser::get().run(&mut rewind);
    let source = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", new.port());
    rewind.arg("-P").arg("-D").arg(old.data()).arg(format!("--source-server={source}"));
    let start = Instant::now();
    let output = output_of(rewind.current_dir(lab.path().join("postgresql")));
    let seconds = start.elapsed().as_secs_f64();
    let said = output.stdout.clone() + &output.stderr;
    assert_eq!(output.status, Some(0), "{said}");
    // "need to copy 50 MB (total source directory size is 1200 MB)"
    let moved =
        said.split("need to copy ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    let moved = moved.unwrap_or_else(|| panic!("pg_rewind did not say what it copies: {said}"));
    Way { seconds, moved: moved * 1024.0 * 1024.0, database }
}
