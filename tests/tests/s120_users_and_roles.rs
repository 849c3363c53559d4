//! Users: made in PostgreSQL's spelling, kept as verifiers only, the same on every node and
//! after a promotion, and each may do what it was given and nothing else.

use std::io::Write as _;
use std::process::{Command, Stdio};

use walship_tests::{Lab, Node, assert_identical, golden, program, wait_caught_up};

/// Everybody but the tests' own user shows a password.
const RULES: &str = "host all,replication all all scram-sha-256\nlocal all all owner";

const SECRET: &str = "correct horse battery staple";

fn refused(node: &Node, user: &str, password: &str, sql: &str) -> String {
    node.psql_as(user, Some(password), "", sql).failure()
}

/// Runs `walctl` with a password on its standard input.
fn walctl(lab: &Lab, node: &Node, arguments: &[&str], input: &str) -> walship_tests::Output {
    let mut command = Command::new(program("walctl"));
    for variable in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"] {
        command.env_remove(variable);
    }
    command.args(arguments).args(["-h", "127.0.0.1", "-U", "postgres", "-p", &node.port().to_string()]);
    command.current_dir(lab.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end_matches('\n').to_owned();
    walship_tests::Output {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Whether any file below a directory holds these bytes.
fn holds(directory: &std::path::Path, secret: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => holds(&path, secret),
            kind if kind.is_file() => {
                let content = std::fs::read(&path).unwrap_or_default();
                content.windows(secret.len()).any(|window| window == secret)
            }
            _ => false,
        }
    })
}

#[test]
fn users_are_the_same_on_a_follower_and_after_its_promotion() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v)");
    leader.sql(&format!("CREATE USER ann PASSWORD '{SECRET}' IN ROLE pg_read_all_data"));
    leader.sql(&format!("CREATE ROLE bob LOGIN PASSWORD '{SECRET}' VALID UNTIL '2000-01-01'"));
    leader.sql("CREATE ROLE nobody");
    for node in [&leader, &follower] {
        node.set_access_rules(RULES);
    }
    wait_caught_up(&leader, &follower);
    for node in [&leader, &follower] {
        assert_eq!(node.psql_as("ann", Some(SECRET), "", "SELECT current_user").success(), "ann");
        assert!(
            refused(node, "ann", "wrong", "SELECT 1")
                .contains("password authentication failed for user \"ann\"")
        );
        assert!(
            refused(node, "bob", SECRET, "SELECT 1")
                .contains("password authentication failed for user \"bob\"")
        );
    }
    let shown =
        "SELECT oid, rolname, rolsuper, rolcanlogin, rolreplication, rolpassword FROM pg_authid ORDER BY oid";
    let roles = leader.sql(shown);
    assert_eq!(roles, follower.sql(shown));
    assert!(roles.contains("|SCRAM-SHA-256$4096:"), "{roles}");
    golden("psql_du", &leader.psql("postgres", &["-c", "\\du"]).success(), lab.path());
    // changes of one that is replaced, renamed, dropped
    leader.sql("ALTER ROLE ann RENAME TO anna; ");
    leader.sql("DROP ROLE bob, nobody");
    wait_caught_up(&leader, &follower);
    assert_eq!(follower.psql_as("anna", Some(SECRET), "", "SELECT 1").success(), "1");
    assert_eq!(follower.sql("SELECT count(*) FROM pg_roles"), "2");
    assert!(follower.psql("postgres", &["-c", "CREATE ROLE x"]).failure().contains("read-only"));
    assert_identical(&leader, &follower, "pg_global");
    leader.stop();
    assert_eq!(follower.sql("SELECT pg_promote()"), "t");
    assert_eq!(follower.psql_as("anna", Some(SECRET), "", "SELECT 1").success(), "1");
    follower.sql("ALTER ROLE anna PASSWORD 'new'");
    assert_eq!(follower.psql_as("anna", Some("new"), "", "SELECT 1").success(), "1");
    // nothing but verifiers reached a disk: databases, logs of records, lines of the logs
    assert!(!holds(lab.path(), SECRET.as_bytes()), "the password is in a file");
    assert!(holds(lab.path(), b"SCRAM-SHA-256$4096:"));
}

