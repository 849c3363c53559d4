//! Leader and follower over TLS, each verifying the other by certificates, through a
//! failover: the new leader is followed the same way, and users are where they were.

use walship_tests::{Authority, Lab, Node, Role, assert_identical, wait_until};

const RULES: &str =
    "hostssl replication repl all cert\nhostssl all ann all scram-sha-256\nhost all all all reject";

fn node(lab: &Lab, authority: &Authority, role: Role, name: &str, more: &[&str]) -> Node {
    let mut settings = authority.server(&format!("server-{name}"), &["localhost", "127.0.0.1"]).settings();
    settings.push(format!("ssl_ca_file={}", authority.certificate().display()));
    let mut arguments = more.to_vec();
    for setting in &settings {
        arguments.extend(["-c", setting]);
    }
    lab.node(role, name, &arguments)
}

#[test]
fn certificates_from_end_to_end_through_a_failover() {
    let lab = Lab::new();
    let authority = Authority::new(lab.path(), "authority");
    let repl = authority.client("repl");
    let secured = format!(
        "user=repl sslmode=verify-full sslrootcert={} sslcert={} sslkey={}",
        authority.certificate().display(),
        repl.certificate.display(),
        repl.key.display()
    );
    let mut leader = node(&lab, &authority, Role::Leader, "leader", &[]);
    leader.start();
    leader.sql("CREATE ROLE repl LOGIN REPLICATION");
    leader.sql("CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE pg_write_all_data");
    leader.sql("CREATE TABLE t(v)");
    leader.set_access_rules(RULES);
    let to = |port: u16| format!("host=localhost port={port} {secured}");
    let primary = to(leader.port());
    let mut first =
        node(&lab, &authority, Role::Follower, "first", &["--primary", &primary, "--name", "first"]);
    first.start();
    let several = format!("host=localhost,localhost port={},{} {secured}", leader.port(), first.port());
    let several = format!("{several} target_session_attrs=read-write");
    let mut second =
        node(&lab, &authority, Role::Follower, "second", &["--primary", &several, "--name", "second"]);
    second.start();
    let tls = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_replication r USING (pid) \
               WHERE s.ssl AND s.client_dn LIKE '%repl%'";
    wait_until("both followers stream over TLS with their certificate", || leader.sql(tls) == "2");
    let write = |node: &Node, value: u32| {
        let root = authority.certificate().display();
        let more = format!("sslmode=verify-full sslrootcert={root} channel_binding=require");
        let insert = format!("INSERT INTO t VALUES ({value})");
        node.psql_as("ann", Some("secret"), &more, &insert).success();
    };
    write(&leader, 1);
    assert_identical(&leader, &first, "postgres");
    assert_identical(&leader, &second, "postgres");
    leader.kill();
    assert_eq!(first.sql("SELECT pg_promote()"), "t");
    write(&first, 2);
    wait_until("the other follower has found the new leader over TLS", || first.sql(tls) == "1");
    assert_identical(&first, &second, "postgres");
    assert_identical(&first, &second, "pg_global");
    assert_eq!(second.sql("SELECT count(*) FROM t"), "2");
    assert!(!second.log().contains("BEGIN PRIVATE"), "a key in the log");
}

#[test]
fn a_follower_refuses_a_leader_that_it_cannot_verify() {
    let lab = Lab::new();
    let authority = Authority::new(lab.path(), "authority");
    let other = Authority::new(lab.path(), "other");
    let mut leader = node(&lab, &authority, Role::Leader, "leader", &[]);
    leader.start();
    leader.sql("CREATE ROLE repl LOGIN REPLICATION PASSWORD 'r'");
    leader.set_access_rules("hostssl replication repl all scram-sha-256");
    let root = |authority: &Authority| format!("sslrootcert={}", authority.certificate().display());
    let try_with = |more: &str| {
        let conninfo = format!("host=127.0.0.1 port={} user=repl password=r {more}", leader.port());
        let arguments =
            ["-D", "f", "--init", "--no-retry", "--listen", "127.0.0.1:1", "--primary", &conninfo];
        let output = lab.run("walreceiver", &arguments);
        format!("{more}\n{}\n", output.without_log().transcript())
    };
    let mut told = String::new();
    for more in [
        format!("sslmode=verify-ca {}", root(&other)),
        "sslmode=verify-full sslrootcert=/nowhere/root.crt".to_owned(),
        "sslmode=disable".to_owned(),
        "sslmode=require channel_binding=sometimes".to_owned(),
        format!("sslmode=require sslcert={} sslkey=/nowhere/key", authority.certificate().display()),
        format!("sslmode=verify-full host=127.0.0.2 hostaddr=127.0.0.1 {}", root(&authority)),
    ] {
        told.push_str(&try_with(&more));
    }
    walship_tests::golden("tls_walreceiver_faults", &told, lab.path());
    // one without TLS, where TLS is a must
    let plain = lab.node(Role::Leader, "plain", &[]);
    let mut plain = plain;
    plain.start();
    let conninfo = format!("host=127.0.0.1 port={} sslmode=require", plain.port());
    let output = lab.walctl(&["status", &conninfo]);
    assert_ne!(output.status, Some(0));
    assert!(output.transcript().contains("server does not support SSL"), "{}", output.transcript());
}
