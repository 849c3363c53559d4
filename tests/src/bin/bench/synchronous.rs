use std::path::Path;
use std::process::Command;

use walship_tests::{Session, output_of, postgres_program, wait_until};

use crate::table::{Table, median};
use crate::{Effort, Systems};

const CLIENTS: [u32; 3] = [1, 16, 64];
const LEVELS: [&str; 5] = ["off", "local", "remote_write", "on", "remote_apply"];

/// Rates and latencies at each level of `synchronous_commit`, both systems in turn, each with one synchronous follower.
pub(crate) fn measure(systems: &Systems<'_>, effort: Effort) -> Table {
    let ports = [systems.leader.port(), systems.postgres.port()];
    ports.iter().for_each(|port| set_names(*port, "*"));
    let (ours, theirs) = (systems.leader.port(), systems.postgres.port());
    create(ours, "CREATE TABLE waits(id INTEGER PRIMARY KEY, v INTEGER, note TEXT)");
    create(theirs, "CREATE TABLE waits(id BIGSERIAL PRIMARY KEY, v INTEGER, note TEXT)");
    let script = systems.lab.file(
        "waits.sql",
        "\\set v random(1, 1000000)\nINSERT INTO waits(v, note) VALUES (:v, 'forty bytes of text, as a note would be');\n",
    );
    let mut table = Table::new(&[
        "level",
        "clients",
        "walship/s",
        "p50 ms",
        "p99 ms",
        "PostgreSQL/s",
        "p50 ms",
        "p99 ms",
        "ratio of rates",
    ]);
    for level in LEVELS {
        for clients in CLIENTS {
            let mut runs = [Vec::new(), Vec::new()];
            for round in 0..effort.rounds {
                // in turn, and each of them first as often as second
                let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
                for system in order {
                    let logs =
                        systems.lab.path().join(format!("latencies-{level}-{clients}-{round}-{system}"));
                    runs[system].push(run(ports[system], &script, level, clients, effort, &logs));
                }
            }
            let [ours, theirs] = runs.map(|runs| middle(&runs));
            table.row(vec![
                level.to_owned(),
                clients.to_string(),
                format!("{:.0}", ours.rate),
                format!("{:.2}", ours.p50_ms),
                format!("{:.2}", ours.p99_ms),
                format!("{:.0}", theirs.rate),
                format!("{:.2}", theirs.p50_ms),
                format!("{:.2}", theirs.p99_ms),
                format!("{:.2}", ours.rate / theirs.rate),
            ]);
        }
    }
    ports.iter().for_each(|port| set_names(*port, ""));
    table
}

fn create(port: u16, table: &str) {
    Session::connect(port, "postgres").expect("connect").run(table);
}

/// Puts `synchronous_standby_names` in force, and waits until the follower counts.
fn set_names(port: u16, names: &str) {
    let session = Session::connect(port, "postgres").expect("connect");
    session.run(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
    session.run("SELECT pg_reload_conf()");
    let state = if names.is_empty() { "async" } else { "sync" };
    let sql = format!("SELECT count(*) FROM pg_stat_replication WHERE sync_state = '{state}'");
    wait_until(&format!("the follower is {state}"), || session.value(&sql) == "1");
}

#[derive(Debug, Clone, Copy)]
struct Run {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// The medians of several runs.
fn middle(runs: &[Run]) -> Run {
    let of = |value: fn(&Run) -> f64| median(runs.iter().map(value).collect());
    Run { rate: of(|run| run.rate), p50_ms: of(|run| run.p50_ms), p99_ms: of(|run| run.p99_ms) }
}

/// One run of pgbench, which writes the latency of each transaction into files of the directory `logs`.
fn run(port: u16, script: &Path, level: &str, clients: u32, effort: Effort, logs: &Path) -> Run {
    std::fs::create_dir_all(logs).expect("create the directory of pgbench's logs");
    let mut pgbench = Command::new(postgres_program("pgbench"));
    pgbench.args(["-h", "127.0.0.1", "-U", "postgres", "-n", "-M", "prepared", "-j", "2", "-l", "-p"]);
    pgbench.arg(port.to_string()).arg("-f").arg(script).arg("-T").arg(effort.run.as_secs().to_string());
    pgbench.arg("-c").arg(clients.to_string()).arg("--log-prefix").arg(logs.join("log")).arg("postgres");
    pgbench.env("PGOPTIONS", format!("-c synchronous_commit={level}"));
    output_of(&mut pgbench).success();
    let mut latencies_us = latencies(logs);
    std::fs::remove_dir_all(logs).expect("remove pgbench's logs");
    latencies_us.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a benchmark")]
    let at = |percent: usize| {
        let place = (latencies_us.len() * percent / 100).min(latencies_us.len().saturating_sub(1));
        latencies_us.get(place).map_or(0.0, |us| *us as f64 / 1000.0)
    };
    #[expect(clippy::cast_precision_loss, reason = "a benchmark")]
    let rate = latencies_us.len() as f64 / effort.run.as_secs_f64();
    Run { rate, p50_ms: at(50), p99_ms: at(99) }
}

/// The third number of each line: microseconds.
fn latencies(logs: &Path) -> Vec<u64> {
    let files = std::fs::read_dir(logs).expect("read the directory of pgbench's logs");
    let texts = files.map(|file| {
        std::fs::read_to_string(file.expect("a log of pgbench").path()).expect("read a log of pgbench")
    });
    let number = |line: &str| line.split(' ').nth(2).and_then(|us| us.parse().ok());
    texts.flat_map(|text| text.lines().filter_map(number).collect::<Vec<u64>>()).collect()
}
