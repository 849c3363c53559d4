//! `pg_hba.conf` decides as a real PostgreSQL 15 decides: the same files, the same
//! connections, the same answers; and a file with a mistake changes nothing.

use std::net::Ipv4Addr;

use walship_tests::probe::{From, Probe, has_ipv6};
use walship_tests::{Authority, Lab, Node, Oracle, OrdinaryUser, Role, Session, golden, wait_until};

/// The first line of every file: how the test itself gets in.
const OWN: &str = "host all,replication postgres 127.0.0.1/32 trust\n";

/// Files, one per entry.
const FILES: &[&str] = &[
    // first match, and what comes behind it
    "host all all 127.0.0.1/32 trust\nhost all all 127.0.0.0/8 scram-sha-256",
    "host all all 127.0.0.0/8 scram-sha-256\nhost all all 127.0.0.1/32 trust",
    "host all ann 127.0.0.5/32 reject\nhost all ann 127.0.0.0/8 trust",
    // databases
    "host sameuser all all trust\nhost shop all all scram-sha-256",
    "host samerole all all trust",
    "host \"all\" all all trust",
    "host shop,ann all all trust\nhost replication ann all scram-sha-256",
    "host replication all all trust",
    "host \"replication\" all all trust",
    "host all,replication ann all trust",
    // users
    "host all ann,bob all trust\nhost all all all reject",
    "host all \"all\" all trust",
    "host all +ann all trust\nhost all +eve all scram-sha-256",
    "host all @users all scram-sha-256\nhost all all all trust",
    // addresses
    "host all all samehost trust\nhost all all samenet scram-sha-256",
    "host all all 127.0.0.5 255.255.255.255 trust\nhost all all 127.0.0.0 255.0.0.255 scram-sha-256",
    "host all all 127.9.9.9/8 scram-sha-256",
    "host all all 0.0.0.0/0 trust",
    "host all all ::/0 trust",
    "host all all 127.0.0.4/30 trust\nhost all all 127.0.0.5/32 scram-sha-256",
    // kinds of connections
    "local all all trust\nhost all all all reject",
    "local all ann trust\nlocal all all scram-sha-256\nhostssl all all all scram-sha-256",
    "hostssl all all all trust\nhostnossl all all all scram-sha-256",
    "hostnossl all all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 reject",
    "hostnogssenc all all all trust",
    // certificates that nobody shows
    "hostssl all all all cert\nhost all all all trust",
    "hostssl all ann all scram-sha-256 clientcert=verify-ca\nhostssl all all all trust clientcert=verify-full",
    // spelling
    "host\tall,\\\n  shop all  all\ttrust # for all",
    "\"host\" all \"ann\" \"127.0.0.1/32\" \"trust\"\nhost all , ann 127.0.0.5/32 trust",
    "host all all 127.0.0.1/32 md5",
];

/// Files that are asked over IPv6 too.
const FILES_OF_IPV6: &[&str] = &[
    "host all all ::1/128 trust",
    "host all all ::1/0 trust\nhost all all all reject",
    "host all all ::/127 trust\nhost all all ::/0 scram-sha-256",
    "host all all ::2/127 trust\nhost all all ::1/64 scram-sha-256",
    "host all all 127.0.0.1/32 trust",
    "host all all 0.0.0.0/0 trust\nhost all all ::/0 scram-sha-256",
    "host all all all trust",
    "host all all ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff trust",
    "host all all ::1 ffff:: scram-sha-256",
    "host all all 0:0:0:0:0:0:0:1/128 scram-sha-256\nhost all all ::1/128 trust",
    "host all all ::ffff:127.0.0.1/128 trust",
    "host all all ::ffff:0:0/96 trust\nhost all all 127.0.0.0/8 scram-sha-256",
    "host all all fe80::/10 trust\nhost all all ::/1 scram-sha-256",
    "host all all 8000::/1 trust",
    "host all all samehost trust",
    "host all all samenet scram-sha-256",
    "hostssl all all ::1/128 trust\nhostnossl all all ::1/128 scram-sha-256",
    "host replication ann ::1/128 trust\nhost sameuser all ::1/128 scram-sha-256",
    "host all ann ::1/128 reject\nhost all all ::1/128 trust",
    // refused in any file: the rules of the one before stay
    "host all all ::1/129 trust\nhost all all ::1 255.0.0.0 trust\nhost all all 127.0.0.1 ffff:: trust\nhost all all ::1 trust",
];

struct Attempt {
    from: &'static str,
    probe: Probe<'static>,
}

