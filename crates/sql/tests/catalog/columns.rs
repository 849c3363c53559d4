//! Every view of the catalog has the columns of a real PostgreSQL 15, by name, type and order.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use walship_sql::catalog;

/// Where Debian and the project itself put PostgreSQL 15.
const PROGRAMS: [&str; 2] = ["/usr/lib/postgresql/15/bin", "/usr/pgsql-15/bin"];
/// Views of ours that PostgreSQL does not have.
const OURS: [&str; 4] =
    ["walship_stat_database", "walship_stat_synchronous", "walship_stat_failover", "walship_role_privileges"];

fn programs() -> PathBuf {
    let found = PROGRAMS.iter().map(Path::new).find(|path| path.join("postgres").exists());
    found.unwrap_or_else(|| panic!("PostgreSQL 15 is not installed: no postgres in {PROGRAMS:?}")).to_owned()
}

/// Runs one of PostgreSQL's programs as an ordinary user: it refuses to run as root.
fn run(program: &Path, arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let root = Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0\n");
    let mut command = if root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let pipe = std::process::Stdio::piped;
    command.args(arguments).stdin(pipe()).stdout(pipe()).stderr(pipe()).current_dir("/");
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    output
}

/// What PostgreSQL answers, from a server in single-user mode: no port, no socket, nothing to stop.
fn postgres_columns() -> Vec<String> {
    let programs = programs();
    let directory = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    run(&programs.join("initdb"), &["-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], "");
    let query = "SELECT 'column:' || c.relname || ' ' || a.attname || ' ' || t.typname AS line \
                 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid \
                 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace = 11 \
                 UNION ALL SELECT 'column:' || p.proname || ' ' || n || ' ' || t.typname \
                 FROM pg_proc p, unnest(p.proargnames, p.proallargtypes) WITH ORDINALITY AS a(n, o, at) \
                 JOIN pg_type t ON t.oid = a.o WHERE p.proname LIKE 'pg_control_%' OR p.proname = 'pg_ls_waldir'\n";
    let output = run(&programs.join("postgres"), &["--single", "-D", data, "postgres"], query);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| Some(line.split_once("column:")?.1.split_once('"')?.0.to_owned());
    text.lines().filter_map(line).collect()
}

#[test]
fn columns_are_those_of_postgresql_15() {
    let real = postgres_columns();
    assert!(real.len() > 1000, "PostgreSQL listed only {} columns", real.len());
    for table in catalog::table_names().filter(|table| !OURS.contains(table)) {
        let begin = format!("{table} ");
        let theirs: Vec<&str> =
            real.iter().filter(|line| line.starts_with(&begin)).map(String::as_str).collect();
        let columns = catalog::column_types(table).unwrap().iter();
        let ours: Vec<String> =
            columns.map(|(name, kind)| format!("{table} {name} {}", kind.type_name())).collect();
        assert_eq!(ours, theirs, "{table}");
    }
}
