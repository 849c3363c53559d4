//! The statements that psql 15 sends for its \d commands, word for word, and what they come to.

use crate::session::{SCHEMA, Session};

const LIST: &str = r#"SELECT n.nspname as "Schema",
  c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN (KINDS)
      AND n.nspname <> 'pg_catalog'
      AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2;"#;

#[test]
fn lists_relations() {
    let session = Session::new(SCHEMA);
    let list = |kinds| session.rows(&LIST.replace("KINDS", kinds));
    assert_eq!(list("'r','p',''"), ["public|child|table|postgres", "public|parent|table|postgres"]);
    assert_eq!(list("'v',''"), ["public|vv|view|postgres"]);
    let indexes = ["child_p", "child_pkey", "parent_name_key", "parent_pkey"];
    assert_eq!(list("'i','I',''"), indexes.map(|name| format!("public|{name}|index|postgres")));
}

/// The statements of psql -E for one command, in order.
fn sent(command: &str) -> Vec<&'static str> {
    let recorded = include_str!("psql15.sql");
    let begin = format!("-- {command}\n");
    let (_, rest) = recorded.split_once(&begin).unwrap_or_else(|| panic!("{command} is not recorded"));
    let end = rest.find("\n-- \\").unwrap_or(rest.len());
    rest[..end].split("\n--;\n").map(str::trim).filter(|sql| !sql.is_empty()).collect()
}

/// Runs every statement of a \d NAME with the oid that its first one finds.
fn describe(session: &Session, command: &str) -> Vec<Vec<String>> {
    let mut oid = String::new();
    let mut answers = Vec::new();
    for sql in sent(command) {
        let rows = session.rows(&sql.replace("OID", &oid));
        if oid.is_empty() {
            oid = rows.first().and_then(|row| row.split('|').next()).unwrap_or_default().to_owned();
        }
        answers.push(rows);
    }
    answers
}

#[test]
fn every_recorded_statement_is_answered() {
    let session = Session::new(SCHEMA);
    let commands = include_str!("psql15.sql").lines().filter_map(|line| line.strip_prefix("-- \\"));
    let mut count = 0;
    for command in commands {
        describe(&session, &format!("\\{command}"));
        count += 1;
    }
    assert!(count >= 15, "only {count} commands recorded");
}

#[test]
fn lists_databases_schemas_and_roles() {
    let session = Session::new("");
    let first = |command| session.rows(sent(command)[0]);
    assert_eq!(first("\\l"), ["postgres|postgres|UTF8|C|C||libc|"]);
    assert_eq!(first("\\dn"), ["public|pg_database_owner"]);
    assert_eq!(first("\\du"), ["postgres|t|t|t|t|t|-1||{}|t|t"]);
}

#[test]
fn describes_a_table() {
    let answers = describe(&Session::new(SCHEMA), "\\d child");
    let key = "child_parent_id_fkey|FOREIGN KEY (parent_id) REFERENCES parent(id) ON DELETE CASCADE|child";
    let expected: Vec<Vec<String>> = vec![
        vec!["1|r|t|f|t|f|f|0|f||0||p|d|heap".to_owned()],
        ["id|bigint||t|||", "parent_id|bigint||f|||", "b|boolean||f|||"].map(str::to_owned).to_vec(),
        vec![
            "child_pkey|t|t|f|t|CREATE UNIQUE INDEX child_pkey ON child USING btree (id)|PRIMARY KEY (id)|p|f|f|f|0".to_owned(),
            "child_p|f|f|f|t|CREATE INDEX child_p ON child USING btree (parent_id)|||||f|0".to_owned(),
        ],
        vec!["child_id_check|CHECK (id > 0)".to_owned()],
        vec![format!("1|{key}")],
        vec![],
        vec![],
        vec![],
        vec![],
        vec!["tr|CREATE TRIGGER tr AFTER INSERT ON child BEGIN SELECT 1; END|O|f|".to_owned()],
        vec![],
        vec![],
    ];
    assert_eq!(answers[1..], expected);
}

#[test]
fn describes_what_refers_to_a_table() {
    let answers = describe(&Session::new(SCHEMA), "\\d parent");
    let referring =
        "child_parent_id_fkey|child|FOREIGN KEY (parent_id) REFERENCES parent(id) ON DELETE CASCADE";
    assert!(answers.iter().any(|rows| rows == &[referring]), "{answers:?}");
}

#[test]
fn describes_an_index() {
    let answers = describe(&Session::new(SCHEMA), "\\d child_p");
    assert_eq!(answers[2], ["parent_id|bigint|yes|parent_id"]);
    assert_eq!(answers[3], ["f|f|f|t|0|0|f|f|btree|child|"]);
}