fn attempts() -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let mut add = |from, tls, user, database, replication| {
        attempts.push(Attempt { from, probe: Probe { tls, user, database, replication } });
    };
    for from in ["127.0.0.1", "127.0.0.5", "local"] {
        for (user, database) in [("ann", "shop"), ("ann", "ann"), ("bob", "all"), ("eve", "eve")] {
            add(from, false, user, database, false);
        }
        add(from, false, "ann", "shop", true);
    }
    add("127.0.0.1", true, "ann", "shop", false);
    add("127.0.0.1", true, "bob", "shop", false);
    add("127.0.0.1", true, "ann", "shop", true);
    add("127.7.0.9", false, "bob", "replication", false);
    attempts
}

fn attempts_over_ipv6() -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for (from, tls, user, database, replication) in [
        ("::1", false, "ann", "shop", false),
        ("::1", false, "bob", "all", false),
        ("::1", false, "ann", "ann", false),
        ("::1", true, "ann", "shop", false),
        ("::1", false, "ann", "shop", true),
        ("127.0.0.1", false, "ann", "shop", false),
    ] {
        attempts.push(Attempt { from, probe: Probe { tls, user, database, replication } });
    }
    attempts
}

fn ask(attempt: &Attempt, port: u16, socket: std::path::PathBuf) -> String {
    let from = match attempt.from {
        "local" => From::Unix(socket),
        "::1" => From::Tcp6(port),
        address => From::Tcp(address.parse::<Ipv4Addr>().unwrap(), port),
    };
    let answer = attempt.probe.ask(&from);
    // PostgreSQL says "trusted" before it looks for the role, walship after that
    if answer.contains("role \"eve\" does not exist") { "trust".to_owned() } else { answer }
}

/// Both servers with the same databases, roles and TLS.
fn both(lab: &Lab) -> (Node, Oracle) {
    let authority = Authority::new(lab.path(), "authority");
    let tls = authority.server("server", &["localhost", "127.0.0.1"]).settings();
    let ca = format!("ssl_ca_file={}", authority.certificate().display());
    let mut ours: Vec<&str> = Vec::new();
    for setting in tls.iter().chain([&ca]) {
        ours.extend(["-c", setting.as_str()]);
    }
    let addresses = if has_ipv6() { "127.0.0.1,::1" } else { "127.0.0.1" };
    let mut leader = lab.node(Role::Leader, "leader", &ours);
    leader.listen_on(addresses);
    leader.start();
    // PostgreSQL runs as another user, who needs a key of his own
    let other = lab.path().join("theirs");
    std::fs::create_dir(&other).unwrap();
    let theirs = Authority::new(&other, "authority");
    let files = theirs.server("server", &["localhost"]);
    let user = OrdinaryUser::get();
    for path in [&files.certificate, &files.key] {
        user.own(path, lab.path());
    }
    user.own(&other, lab.path());
    let mut settings = files.settings();
    settings.push(format!("ssl_ca_file={}", theirs.certificate().display()));
    settings.push(format!("listen_addresses={addresses}"));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let oracle = Oracle::start(lab.path(), &settings);
    let theirs = Session::connect(oracle.port(), "postgres").unwrap();
    for sql in [
        "CREATE ROLE ann LOGIN REPLICATION PASSWORD 'a'",
        "CREATE ROLE bob LOGIN PASSWORD 'b'",
        "CREATE DATABASE shop",
        "CREATE DATABASE ann",
        "CREATE DATABASE \"all\"",
        "CREATE DATABASE replication",
    ] {
        theirs.run(sql);
        leader.sql(sql);
    }
    leader.sql("GRANT pg_read_all_data TO ann, bob");
    (leader, oracle)
}

