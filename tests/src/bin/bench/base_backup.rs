use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use walship_tests::{Lab, Node, Oracle, Session, output_of, pgbench, program, stock_command};

use crate::table::{Table, median};
use crate::{Effort, rate};

/// Clients of the load under which backups are taken.
const LOAD_CLIENTS: &str = "4";

/// Bytes of log that pg_receivewal has to catch up with, for each row of the load.
const LOG_ROW_BYTES: u32 = 900;

const ROWS: &str = "CREATE TABLE load(id BIGSERIAL PRIMARY KEY, v INTEGER, note TEXT)";

/// One cluster of each kind, with the same rows, alone on the machine.
struct Pair {
    lab: Lab,
    leader: Node,
    postgres: Oracle,
    script: std::path::PathBuf,
    megabytes: f64,
}

/// Base backups: native, by the stock program, of PostgreSQL, and as plain copies; what one
/// costs those who write meanwhile; and how fast pg_receivewal catches up.
pub(crate) fn measure(effort: Effort) {
    let pair = Pair::new(effort);
    pair.backups(effort).print("base backups of a cluster of the same size, MB/s");
    pair.slowed(effort).print("commits per second of 4 clients while base backups are taken");
    pair.catch_up(effort).print("pg_receivewal catches up");
}

impl Pair {
    fn new(effort: Effort) -> Pair {
        let lab = Lab::new();
        let leader = lab.leader_with(&["-c", "max_wal_size=8GB"]);
        let settings = ["fsync=on", "synchronous_commit=on", "max_wal_size=8GB"];
        let postgres = Oracle::start(lab.path(), &settings);
        let rows = effort.backup_rows;
        leader.sql("CREATE TABLE load(id INTEGER PRIMARY KEY, v INTEGER, note TEXT)");
        leader.sql(&format!(
            "CREATE TABLE bulk(id INTEGER PRIMARY KEY, v TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO bulk SELECT i, hex(randomblob(475)) FROM n; CHECKPOINT"
        ));
        let session = Session::connect(postgres.port(), "postgres").expect("connect to PostgreSQL");
        session.run(ROWS);
        session.run(&format!(
            "CREATE TABLE bulk AS SELECT i AS id, repeat(md5(i::text), 30) AS v FROM generate_series(1, {rows}) i"
        ));
        session.run("CHECKPOINT");
        let script = lab.file(
            "load.sql",
            "\\set v random(1, 1000000)\nINSERT INTO load(v, note) VALUES (:v, 'forty bytes of text, as a note would be');\n",
        );
        let size = "SELECT page_count * page_size / 1000000.0 FROM pragma_page_count, pragma_page_size";
        let megabytes = leader.sql(size).parse().expect("a size is a number");
        Pair { lab, leader, postgres, script, megabytes }
    }

    fn native(&self) -> f64 {
        let mut command = Command::new(program("walctl"));
        command.args(["basebackup", "-h", "127.0.0.1", "-U", "postgres", "-D", "copy"]);
        command.arg("-p").arg(self.leader.port().to_string()).current_dir(self.lab.path());
        self.timed(&mut command)
    }

    fn stock(&self, port: u16) -> f64 {
        self.timed(&mut stock_command(&self.lab, "pg_basebackup", port, &["-D", "copy", "-c", "fast"]))
    }

    /// `cp` of the same files, then a sync of each.
    fn plain_copy(&self) -> f64 {
        let mut command = Command::new("sh");
        command.args(["-c", "cp -r leader/base copy && find copy -type f -exec sync {} +"]);
        self.timed(command.current_dir(self.lab.path()))
    }

    /// Seconds that it takes, until its result `copy` is durable; that goes again.
    fn timed(&self, command: &mut Command) -> f64 {
        let begun = Instant::now();
        output_of(command).success();
        let seconds = begun.elapsed().as_secs_f64();
        std::fs::remove_dir_all(self.lab.path().join("copy")).expect("remove the copy");
        seconds
    }