#[test]
fn roles_survive_a_crash_and_a_base_backup() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql("CREATE ROLE ann LOGIN PASSWORD 'a' IN ROLE pg_write_all_data");
    leader.set_access_rules(RULES);
    leader.kill();
    leader.start();
    assert_eq!(leader.psql_as("ann", Some("a"), "", "SELECT 1").success(), "1");
    let follower = lab.follower(&leader);
    // rules come with the backup, as PostgreSQL's do
    assert_eq!(follower.psql_as("ann", Some("a"), "", "SELECT 1").success(), "1");
    assert!(refused(&follower, "ann", "b", "SELECT 1").contains("password authentication failed"));
}

#[test]
fn each_may_do_what_it_was_given() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE DATABASE shop");
    leader.sql("CREATE TABLE t(v)");
    leader.psql("shop", &["-c", "CREATE TABLE t(v)"]).success();
    for sql in [
        "CREATE ROLE reader LOGIN PASSWORD 'p'",
        "CREATE ROLE writer LOGIN PASSWORD 'p'",
        "CREATE ROLE repl LOGIN REPLICATION PASSWORD 'p'",
        "CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'p'",
        "CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'p' IN ROLE pg_read_all_data",
        "CREATE ROLE ghost PASSWORD 'p'",
        "GRANT CONNECT ON DATABASE shop TO reader",
        "GRANT ALL ON DATABASE shop TO writer",
    ] {
        leader.sql(sql);
    }
    leader.set_access_rules(RULES);
    let ask = |user: &str, database: &str, sql: &str| {
        let output = leader.psql_as(user, Some("p"), &format!("dbname={database}"), sql);
        match output.status {
            Some(0) => format!("ok {}", output.stdout.trim()).trim().to_owned(),
            _ => output.stderr.trim().replace(&format!(" port {} ", leader.port()), " port PORT "),
        }
    };
    let mut told = String::new();
    for (user, database, sql) in [
        ("reader", "shop", "SELECT count(*) FROM t"),
        ("reader", "shop", "INSERT INTO t VALUES (1)"),
        ("reader", "shop", "COPY t FROM STDIN"),
        ("reader", "shop", "VACUUM"),
        ("reader", "shop", "CREATE TEMP TABLE own(v); INSERT INTO own VALUES (1)"),
        ("reader", "postgres", "SELECT 1"),
        ("writer", "shop", "INSERT INTO t VALUES (1)"),
        ("writer", "shop", "CREATE DATABASE more"),
        ("writer", "shop", "DROP DATABASE shop"),
        ("writer", "shop", "ALTER SYSTEM SET work_mem = '1MB'"),
        ("writer", "shop", "CHECKPOINT"),
        ("writer", "shop", "SELECT pg_reload_conf()"),
        ("writer", "shop", "SELECT pg_switch_wal()"),
        ("writer", "shop", "SELECT pg_promote()"),
        ("writer", "shop", "SELECT pg_create_physical_replication_slot('s')"),
        ("writer", "shop", "SELECT rolpassword FROM pg_authid"),
        ("writer", "shop", "SELECT * FROM pg_hba_file_rules"),
        ("writer", "shop", "SELECT rolpassword FROM pg_roles WHERE rolname = 'boss'"),
        ("writer", "shop", "CREATE ROLE x"),
        ("writer", "shop", "ALTER ROLE boss PASSWORD 'x'"),
        ("writer", "shop", "GRANT ALL ON DATABASE postgres TO writer"),
        ("writer", "shop", "ALTER ROLE writer SUPERUSER"),
        ("writer", "shop", "ALTER ROLE writer PASSWORD 'p'"),
        ("writer", "pg_global", "SELECT 1"),
        ("maker", "shop", "CREATE ROLE made"),
        ("maker", "shop", "CREATE ROLE made2 SUPERUSER"),
        ("maker", "shop", "DROP ROLE boss"),
        ("maker", "shop", "DROP ROLE made"),
        ("boss", "shop", "CREATE DATABASE more"),
        ("boss", "shop", "DROP ROLE boss"),
        ("boss", "shop", "DROP ROLE postgres"),
        ("boss", "shop", "CREATE ROLE pg_x"),
        ("boss", "shop", "CREATE ROLE boss"),
        ("boss", "shop", "ALTER ROLE nobody LOGIN"),
        ("boss", "shop", "GRANT SELECT ON t TO reader"),
        ("boss", "pg_global", "SELECT 1"),
        ("boss", "shop", "DROP DATABASE pg_global"),
        ("ghost", "shop", "SELECT 1"),
        ("repl", "shop", "SELECT 1"),
    ] {
        told.push_str(&format!("{user}@{database}: {sql}\n    {}\n", ask(user, database, sql)));
    }
    golden("privileges", &told, lab.path());
    // others' sessions and statements
    let session = leader.connect();
    let pid = session.value("SELECT pg_backend_pid()");
    let denied = ask("writer", "shop", &format!("SELECT pg_terminate_backend({pid})"));
    assert!(denied.contains("must be superuser or the same user"), "{denied}");
    let seen = ask("writer", "shop", &format!("SELECT query FROM pg_stat_activity WHERE pid = {pid}"));
    assert_eq!(seen, "ok <insufficient privilege>");
    assert_eq!(ask("boss", "shop", &format!("SELECT pg_terminate_backend({pid})")), "ok t");
    // replication
    let replicate =
        |user: &str| leader.psql_as(user, Some("p"), "dbname=x replication=true", "IDENTIFY_SYSTEM");
    assert_eq!(replicate("repl").status, Some(0));
    assert!(
        replicate("writer").failure().contains("must be superuser or replication role to start walsender")
    );
}

