//! COPY in and out, text and csv, as psql's \copy sends it.

use walship_tests::{Lab, assert_identical};

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, f REAL, t TEXT, b BLOB)";

#[test]
fn text_format_round_trips() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql(TABLE);
    let rows = "1\t1.5\tplain\t\\\\x00ff\n2\t\\N\ttab\\tnewline\\nbackslash\\\\\t\\N\n3\t-2\t\t\\\\x\n";
    let file = lab.file("rows.txt", rows);
    leader.sql(&format!("\\copy t FROM '{}'", file.display()));
    assert_eq!(leader.sql("SELECT count(*), count(f), count(b) FROM t"), "3|2|2");
    assert_eq!(
        leader.sql("SELECT hex(t) FROM t WHERE id = 2"),
        "746162096E65776C696E650A6261636B736C6173685C"
    );
    assert_eq!(leader.sql("SELECT hex(b), typeof(b) FROM t WHERE id = 1"), "00FF|blob");
    assert_eq!(leader.sql("COPY t TO STDOUT") + "\n", rows);
    assert_identical(&leader, &follower, "postgres");
    // a follower copies out as well
    assert_eq!(follower.sql("COPY (SELECT id FROM t ORDER BY id) TO STDOUT"), "1\n2\n3");
}

#[test]
fn csv_format_with_header_and_options() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql(TABLE);
    let file = lab.file("rows.csv", "id,t\n1,\"comma, \"\"quote\"\"\"\n2,\"two\nlines\"\n3,\n4,\"\"\n");
    leader.sql(&format!("\\copy t(id, t) FROM '{}' WITH (FORMAT csv, HEADER)", file.display()));
    assert_eq!(leader.sql("SELECT count(*) FROM t WHERE t IS NULL"), "1");
    assert_eq!(leader.sql("SELECT t FROM t WHERE id = 1"), "comma, \"quote\"");
    let out = leader.sql("COPY t(id, t) TO STDOUT WITH (FORMAT csv, HEADER)");
    assert_eq!(out, "id,t\n1,\"comma, \"\"quote\"\"\"\n2,\"two\nlines\"\n3,\n4,\"\"");
}

#[test]
fn a_bad_row_undoes_the_whole_copy_and_names_its_line() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql(TABLE);
    let file = lab.file("bad.txt", "1\t1\ta\t\\N\n2\t2\tb\n3\t3\tc\t\\N\n");
    let said = leader.psql("postgres", &["-c", &format!("\\copy t FROM '{}'", file.display())]).failure();
    walship_tests::golden("copy_missing_column", &said, lab.path());
    let file = lab.file("twice.txt", "1\t1\ta\t\\N\n1\t2\tb\t\\N\n");
    let said = leader.psql("postgres", &["-c", &format!("\\copy t FROM '{}'", file.display())]).failure();
    walship_tests::golden("copy_duplicate_key", &said, lab.path());
    assert_eq!(leader.sql("SELECT count(*) FROM t"), "0");
    leader.sql("INSERT INTO t(id) VALUES (1)");
}

#[test]
fn a_copy_inside_a_transaction_is_undone_with_it() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE n(i INTEGER)");
    let numbers: String = (0..50_000).map(|i| format!("{i}\n")).collect();
    let file = lab.file("numbers.txt", numbers);
    let script = lab.file(
        "script.sql",
        format!(
            "BEGIN;\n\\copy n FROM '{0}'\nROLLBACK;\nBEGIN;\n\\copy n FROM '{0}'\nCOMMIT;\n",
            file.display()
        ),
    );
    leader.psql("postgres", &["-f", &script.to_string_lossy()]).success();
    assert_eq!(leader.sql("SELECT count(*), sum(i) FROM n"), "50000|1249975000");
}
