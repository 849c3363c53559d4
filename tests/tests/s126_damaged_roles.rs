//! Damaged user data lets nobody in by password, is named in the log, and does not lock
//! the owner out, who mends it.

use walship_tests::{Lab, sqlite3, wait_until};

#[test]
fn damaged_verifiers_and_tables() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE ROLE ann LOGIN PASSWORD 'a' IN ROLE pg_read_all_data");
    leader.sql("CREATE ROLE bob LOGIN PASSWORD 'b' IN ROLE pg_read_all_data");
    std::fs::write(
        leader.dir().join("pg_hba.conf"),
        "local all all owner\nhost all postgres 127.0.0.1/32 owner\nhost all all all scram-sha-256\n",
    )
    .unwrap();
    leader.sql("SELECT pg_reload_conf()");
    let ask = |user: &str| leader.psql_as(user, Some(&user[..1]), "", "SELECT 1");
    assert_eq!(ask("ann").success(), "1");
    // somebody edits the file beside us
    let file = leader.database("pg_global");
    sqlite3(&file, "UPDATE pg_authid SET rolpassword = 'SCRAM-SHA-256$junk' WHERE rolname = 'ann'").success();
    let refused = ask("ann").failure();
    assert!(refused.contains("password authentication failed for user \"ann\""), "{refused}");
    wait_until("the log says why", || leader.log().contains("the role's password verifier is damaged"));
    assert_eq!(ask("bob").success(), "1");
    leader.sql("ALTER ROLE ann PASSWORD 'a'");
    assert_eq!(ask("ann").success(), "1");
    // the whole table
    sqlite3(&file, "ALTER TABLE pg_authid RENAME TO lost").success();
    for user in ["ann", "bob"] {
        assert!(ask(user).failure().contains("password authentication failed"), "{user}");
    }
    wait_until("the log says what is wrong", || {
        let log = leader.log();
        log.contains("could not read the roles") && log.contains("no such table: pg_authid")
    });
    assert_eq!(leader.sql("SELECT rolname FROM pg_roles"), "postgres");
    sqlite3(&file, "ALTER TABLE lost RENAME TO pg_authid").success();
    for user in ["ann", "bob"] {
        assert_eq!(ask(user).success(), "1", "{user}");
    }
}
