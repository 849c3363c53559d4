//! PostgreSQL's own backup programs work against a walship leader.

use std::process::Command;

use walship_tests::{Lab, Load, Node, Output, output_of, postgres_program};

fn stock(lab: &Lab, name: &str, node: &Node, arguments: &[&str]) -> Output {
    let mut command = Command::new(postgres_program(name));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &node.port().to_string()]);
    output_of(command.args(arguments).current_dir(lab.path()))
}

#[test]
fn pg_basebackup_takes_one_and_pg_verifybackup_checks_it() {
    let lab = Lab::new();
    let leader = lab.leader();
    let load = Load::start(&leader, 4);
    load.wait_for(200);
    stock(&lab, "pg_basebackup", &leader, &["-D", "backup", "-Fp", "-X", "stream", "-c", "fast"]).success();
    load.finish();
    let verified =
        output_of(Command::new(postgres_program("pg_verifybackup")).arg(lab.path().join("backup")));
    assert!(verified.success().contains("successfully verified"));
}

#[test]
fn pg_receivewal_writes_the_same_segments() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v BLOB)");
    leader.sql("INSERT INTO t VALUES (randomblob(3000000))");
    let end = leader.sql("SELECT pg_current_wal_flush_lsn()");
    leader.sql("INSERT INTO t VALUES (1)");
    std::fs::create_dir(lab.path().join("received")).unwrap();
    stock(&lab, "pg_receivewal", &leader, &["-D", "received", "-n", "--endpos", &end, "--synchronous"])
        .success();
    let name = "000000010000000000000001";
    let received = std::fs::read(lab.path().join("received").join(format!("{name}.partial"))).unwrap();
    let ours = std::fs::read(leader.dir().join("pg_wal").join(name)).unwrap();
    let bytes = usize::try_from(end.parse::<walship_types::Lsn>().unwrap().0 % (16 << 20)).unwrap();
    assert!(received[..bytes] == ours[..bytes], "the received bytes differ from the leader's");
}
