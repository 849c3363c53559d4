//! Existing SQLite files come in and go out online, and are what they were.

use walship_tests::{Lab, Load, assert_identical, generate_shop, pages, sqlite3};

#[test]
fn a_real_database_is_imported_replicated_and_exported() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    let source = lab.path().join("shop.db");
    generate_shop(&source).unwrap();
    let load = Load::start(&leader, 4);
    lab.import(&leader, &source, "shop");
    load.wait_for(50);
    assert_identical(&leader, &follower, "shop");
    assert_eq!(follower.connect_to("shop").value("SELECT count(*) FROM order_lines"), "150000");

    let copy = lab.path().join("copy.db");
    export(&lab, follower.port(), &copy);
    pages::assert_file_intact(&copy);
    let dump = |path| sqlite3(path, ".dump").success();
    assert!(dump(&copy) == dump(&source), "the exported database holds something else than the imported one");
    load.finish().verify(&leader);
}

fn export(lab: &Lab, port: u16, to: &std::path::Path) {
    let port = port.to_string();
    lab.walctl(&["export", "shop", &to.to_string_lossy(), "-h", "127.0.0.1", "-p", &port, "-U", "postgres"])
        .success();
}

#[test]
fn faults_of_import() {
    let lab = Lab::new();
    let leader = lab.leader();
    let port = leader.port().to_string();
    let good = lab.path().join("good.db");
    sqlite3(&good, "CREATE TABLE t(v); INSERT INTO t VALUES (1);").success();
    let text =
        lab.file("text.db", "this is not a database, although it is long enough to be one. ".repeat(20));
    let empty = lab.file("empty.db", "");
    let missing = lab.path().join("missing.db");
    for (name, file, database) in [
        ("import_not_a_database", &text, "x"),
        ("import_missing_file", &missing, "x"),
        ("import_over_existing", &good, "postgres"),
        ("import_bad_name", &good, "Bad Name"),
    ] {
        let output = lab.walctl(&[
            "import",
            &file.to_string_lossy(),
            "--as",
            database,
            "-h",
            "127.0.0.1",
            "-p",
            &port,
        ]);
        assert_ne!(output.status, Some(0), "{name}");
        walship_tests::golden(name, &output.transcript(), lab.path());
    }
    lab.import(&leader, &empty, "empty");
    lab.import(&leader, &good, "good");
    assert_eq!(leader.connect_to("good").value("SELECT v FROM t"), "1");
}
