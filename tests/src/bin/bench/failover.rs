use std::time::{Duration, Instant};

use walship_tests::{Lab, Node, Writer, wait_caught_up, wait_until};

use crate::Effort;
use crate::table::{Table, median};

/// Rows of the database that changes hands, about 100 bytes each.
const ROWS: u32 = 200_000;

/// How long a change of roles keeps writers waiting, as they see it themselves.
pub(crate) fn measure(effort: Effort) -> Table {
    let mut table = Table::new(&["what", "milliseconds", "aim"]);
    let mut promoted = Vec::new();
    let mut commanded = Vec::new();
    let mut paused = Vec::new();
    for _ in 0..effort.rounds {
        let (first_write, command) = promote();
        promoted.push(first_write);
        commanded.push(command);
        paused.extend(switchovers());
    }
    let mut row = |what: &str, values: Vec<f64>, aim: &str| {
        table.row(vec![what.to_owned(), format!("{:.0}", median(values)), aim.to_owned()]);
    };
    row("promote: from the command to the first write", promoted, "200");
    row("promote: the command itself", commanded, "");
    row("switchover: longest gap between two commits of a libpq client", paused, "500");
    table
}

fn pair(lab: &Lab) -> (Node, Node) {
    let leader = lab.leader_with(&["-c", "cluster_name=first"]);
    let follower = lab.follower_with("second", leader.port(), &[]);
    leader.sql(&format!(
        "CREATE TABLE written(id INTEGER PRIMARY KEY AUTOINCREMENT, writer TEXT, number INTEGER); \
         CREATE TABLE filler(id INTEGER PRIMARY KEY, v TEXT); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         INSERT INTO filler SELECT i, hex(randomblob(45)) FROM n"
    ));
    wait_caught_up(&leader, &follower);
    (leader, follower)
}

/// Milliseconds until a session that is connected all along can write, and until the command
/// has ended.
fn promote() -> (f64, f64) {
    let lab = Lab::new();
    let (mut leader, follower) = pair(&lab);
    let session = follower.connect();
    leader.kill();
    let begun = Instant::now();
    let writer = std::thread::spawn(move || {
        while session.query("INSERT INTO written(writer) VALUES('first')").is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        begun.elapsed()
    });
    lab.walctl(&["promote", "-D", &follower.dir().to_string_lossy()]).success();
    let command = begun.elapsed();
    let first = writer.join().expect("the session writes");
    (milliseconds(first), milliseconds(command))
}

/// The longest gap, in milliseconds, at a switchover there and at the one back.
fn switchovers() -> Vec<f64> {
    let lab = Lab::new();
    let (first, second) = pair(&lab);
    let conninfo = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname=postgres target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    let writer = Writer::start(&conninfo, "client", lab.path().join("client.told"));
    let written = |more: usize| {
        let target = writer.acknowledged() + more;
        wait_until("the client writes", || writer.acknowledged() >= target);
    };
    written(200);
    let mut marks = vec![writer.told().len()];
    for (from, to) in [(&first, &second), (&second, &first)] {
        let (from, to) = (format!("127.0.0.1:{}", from.port()), format!("127.0.0.1:{}", to.port()));
        lab.walctl(&["switchover", "--from", &from, "--to", &to]).success();
        written(200);
        marks.push(writer.told().len());
    }
    let told = writer.finish();
    let ends: Vec<(usize, f64)> = told
        .iter()
        .enumerate()
        .filter(|(_, row)| row.outcome == "ack")
        .map(|(at, row)| (at, row.ended))
        .collect();
    let longest = |from: usize, to: usize| {
        let gaps = ends.windows(2).filter(|pair| pair[0].0 >= from.saturating_sub(1) && pair[1].0 <= to);
        gaps.map(|pair| (pair[1].1 - pair[0].1) * 1000.0).fold(0.0, f64::max)
    };
    marks.windows(2).map(|pair| longest(pair[0], pair[1])).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
