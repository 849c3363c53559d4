//! SQL errors carry PostgreSQL's codes, a message with its values, and the position.

use walship_tests::Lab;

#[test]
fn errors_have_codes_messages_and_positions() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql(
        "CREATE TABLE parent(id INTEGER PRIMARY KEY);
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER CHECK (age > 0), \
             parent INTEGER REFERENCES parent(id)) STRICT;
         INSERT INTO t VALUES (1, 'one', 1, NULL)",
    );
    let mut all = String::new();
    for statement in [
        "SELECT * FROM nosuch",
        "SELECT nosuch FROM t",
        "SELECT nosuch(1)",
        "SELEKT 1",
        "SELECT 1 +",
        "SELECT 'unterminated",
        "INSERT INTO t VALUES (1, 'two', 2, NULL)",
        "INSERT INTO t VALUES (2, 'one', 2, NULL)",
        "INSERT INTO t VALUES (2, NULL, 2, NULL)",
        "INSERT INTO t VALUES (2, 'two', -1, NULL)",
        "INSERT INTO t VALUES (2, 'two', 2, 99)",
        "INSERT INTO t VALUES (2, 'two', 'old', NULL)",
        "INSERT INTO t VALUES (2)",
        "CREATE TABLE t(v)",
        "DROP TABLE nosuch",
        "CREATE INDEX i ON nosuch(v)",
        "SELECT * FROM t, t ORDER BY id",
        "ROLLBACK TO nosuch",
        "SELECT $1",
        "SELECT abs(-9223372036854775808)",
        "SELECT json('{')",
        "COPY nosuch FROM STDIN",
        "SHOW nosuch",
        "START_REPLICATION 0/0",
    ] {
        let output = leader.psql("postgres", &["-v", "VERBOSITY=verbose", "-c", statement]);
        all += &format!("=> {statement}\n{}\n{}\n\n", output.stdout, output.stderr);
    }
    walship_tests::golden("sql_errors", &all, lab.path());
}