#[test]
fn a_change_counts_for_sessions_that_run() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v)");
    leader.sql("CREATE ROLE ann LOGIN IN ROLE pg_write_all_data");
    leader.set_access_rules("host all ann all trust");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let conninfo = format!("host=127.0.0.1 port={} user=ann dbname=postgres", leader.port());
        let (client, connection) = tokio_postgres::connect(&conninfo, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        leader.sql("REVOKE pg_write_all_data FROM ann");
        let denied = client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap_err();
        assert_eq!(denied.code().unwrap().code(), "42501");
        client.batch_execute("SELECT * FROM t").await.unwrap();
        leader.sql("DROP ROLE ann");
        let denied = client.batch_execute("SELECT * FROM t").await.unwrap_err();
        assert_eq!(denied.code().unwrap().code(), "42501");
    });
    assert_eq!(leader.sql("SELECT count(*) FROM t"), "1");
}

#[test]
fn walctl_manages_users() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE DATABASE shop");
    let run = |arguments: &[&str], input: &str| walctl(&lab, &leader, arguments, input);
    run(&["user", "add", "ann", "--read-only", "--database", "shop"], "a'\"\\ß\n").success();
    run(&["user", "add", "bob", "--read-write", "--valid-until", "2999-01-01"], "b\n").success();
    run(&["user", "add", "repl", "--replication"], "r\n").success();
    run(&["user", "add", "boss", "--superuser", "--no-password"], "").success();
    golden("walctl_user_list", &run(&["user", "list"], "").success(), lab.path());
    let json: serde_json::Value =
        serde_json::from_str(&run(&["user", "list", "--json"], "").success()).unwrap();
    assert_eq!(json["users"][0]["read"], serde_json::json!(["shop"]));
    leader.set_access_rules(RULES);
    let ann = |password| leader.psql_as("ann", Some(password), "dbname=shop", "SELECT 1");
    assert_eq!(ann("a'\"\\ß").success(), "1");
    run(&["user", "passwd", "ann"], "other\n").success();
    assert_eq!(ann("other").success(), "1");
    run(&["user", "remove", "ann"], "").success();
    ann("other").failure();
    let mut told = String::new();
    for (arguments, input) in [
        (&["user", "remove", "ann"][..], ""),
        (&["user", "add", "bob", "--read-only"], "x\n"),
        (&["user", "add", "eve", "--read-only"], ""),
        (&["user", "add", "eve", "--read-only", "--database", "gone"], "x\n"),
        (&["user", "add", "eve"], "x\n"),
        (&["user", "add", "eve", "--superuser", "--database", "shop"], "x\n"),
    ] {
        told.push_str(&format!("$ walctl {}\n{}\n", arguments.join(" "), run(arguments, input).stderr));
    }
    golden("walctl_user_faults", &told, lab.path());
    assert_eq!(leader.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'eve'"), "0");
}
