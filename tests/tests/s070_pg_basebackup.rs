//! PostgreSQL's `pg_basebackup`, unmodified, takes backups of a leader and of a follower
//! while they are written to, in all its ways, and followers start from what it wrote.

use std::path::Path;
use std::time::Instant;

use walship_tests::{
    Lab, Load, Node, Role, Session, assert_identical, golden, pg_verifybackup, spawn_stock, stock,
    stock_command, unpack, wait_until,
};

/// Starts a follower from the directory `name` of the lab, and holds it against the leader.
fn assert_follows(lab: &Lab, leader: &Node, name: &str, arguments: &[&str]) -> Node {
    let mut follower = lab.node(Role::Follower, name, arguments);
    assert!(follower.dir().join("control").exists(), "{name} is no data directory");
    follower.start();
    assert_identical(leader, &follower, "postgres");
    follower
}

fn primary(leader: &Node) -> String {
    format!("host=127.0.0.1 port={} user=postgres", leader.port())
}

/// A leader with something in it, and clients that go on writing.
fn busy_leader(lab: &Lab) -> (Node, Load) {
    let leader = lab.leader_with(&["--wal-segment-size", "1MB", "-c", "wal_keep_size=200MB"]);
    leader.sql(
        "CREATE TABLE bulk(id INTEGER PRIMARY KEY, v BLOB);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO bulk SELECT i, randomblob(1500) FROM n",
    );
    leader.sql("CREATE DATABASE second");
    let load = Load::start(&leader, 4);
    load.wait_for(50);
    (leader, load)
}

#[test]
fn plain_backups_start_as_they_are() {
    let lab = Lab::new();
    let (leader, load) = busy_leader(&lab);
    let said = stock(&lab, "pg_basebackup", &leader, &["-D", "streamed", "-c", "fast", "-R", "-P", "-v"]);
    assert_eq!(said.status, Some(0), "{}", said.transcript());
    assert!(said.stderr.contains("(100%), 1/1 tablespace"), "no true total: {}", said.stderr);
    load.wait_for(50);
    for (name, arguments) in [
        ("fetched", &["-X", "fetch", "-c", "fast", "-R"][..]),
        ("without_log", &["-X", "none", "-c", "fast", "-R"]),
        ("slot_made", &["-X", "stream", "-C", "-S", "made", "-c", "fast", "-R"]),
        ("slot_used", &["-X", "stream", "-S", "made", "-c", "fast", "-R"]),
        ("no_slot", &["-X", "stream", "--no-slot", "-c", "fast", "-R", "--no-sync", "--no-estimate-size"]),
    ] {
        stock(&lab, "pg_basebackup", &leader, &[&["-D", name], arguments].concat()).success();
        assert!(pg_verifybackup(&lab.path().join(name)).success().contains("successfully verified"));
        load.wait_for(20);
    }
    let record = load.finish();
    for name in ["streamed", "fetched", "without_log", "slot_made"] {
        let follower = assert_follows(&lab, &leader, name, &["--name", name]);
        record.verify(&follower);
        assert!(follower.connect_to("second").query("SELECT 1").is_ok());
    }
    // -R -S is remembered, as PostgreSQL remembers it
    let settings = std::fs::read_to_string(lab.path().join("slot_made/postgresql.auto.conf")).unwrap();
    assert!(settings.contains("primary_slot_name = 'made'"), "{settings}");
}

#[test]
fn unpacked_tar_backups_start_too() {
    let lab = Lab::new();
    let (leader, load) = busy_leader(&lab);
    for (name, arguments) in [
        ("tar", &["-X", "stream", "-R"][..]),
        ("gzip", &["-X", "fetch", "-z", "-R"]),
        ("lz4", &["-X", "stream", "--compress=client-lz4:1"]),
        ("zstd", &["-X", "none", "--compress=client-zstd:3"]),
    ] {
        let all = [&["-D", name, "-Ft", "-c", "fast"], arguments].concat();
        stock(&lab, "pg_basebackup", &leader, &all).success();
        load.wait_for(20);
        let unpacked = unpack(&lab.path().join(name));
        assert!(pg_verifybackup(&unpacked).success().contains("successfully verified"));
    }
    let record = load.finish();
    // with -R as it is; without, told where the leader is
    let primary = primary(&leader);
    for (name, arguments) in [
        ("tar-unpacked", &["--name", "a"][..]),
        ("gzip-unpacked", &["--name", "b"]),
        ("lz4-unpacked", &["--name", "c", "--primary", &primary]),
        ("zstd-unpacked", &["--name", "d", "--primary", &primary]),
    ] {
        record.verify(&assert_follows(&lab, &leader, name, arguments));
    }
}

