use std::path::Path;

use walship_tests::pgbench;

use crate::table::{Table, median};
use crate::{Effort, Systems};

const CLIENTS: [u32; 3] = [1, 16, 64];

/// Creates the table that rows are inserted into, on both.
pub(crate) fn create(systems: &Systems<'_>) {
    systems.leader.sql("CREATE TABLE bench(id INTEGER PRIMARY KEY, v INTEGER, note TEXT)");
    psql_on_postgres(systems, "CREATE TABLE bench(id BIGSERIAL PRIMARY KEY, v INTEGER, note TEXT)");
}

/// Rates and latencies of each number of clients, both systems in turn.
pub(crate) fn measure(systems: &Systems<'_>, effort: Effort) -> Table {
    let script = systems.lab.file(
        "insert.sql",
        "\\set v random(1, 1000000)\nINSERT INTO bench(v, note) VALUES (:v, 'forty bytes of text, as a note would be');\n",
    );
    let mut table =
        Table::new(&["clients", "walship/s", "latency ms", "PostgreSQL/s", "latency ms", "ratio of rates"]);
    for clients in CLIENTS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            ours.push(run(systems.leader.port(), &script, clients, effort));
            theirs.push(run(systems.postgres.port(), &script, clients, effort));
        }
        let middle = |runs: &[Run], value: fn(&Run) -> f64| median(runs.iter().map(value).collect());
        let (our_rate, their_rate) = (middle(&ours, |run| run.rate), middle(&theirs, |run| run.rate));
        table.row(vec![
            clients.to_string(),
            format!("{our_rate:.0}"),
            format!("{:.2}", middle(&ours, |run| run.latency_ms)),
            format!("{their_rate:.0}"),
            format!("{:.2}", middle(&theirs, |run| run.latency_ms)),
            format!("{:.2}", our_rate / their_rate),
        ]);
    }
    table
}

/// What one run of pgbench says.
pub(crate) struct Run {
    pub(crate) rate: f64,
    pub(crate) latency_ms: f64,
    pub(crate) transactions: f64,
}

/// Runs pgbench for the effort's time.
pub(crate) fn run(port: u16, script: &Path, clients: u32, effort: Effort) -> Run {
    let (clients, seconds) = (clients.to_string(), effort.run.as_secs().to_string());
    let said =
        pgbench(port, script, &["-M", "prepared", "-c", &clients, "-j", "2", "-T", &seconds]).success();
    Run {
        rate: number_after(&said, "tps = "),
        latency_ms: number_after(&said, "latency average = "),
        transactions: number_after(&said, "number of transactions actually processed: "),
    }
}

fn number_after(text: &str, words: &str) -> f64 {
    let rest =
        text.split(words).nth(1).unwrap_or_else(|| panic!("pgbench did not print \"{words}\":\n{text}"));
    let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    digits.parse().unwrap_or_else(|e| panic!("pgbench printed no number after \"{words}\": {e}\n{text}"))
}

/// Runs statements on PostgreSQL.
pub(crate) fn psql_on_postgres(systems: &Systems<'_>, sql: &str) -> String {
    let session =
        walship_tests::Session::connect(systems.postgres.port(), "postgres").expect("connect to PostgreSQL");
    session.value(sql)
}