    fn backups(&self, effort: Effort) -> Table {
        let mut table = Table::new(&[
            "",
            "database MB",
            "walctl",
            "pg_basebackup of walship",
            "pg_basebackup of PostgreSQL",
            "cp + sync",
            "walctl / PostgreSQL",
            "cp + sync / walctl",
        ]);
        for (what, port) in [("idle", None), ("written to", Some(self.leader.port()))] {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for port in port.into_iter().flat_map(|port| [port, self.postgres.port()]) {
                    let stop = &stop;
                    scope.spawn(move || self.write_until(port, stop));
                }
                let (mut ours, mut stock, mut theirs, mut copies) = (vec![], vec![], vec![], vec![]);
                for _ in 0..effort.rounds {
                    ours.push(self.native());
                    stock.push(self.stock(self.leader.port()));
                    theirs.push(self.stock(self.postgres.port()));
                    copies.push(self.plain_copy());
                }
                stop.store(true, Ordering::Relaxed);
                let [ours, stock, theirs, copies] =
                    [ours, stock, theirs, copies].map(|seconds| self.megabytes / median(seconds));
                table.row(vec![
                    what.to_owned(),
                    format!("{:.0}", self.megabytes),
                    format!("{ours:.0}"),
                    format!("{stock:.0}"),
                    format!("{theirs:.0}"),
                    format!("{copies:.0}"),
                    format!("{:.2}", ours / theirs),
                    format!("{:.2}", copies / ours),
                ]);
            });
        }
        table
    }

    fn write_until(&self, port: u16, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            pgbench(port, &self.script, &["-M", "prepared", "-c", LOAD_CLIENTS, "-T", "1"]).success();
        }
    }

    /// Each rate without and with backups, one after the other, for the whole run.
    fn slowed(&self, effort: Effort) -> Table {
        let mut table = Table::new(&["", "alone", "during backups", "kept", "during cp + sync", "kept"]);
        let run = |port| rate::run(port, &self.script, 4, effort).rate;
        type Work<'a> = &'a (dyn Fn() + Sync);
        let during = |port, work: Work<'_>| {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        work();
                    }
                });
                let rate = run(port);
                stop.store(true, Ordering::Relaxed);
                rate
            })
        };
        let ours: Work<'_> = &|| {
            self.native();
        };
        let theirs: Work<'_> = &|| {
            self.stock(self.postgres.port());
        };
        let copy: Work<'_> = &|| {
            self.plain_copy();
        };
        for (what, port, backup) in [
            ("walship, walctl", self.leader.port(), ours),
            ("PostgreSQL, pg_basebackup", self.postgres.port(), theirs),
        ] {
            let (mut alone, mut backed_up, mut copied) = (vec![], vec![], vec![]);
            for _ in 0..effort.rounds {
                alone.push(run(port));
                backed_up.push(during(port, backup));
                copied.push(during(port, copy));
            }
            let [alone, backed_up, copied] = [alone, backed_up, copied].map(median);
            table.row(vec![
                what.to_owned(),
                format!("{alone:.0}"),
                format!("{backed_up:.0}"),
                format!("{:.0} %", 100.0 * backed_up / alone),
                format!("{copied:.0}"),
                format!("{:.0} %", 100.0 * copied / alone),
            ]);
        }
        table
    }

    fn catch_up(&self, effort: Effort) -> Table {
        let mut table = Table::new(&["", "log MB", "MB/s"]);
        let rows = effort.backup_rows / 4;
        for (what, port) in [("walship", self.leader.port()), ("PostgreSQL", self.postgres.port())] {
            let session = Session::connect(port, "postgres").expect("connect");
            session.value("SELECT pg_create_physical_replication_slot('catch_up', true)");
            let begun = session.value("SELECT pg_current_wal_lsn()");
            for _ in 0..4 {
                session.run(&fill(what, rows));
            }
            let end = session.value("SELECT pg_current_wal_lsn()");
            session.value("SELECT pg_switch_wal()");
            session.run("INSERT INTO load(v) VALUES (1)");
            let bytes = session.value(&format!("SELECT pg_wal_lsn_diff('{end}', '{begun}')"));
            let megabytes = bytes.parse::<f64>().expect("a difference is a number") / 1e6;
            std::fs::create_dir(self.lab.path().join("copy")).expect("create the archive");
            let arguments = ["-D", "copy", "-n", "--slot", "catch_up", "--endpos", &end];
            let seconds = self.timed(&mut stock_command(&self.lab, "pg_receivewal", port, &arguments));
            session.value("SELECT pg_drop_replication_slot('catch_up')");
            table.row(vec![
                what.to_owned(),
                format!("{megabytes:.0}"),
                format!("{:.0}", megabytes / seconds),
            ]);
        }
        table
    }
}

/// Rows that give about as much log on both.
fn fill(what: &str, rows: u32) -> String {
    match what {
        "walship" => format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO load(v, note) SELECT i, hex(randomblob({})) FROM n",
            LOG_ROW_BYTES / 2
        ),
        _ => format!(
            "INSERT INTO load(v, note) SELECT i, repeat(md5(i::text), {}) FROM generate_series(1, {rows}) i",
            LOG_ROW_BYTES / 32
        ),
    }
}