/// Every answer of both servers to every attempt with every file; how many were compared.
fn compare(files: &[&str], attempts: &[Attempt]) -> usize {
    let lab = Lab::new();
    let (leader, oracle) = both(&lab);
    let theirs = Session::connect(oracle.port(), "postgres").unwrap();
    let place = regex::Regex::new(r"^line \d+, column \d+: ").unwrap();
    let mut compared = 0;
    for file in files {
        for directory in [leader.dir(), oracle.data()] {
            std::fs::write(directory.join("users"), "bob\n").unwrap();
            std::fs::write(directory.join("pg_hba.conf"), format!("{OWN}{file}\n")).unwrap();
        }
        leader.sql("SELECT pg_reload_conf()");
        let before = theirs.value("SELECT pg_conf_load_time()");
        theirs.run("SELECT pg_reload_conf()");
        // the postmaster is told before the session, which shows when it was told itself
        wait_until("PostgreSQL reads its files again", || {
            theirs.value("SELECT pg_conf_load_time()") != before
        });
        let rules = "SELECT line_number, type, database, user_name, address, netmask, auth_method, options, error \
                     FROM pg_hba_file_rules ORDER BY line_number";
        let (mut own, mut other) = (leader.connect().query(rules).unwrap(), theirs.query(rules).unwrap());
        for error in own.iter_mut().filter_map(|row| row.last_mut()?.as_mut()) {
            // where on the line is what PostgreSQL does not say
            *error = place.replace(error, "").into_owned();
        }
        for error in other.iter_mut().filter_map(|row| row.last_mut()?.as_mut()) {
            // and this is the resolver's
            *error = error.replace(": Name or service not known", "");
        }
        assert_eq!(own, other, "pg_hba_file_rules of\n{file}");
        for attempt in attempts {
            let socket = |directory: &std::path::Path, port| directory.join(format!(".s.PGSQL.{port}"));
            let own = ask(attempt, leader.port(), socket(leader.socket_dir(), leader.port()));
            let home = oracle.data().parent().unwrap().to_owned();
            let other = ask(attempt, oracle.port(), socket(&home, oracle.port()));
            assert_eq!(own, other, "{:?} from {} with\n{file}", attempt.probe, attempt.from);
            compared += 1;
        }
    }
    compared
}

#[test]
fn rules_decide_as_postgresqls() {
    let compared = compare(FILES, &attempts());
    assert!(compared > 500, "{compared}");
}

#[test]
fn rules_decide_as_postgresqls_over_ipv6() {
    if !has_ipv6() {
        eprintln!("this machine has no ::1: nothing to compare");
        return;
    }
    let compared = compare(FILES_OF_IPV6, &attempts_over_ipv6());
    assert!(compared > 100, "{compared}");
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_is_explained() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.set_access_rules("host all all all reject");
    let refused = leader.psql_as("ann", None, "", "SELECT 1").failure();
    assert!(
        refused.contains("pg_hba.conf rejects connection for host \"127.0.0.1\", user \"ann\""),
        "{refused}"
    );
    let broken = "host all postgres 127.0.0.1/32 trust\nhost all all all trust\nhots all all all trust\n\
                  host all all 10.0.0.0/40 trust\nhost all all all ldap\nhostssl all all all\n\
                  host all @gone all trust\nlocal all all peer map=m\n";
    std::fs::write(leader.dir().join("pg_hba.conf"), broken).unwrap();
    leader.sql("SELECT pg_reload_conf()");
    wait_until("the mistake is logged", || leader.log().contains("pg_hba.conf was not reloaded"));
    // the former rules decide
    assert_eq!(leader.psql_as("ann", None, "", "SELECT 1").failure(), refused);
    let shown = leader.sql("SELECT line_number, auth_method, error FROM pg_hba_file_rules");
    golden("hba_mistakes_in_view", &shown, lab.path());
    let log = leader.log();
    let line = log.lines().rfind(|line| line.contains("pg_hba.conf was not reloaded")).unwrap();
    assert!(line.contains("line 3, column 1: invalid connection type") && line.contains("hots"), "{line}");
    assert!(line.contains("allowed: local, host, hostssl, hostnossl"), "{line}");
    leader.stop();
    let output = walship_tests::output_of(&mut leader.command());
    assert_ne!(output.status, Some(0));
    golden("hba_mistake_at_start", &output.clone().without_log().transcript(), lab.path());
}

#[test]
fn the_default_asks_for_no_password_here_and_for_one_as_somebody_else() {
    let lab = Lab::new();
    let mut leader = lab.node(Role::Leader, "leader", &[]);
    // so that the tests' own user, root or not, and the server's differ where they can
    leader.start();
    assert_eq!(leader.psql_as("anybody", None, "", "SELECT current_user").success(), "anybody");
    let socket = format!("host={}", leader.socket_dir().display());
    assert_eq!(leader.psql_as("anybody", None, &socket, "SELECT 1").success(), "1");
    let user = OrdinaryUser::get();
    // SAFETY: geteuid has no arguments and cannot fail
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    for host in ["127.0.0.1", &leader.socket_dir().to_string_lossy()] {
        let mut psql = std::process::Command::new(walship_tests::postgres_program("psql"));
        user.run(&mut psql);
        user.own(leader.socket_dir(), lab.path());
        let conninfo = format!("host={host} port={} user=postgres dbname=postgres", leader.port());
        let refused =
            walship_tests::output_of(psql.args(["-w", "-c", "SELECT 1"]).arg(conninfo).current_dir("/"));
        assert!(refused.stderr.contains("no password supplied"), "{}", refused.transcript());
    }
}