#[test]
fn a_follower_is_backed_up_like_a_leader() {
    let lab = Lab::new();
    let (leader, load) = busy_leader(&lab);
    let follower = lab.follower(&leader);
    load.wait_for(50);
    for (name, arguments) in [("streamed", &["-X", "stream", "-R"][..]), ("fetched", &["-X", "fetch"])] {
        let all = [&["-D", name, "-c", "fast"], arguments].concat();
        stock(&lab, "pg_basebackup", &follower, &all).success();
        load.wait_for(20);
        assert!(pg_verifybackup(&lab.path().join(name)).success().contains("successfully verified"));
        let label = std::fs::read_to_string(lab.path().join(name).join("backup_label")).unwrap();
        assert!(label.contains("BACKUP FROM: standby"), "{label}");
    }
    let record = load.finish();
    // one follows the follower that it was taken from, the other the leader
    record.verify(&assert_follows(&lab, &leader, "streamed", &["--name", "cascaded"]));
    record.verify(&assert_follows(
        &lab,
        &leader,
        "fetched",
        &["--name", "direct", "--primary", &primary(&leader)],
    ));
}

#[test]
fn every_kind_of_manifest_is_written() {
    let lab = Lab::new();
    let (leader, _load) = busy_leader(&lab);
    for kind in ["NONE", "CRC32C", "SHA224", "SHA256", "SHA384", "SHA512"] {
        let option = format!("--manifest-checksums={kind}");
        stock(&lab, "pg_basebackup", &leader, &["-D", kind, "-c", "fast", "-X", "none", &option]).success();
        let directory = lab.path().join(kind);
        assert!(pg_verifybackup(&directory).success().contains("successfully verified"), "{kind}");
        let manifest = std::fs::read_to_string(directory.join("backup_manifest")).unwrap();
        let named = manifest.contains(&format!("\"Checksum-Algorithm\": \"{kind}\""));
        assert_eq!(named, kind != "NONE", "{manifest}");
    }
    let encoded = ["-D", "encoded", "-c", "fast", "-X", "none", "--manifest-force-encode"];
    stock(&lab, "pg_basebackup", &leader, &encoded).success();
    assert!(pg_verifybackup(&lab.path().join("encoded")).success().contains("successfully verified"));
    stock(&lab, "pg_basebackup", &leader, &["-D", "bare", "-c", "fast", "-X", "none", "--no-manifest"])
        .success();
    assert!(!lab.path().join("bare/backup_manifest").exists());
}

#[test]
fn a_rate_is_kept_and_shown_while_it_goes_on() {
    let lab = Lab::new();
    let (leader, load) = busy_leader(&lab);
    // 3 MB and more at 1 MB/s
    let arguments = ["-D", "slow", "-c", "fast", "-X", "stream", "-r", "1M", "-P"];
    let began = Instant::now();
    let mut backup = spawn_stock(&lab, "pg_basebackup", &leader, &arguments);
    let session = leader.connect();
    let view = "SELECT phase, backup_total > 3000000, backup_streamed BETWEEN 1 AND backup_total, \
                tablespaces_total, tablespaces_streamed FROM pg_stat_progress_basebackup";
    wait_until("the view shows the backup under way", || {
        let rows = session.query(view).unwrap();
        let text: Vec<_> =
            rows.first().into_iter().flatten().map(|v| v.clone().unwrap_or_default()).collect();
        text == ["streaming database files", "t", "t", "1", "0"]
    });
    let replication = "SELECT count(*) FROM pg_stat_replication WHERE state = 'backup'";
    assert_eq!(session.value(replication), "1");
    assert!(backup.wait_exit(walship_tests::DEADLINE).success(), "{}", backup.output());
    let seconds = began.elapsed().as_secs_f64();
    assert!(seconds > 2.5, "at 1 MB/s it took only {seconds} s");
    wait_until("the view is empty again", || session.query(view).unwrap().is_empty());
    drop(load);
}

