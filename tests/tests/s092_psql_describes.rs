//! psql's \d commands show on walship what they show on PostgreSQL for the same tables; what cannot be answered is one
//! clear error.

use std::process::Command;

use walship_tests::{Lab, Oracle, Output, output_of, postgres_program};

/// Tables that both understand, with everything that \d has a line for.
const SCHEMA: &str = "
    CREATE TABLE customer(id bigint NOT NULL PRIMARY KEY, name text NOT NULL, email varchar(40) UNIQUE,
                          credit double precision DEFAULT 0.5, active boolean NOT NULL DEFAULT true, born date,
                          seen timestamp with time zone, raw bytea, CHECK (id > 0));
    CREATE TABLE orders(id bigint NOT NULL PRIMARY KEY,
                        customer_id bigint REFERENCES customer(id) ON DELETE CASCADE, total numeric, note text,
                        CONSTRAINT far CHECK (id <> customer_id));
    CREATE INDEX orders_customer ON orders(customer_id, total DESC);
    CREATE UNIQUE INDEX orders_note ON orders(note) WHERE note IS NOT NULL;
    CREATE VIEW big AS SELECT id, total FROM orders WHERE total > 100;
";

const SAME: [&str; 32] = [
    "\\l postgres",
    "\\dt",
    "\\di",
    "\\dv",
    "\\d",
    "\\d customer",
    "\\d orders",
    "\\d public.orders",
    "\\d big",
    "\\d orders_customer",
    "\\d orders_note",
    "\\d+ orders_customer",
    "\\d nothing",
    "\\dn",
    "\\du",
    "\\du+",
    "\\dg",
    "\\dt cust*",
    "\\dt nothing",
    "\\dt public.*",
    "\\dtvi",
    "\\ds",
    "\\dm",
    "\\dp customer",
    "\\dT",
    "\\dD",
    "\\dE",
    "\\dO",
    "\\dconfig max_connections",
    "\\dv pg_stat_wal*",
    "\\d pg_stat_replication",
    "\\d pg_replication_slots",
];
/// These have sizes or PostgreSQL's own wording of an expression in them, and only have to say something.
const ANSWERED: [&str; 9] =
    ["\\l", "\\l+", "\\dt+", "\\di+", "\\d+ customer", "\\sv big", "\\x \\\\ \\dt", "\\db", "\\dn+"];
/// Each is one error that names what to ask instead.
const REFUSED: [(&str, &str); 6] = [
    ("\\df", "pg_stat_activity"),
    ("\\da", "pg_stat_activity"),
    ("\\dF", "pg_stat_activity"),
    ("\\dC", "pg_stat_activity"),
    ("\\dRp", "pg_stat_activity"),
    ("SELECT * FROM information_schema.tables", "pg_tables"),
];

fn psql(port: u16, commands: &[&str]) -> Output {
    let mut psql = Command::new(postgres_program("psql"));
    psql.args(["-X", "-q", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-p"])
        .arg(port.to_string());
    for command in commands {
        psql.args(["-c", command]);
    }
    output_of(psql.env("LC_ALL", "C.UTF-8").env_remove("PSQLRC"))
}

#[test]
fn the_same_is_shown_as_by_postgresql() {
    let lab = Lab::new();
    let oracle = Oracle::start(lab.path(), &[]);
    let leader = lab.leader();
    for port in [oracle.port(), leader.port()] {
        psql(port, &[SCHEMA]).success();
    }
    let mut different = Vec::new();
    for command in SAME {
        let [ours, theirs] = [leader.port(), oracle.port()].map(|port| psql(port, &[command]).transcript());
        if ours != theirs {
            different.push(format!("{command}\nwalship:\n{ours}PostgreSQL:\n{theirs}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    for command in ANSWERED {
        let shown = psql(leader.port(), &command.split(" \\\\ ").collect::<Vec<_>>());
        assert!(shown.stderr.is_empty() && shown.stdout.len() > 20, "{command}: {}", shown.transcript());
    }
    for (command, hint) in REFUSED {
        let said = psql(leader.port(), &[command]).failure();
        let errors = said.lines().filter(|line| line.starts_with("ERROR:")).count();
        assert!(errors == 1 && said.contains("HINT:") && said.contains(hint), "{command}: {said}");
    }
    // psql itself leaves the hint out
    let said = psql(leader.port(), &["\\sf version"]).failure();
    assert_eq!(said, "ERROR:  functions are built in: there is no definition to show");
}

#[test]
fn pg_dump_is_told_what_to_use_instead() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut dump = Command::new(postgres_program("pg_dump"));
    dump.args(["-h", "127.0.0.1", "-U", "postgres", "-p"]).arg(leader.port().to_string()).arg("postgres");
    let said = output_of(&mut dump).failure();
    assert!(said.contains("walctl export"), "{said}");
}
