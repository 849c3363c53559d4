//! Floods of connections, half packets and slow readers end by themselves and disturb
//! nobody; superusers find a place when everything is taken.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use walship_tests::probe::{From, Probe};
use walship_tests::{Lab, golden, peak_resident_kib, wait_until};

#[test]
fn connections_that_never_log_in_disturb_nobody() {
    let lab = Lab::new();
    let mut leader = lab.leader_with(&["-c", "authentication_timeout=30s", "-c", "max_connections=20"]);
    leader.sql("CREATE ROLE ann LOGIN PASSWORD 'secret'");
    leader.set_access_rules("host all all all scram-sha-256");
    let probe = Probe { tls: false, user: "ann", database: "postgres", replication: false };
    let startup = probe.startup();
    let mut held = Vec::new();
    // more than may be pending: nothing, half a packet, and half an exchange
    for number in 0..900 {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, leader.port())).unwrap();
        match number % 3 {
            0 => {}
            1 => stream.write_all(&startup[..startup.len() / 2]).unwrap(),
            _ => stream.write_all(&startup).unwrap(),
        }
        held.push(stream);
        if number % 300 == 299 {
            let begun = Instant::now();
            // the role has no privileges: that it is told so shows that it has logged in
            let told = leader.psql_as("ann", Some("secret"), "", "SELECT 1").failure();
            assert!(told.contains("permission denied for database"), "{told}");
            assert_eq!(leader.sql("SELECT 1"), "1");
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        }
    }
    assert!(leader.log().contains("too many connections that do not log in"), "the flood is not logged");
    // the oldest were cut off
    let mut oldest = held.remove(0);
    oldest.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(oldest.read(&mut [0; 16]).unwrap_or(0), 0);
    assert!(peak_resident_kib(leader.process().pid()) < 150 * 1024);
}

#[test]
fn who_does_not_log_in_in_time_is_closed() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "authentication_timeout=1s"]);
    leader.set_access_rules("host all all all scram-sha-256");
    let probe = Probe { tls: false, user: "ann", database: "postgres", replication: false };
    for bytes in [Vec::new(), probe.startup()] {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, leader.port())).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
    }
    wait_until("it is logged", || leader.log().contains("did not log in in time"));
}

#[test]
fn superusers_find_a_place() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "max_connections=6", "-c", "superuser_reserved_connections=2"]);
    leader.sql("CREATE ROLE ann LOGIN IN ROLE pg_read_all_data");
    leader.sql("CREATE ROLE bob LOGIN CONNECTION LIMIT 1 IN ROLE pg_read_all_data");
    leader.set_access_rules("host all all all trust");
    let from = From::Tcp(Ipv4Addr::LOCALHOST, leader.port());
    let open = |user| {
        let probe = Probe { tls: false, user, database: "postgres", replication: false };
        let mut stream = probe.open(&from);
        stream.write_all(&probe.startup()).unwrap();
        let (tag, body) = walship_tests::probe::message(&mut stream).unwrap();
        let text = if tag == b'E' { walship_tests::probe::error_text(&body) } else { "in".to_owned() };
        (stream, text)
    };
    let mut told = String::new();
    let mut held = Vec::new();
    for user in ["bob", "bob", "ann", "ann", "ann", "ann", "postgres", "postgres", "postgres"] {
        let (stream, text) = open(user);
        told.push_str(&format!("{user}: {text}\n"));
        held.push(stream);
    }
    golden("too_many_connections", &told, lab.path());
    drop(held);
    wait_until("there is room again", || open("ann").1 == "in");
}

#[test]
fn a_slow_reader_holds_up_only_itself() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (zeroblob(1000000))");
    let probe = Probe { tls: false, user: "postgres", database: "postgres", replication: false };
    let mut slow = Vec::new();
    for _ in 0..10 {
        let mut stream = probe.open(&From::Tcp(Ipv4Addr::LOCALHOST, leader.port()));
        stream.write_all(&probe.startup()).unwrap();
        let query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
                     SELECT hex(v) FROM n, t\0";
        let mut packet = vec![b'Q'];
        packet.extend(u32::try_from(query.len() + 4).unwrap().to_be_bytes());
        packet.extend(query.as_bytes());
        stream.write_all(&packet).unwrap();
        slow.push(stream);
    }
    wait_until("they all run", || {
        leader.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%hex%' AND state = 'active' AND pid <> pg_backend_pid()")
            == "10"
    });
    let begun = Instant::now();
    for number in 0..20 {
        leader.sql(&format!("INSERT INTO t VALUES ({number})"));
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(peak_resident_kib(leader.process().pid()) < 250 * 1024);
}

#[test]
fn listening_beyond_loopback_needs_tls_or_the_word_for_it() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.stop();
    let mut command = std::process::Command::new(walship_tests::program("walsender"));
    command.arg("-D").arg(leader.dir()).args(["-c", "listen_without_tls=on"]);
    command.arg("-c").arg(format!("unix_socket_directories={}", leader.socket_dir().display()));
    command.arg("--listen").arg(format!("0.0.0.0:{}", leader.port()));
    let _process = walship_tests::Process::spawn("leader", command, &lab.path().join("beyond.log"));
    wait_until("it accepts connections", || leader.is_ready());
    assert_eq!(leader.sql("SELECT 1"), "1");
    // an address of our own that is not loopback's first: a password is asked for even so
    let probe = Probe { tls: false, user: "postgres", database: "postgres", replication: false };
    let answer = probe.ask(&From::Tcp(Ipv4Addr::new(127, 0, 0, 5), leader.port()));
    assert!(answer.starts_with("28000 no pg_hba.conf entry for host \"127.0.0.5\""), "{answer}");
}