#[test]
fn what_is_not_done_is_refused_with_the_way_out() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut all = String::new();
    for arguments in [
        &["-D", "a", "-Ft", "--compress=server-gzip:5"][..],
        &["-D", "a", "-Ft", "--compress=server-zstd"],
        &["-t", "blackhole", "-X", "none"],
        &["-t", "server:/tmp/x", "-X", "none"],
    ] {
        let output = stock(&lab, "pg_basebackup", &leader, arguments);
        all += &format!("$ pg_basebackup {}\n{}", arguments.join(" "), output.transcript());
    }
    golden("pg_basebackup_refused", &all, lab.path());
    assert!(!lab.path().join("a").exists());
}

#[test]
fn a_directory_without_a_signal_file_is_not_taken_for_a_leaders() {
    let lab = Lab::new();
    let leader = lab.leader();
    stock(&lab, "pg_basebackup", &leader, &["-D", "backup", "-c", "fast"]).success();
    let mut all = String::new();
    for program in ["walsender", "walreceiver"] {
        let output = lab.run(program, &["-D", "backup", "--listen", "127.0.0.1:1"]);
        all += &format!("$ {program} -D backup\n{}", output.transcript());
    }
    golden("backup_without_signal", &all, lab.path());
    assert_follows(&lab, &leader, "backup", &["--primary", &primary(&leader), "--name", "told"]);
}

#[test]
fn a_spread_checkpoint_takes_its_time_and_a_fast_one_does_not() {
    let lab = Lab::new();
    let leader = lab.leader();
    // some MB in the -wal, which a checkpoint has to make durable
    leader.sql("CREATE TABLE t(v BLOB); INSERT INTO t VALUES (randomblob(3000000))");
    let spread = ["-D", "spread", "-c", "spread", "-X", "none"];
    let began = Instant::now();
    let mut backup = spawn_stock(&lab, "pg_basebackup", &leader, &spread);
    let session = leader.connect();
    wait_until("the backup waits for its checkpoint", || {
        session
            .query("SELECT phase FROM pg_stat_progress_basebackup")
            .unwrap()
            .iter()
            .flatten()
            .any(|phase| phase.as_deref() == Some("waiting for checkpoint to finish"))
    });
    assert!(backup.wait_exit(walship_tests::DEADLINE).success(), "{}", backup.output());
    let spread = began.elapsed();
    let fast = |session: &Session| {
        session.run("INSERT INTO t VALUES (randomblob(3000000))");
        let began = Instant::now();
        session.run("CHECKPOINT");
        began.elapsed()
    };
    let fast = fast(&session);
    assert!(spread > fast * 2, "spread over {spread:?}, fast in {fast:?}");
}

#[test]
fn a_second_request_hurries_a_spread_checkpoint() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v BLOB); INSERT INTO t VALUES (randomblob(20000000))");
    let spread = ["-D", "spread", "-c", "spread", "-X", "none"];
    let mut backup = spawn_stock(&lab, "pg_basebackup", &leader, &spread);
    let session = leader.connect();
    wait_until("the backup waits for its checkpoint", || {
        session
            .query("SELECT phase FROM pg_stat_progress_basebackup")
            .unwrap()
            .iter()
            .flatten()
            .any(|phase| phase.as_deref() == Some("waiting for checkpoint to finish"))
    });
    let began = Instant::now();
    session.run("CHECKPOINT");
    assert!(began.elapsed().as_secs() < 10, "CHECKPOINT waited for the spread one: {:?}", began.elapsed());
    assert!(backup.wait_exit(walship_tests::DEADLINE).success(), "{}", backup.output());
}

#[test]
fn an_archive_can_go_to_standard_output() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    std::fs::create_dir(lab.path().join("piped")).unwrap();
    let mut command = stock_command(&lab, "pg_basebackup", leader.port(), &["-D", "-", "-Ft", "-X", "fetch"]);
    let file = std::fs::File::create(lab.path().join("piped/base.tar")).unwrap();
    let status = command.args(["-c", "fast", "-R"]).stdout(file).status().unwrap();
    assert!(status.success());
    let unpacked = unpack(&lab.path().join("piped"));
    assert!(Path::new(&unpacked).join("backup_manifest").exists());
    assert!(pg_verifybackup(&unpacked).success().contains("successfully verified"));
    assert_follows(&lab, &leader, "piped-unpacked", &["--name", "piped"]);
}
