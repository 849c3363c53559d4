//! Passwords: SCRAM-SHA-256 with stock clients and odd characters, wrong ones delayed and
//! logged and told apart by nobody, exchanges that cannot be replayed.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use walship_tests::probe::{From, Probe, error_text, message};
use walship_tests::{Lab, Node, Role, assert_identical, golden, python_driver, wait_until};

const RULES: &str = "host all,replication all all scram-sha-256";

/// Passwords that a form or a shell would choke on.
const ODD: [&str; 8] = [
    "plain",
    " leading and trailing ",
    "it's \"quoted\" \\ and $1 ; -- %",
    "n=,r=,s=,p=:",
    "пароль-密码-🔑",
    "I\u{ad}X",
    "tab\tbell\u{7}",
    "ﬁligree ™ ½",
];

fn with_user(lab: &Lab) -> Node {
    let leader = lab.leader();
    leader.sql("CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE pg_write_all_data");
    leader.set_access_rules(RULES);
    leader
}

#[test]
fn odd_passwords_log_in_with_stock_clients() {
    let lab = Lab::new();
    let leader = with_user(&lab);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for password in ODD {
        leader.sql(&format!("ALTER ROLE ann PASSWORD '{}'", password.replace('\'', "''")));
        assert_eq!(leader.psql_as("ann", Some(password), "", "SELECT 1").success(), "1", "{password:?}");
        let wrong = format!("{password}x");
        leader.psql_as("ann", Some(&wrong), "", "SELECT 1").failure();
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(leader.port()).user("ann").dbname("postgres").password(password);
        runtime.block_on(async {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute("SELECT 1").await.unwrap();
        });
    }
    // SASLprep makes one password of these
    leader.sql("ALTER ROLE ann PASSWORD 'IX'");
    assert_eq!(leader.psql_as("ann", Some("\u{2168}"), "", "SELECT 1").success(), "1");
    // psql's \password makes the verifier itself
    let verifier = leader.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'ann'");
    leader.sql(&format!("ALTER ROLE ann PASSWORD '{verifier}'"));
    assert_eq!(leader.psql_as("ann", Some("IX"), "", "SELECT 1").success(), "1");
}

#[test]
fn psycopg_logs_in_by_password() {
    let lab = Lab::new();
    let leader = with_user(&lab);
    assert_eq!(python_driver("with_password.py", leader.port()).success(), "ok");
}

#[test]
fn failed_logins_are_delayed_logged_and_not_told_apart() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "authentication_failure_delay=700ms"]);
    leader.sql("CREATE ROLE ann LOGIN PASSWORD 'secret'");
    leader.sql("CREATE ROLE nopass LOGIN");
    leader.set_access_rules(RULES);
    let mut told = String::new();
    for user in ["ann", "nopass", "stranger"] {
        let begun = Instant::now();
        let refused = leader.psql_as(user, Some("wrong"), "", "SELECT 1").failure();
        assert!(begun.elapsed() >= Duration::from_millis(700), "{user} was not delayed");
        told.push_str(&format!("{}\n", refused.replace(user, "USER")));
    }
    golden("failed_logins", &told, lab.path());
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.iter().all(|line| *line == lines[0]), "{told}");
    for (user, why) in
        [("ann", "the password is wrong"), ("nopass", "no password"), ("stranger", "no such role")]
    {
        wait_until("the failure is logged", || {
            leader.log().lines().any(|line| {
                line.contains("authentication failed")
                    && line.contains(user)
                    && line.contains("127.0.0.1:")
                    && line.contains(why)
            })
        });
    }
    // somebody who is not there is asked with a salt that stays the same, as a user's does
    let salt = |user: &str| challenge(&leader, user).split(",s=").nth(1).unwrap().to_owned();
    assert_eq!(salt("stranger"), salt("stranger"));
    assert_ne!(salt("stranger"), salt("other"));
    assert_eq!(salt("ann"), salt("ann"));
    let log = leader.log();
    assert!(!log.contains("secret") && !log.contains("wrong\""), "a password was logged");
}

/// The server's challenge to a first message.
fn challenge(node: &Node, user: &str) -> String {
    let (_, text) = begin(node, user, b"n,,n=,r=abcdefghijkl");
    text
}

fn begin(node: &Node, user: &str, first: &[u8]) -> (Box<dyn walship_tests::probe::Wire>, String) {
    let probe = Probe { tls: false, user, database: "postgres", replication: false };
    let mut stream = probe.open(&From::Tcp(Ipv4Addr::LOCALHOST, node.port()));
    stream.write_all(&probe.startup()).unwrap();
    let (tag, body) = message(&mut stream).unwrap();
    assert_eq!((tag, &body[..4]), (b'R', &[0, 0, 0, 10][..]));
    assert_eq!(&body[4..], b"SCRAM-SHA-256\0\0", "without TLS there is nothing to bind to");
    let mut answer = b"SCRAM-SHA-256\0".to_vec();
    answer.extend(u32::try_from(first.len()).unwrap().to_be_bytes());
    answer.extend(first);
    send(&mut stream, &answer);
    let (tag, body) = message(&mut stream).unwrap();
    let text = if tag == b'E' { error_text(&body) } else { String::from_utf8(body[4..].to_vec()).unwrap() };
    (stream, text)
}

fn send(stream: &mut Box<dyn walship_tests::probe::Wire>, body: &[u8]) {
    let mut packet = vec![b'p'];
    packet.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    packet.extend(body);
    stream.write_all(&packet).unwrap();
}

#[test]
fn an_exchange_cannot_be_replayed_nor_bent() {
    let lab = Lab::new();
    let leader = with_user(&lab);
    // one exchange as it should be, kept by somebody who listens
    let (exchange, first) = walship_auth::scram::ClientExchange::begin(
        "secret",
        walship_auth::scram::ClientBinding::Unsupported,
        "abcdefghijkl".to_owned(),
    );
    let (mut stream, challenge) = begin(&leader, "ann", first.as_bytes());
    let (_, last) = exchange.respond(&challenge).unwrap();
    send(&mut stream, last.as_bytes());
    assert_eq!(message(&mut stream).unwrap().0, b'R');
    let mut told = String::new();
    let (mut stream, _) = begin(&leader, "ann", first.as_bytes());
    send(&mut stream, last.as_bytes());
    told.push_str(&format!("replay: {}\n", error_text(&message(&mut stream).unwrap().1)));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    for (what, first) in [
        ("binding without TLS", "p=tls-server-end-point,,n=,r=abc"),
        ("another identity", "n,a=postgres,n=,r=abc"),
        ("an extension", "n,,m=x,n=,r=abc"),
        ("a nonce of spaces", "n,,n=,r=a b c"),
        ("nothing", ""),
        ("nonsense", "hello"),
    ] {
        told.push_str(&format!("{what}: {}\n", begin(&leader, "ann", first.as_bytes()).1));
    }
    for (what, last) in [
        ("no proof", "c=biws,r=x"),
        ("another binding", "c=eSws,r=x,p=AAAA"),
        ("too short a proof", "CHALLENGE,p=AAAA"),
    ] {
        let (mut stream, challenge) = begin(&leader, "ann", first.as_bytes());
        let nonce = challenge.split(',').next().unwrap();
        let last = last.replace("CHALLENGE", &format!("c=biws,{nonce}"));
        send(&mut stream, last.as_bytes());
        told.push_str(&format!("{what}: {}\n", error_text(&message(&mut stream).unwrap().1)));
    }
    golden("scram_faults", &told, lab.path());
    assert_eq!(leader.psql_as("ann", Some("secret"), "", "SELECT 1").success(), "1");
}

#[test]
fn followers_and_walctl_take_passwords_where_libpq_does() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE ROLE repl LOGIN REPLICATION PASSWORD 'r:\\x'");
    leader.sql("CREATE TABLE t(v)");
    std::fs::write(
        leader.dir().join("pg_hba.conf"),
        "host all postgres 127.0.0.1/32 trust\nhost replication repl all scram-sha-256\n",
    )
    .unwrap();
    leader.sql("SELECT pg_reload_conf()");
    let pass =
        lab.file("pgpass", format!("# ours\n127.0.0.1:{}:replication:repl:r\\:\\\\x\n", leader.port()));
    std::fs::set_permissions(&pass, PermissionsExt::from_mode(0o600)).unwrap();
    let primary = |more: &str| format!("host=127.0.0.1 port={} user=repl {more}", leader.port());
    let without = primary("");
    let output = lab.run(
        "walreceiver",
        &["-D", "none", "--init", "--no-retry", "--listen", "127.0.0.1:1", "--primary", &without],
    );
    assert_ne!(output.status, Some(0));
    golden("walreceiver_without_password", &output.without_log().transcript(), lab.path());
    for (name, conninfo) in [
        ("by_conninfo", primary("password='r:\\\\x'")),
        ("by_passfile", primary(&format!("passfile={}", pass.display()))),
    ] {
        let mut follower = lab.node(Role::Follower, name, &["--primary", &conninfo, "--name", name]);
        follower.start();
        leader.sql("INSERT INTO t VALUES (1)");
        assert_identical(&leader, &follower, "postgres");
        let shown = follower.sql("SELECT conninfo FROM pg_stat_wal_receiver");
        assert!(!shown.contains("r:"), "{shown}");
        assert!(!follower.log().contains("r:\\x"), "a password was logged");
    }
    let backup = |variables: &[(&str, &str)], into: &str| {
        let mut command = std::process::Command::new(walship_tests::program("walctl"));
        command.args(["basebackup", "-D", into, "-h", "127.0.0.1", "-U", "repl", "-p"]);
        command.arg(leader.port().to_string()).current_dir(lab.path()).env("HOME", lab.path());
        for variable in ["PGPASSWORD", "PGPASSFILE", "PGHOST", "PGUSER"] {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied());
        walship_tests::output_of(&mut command)
    };
    backup(&[("PGPASSWORD", "r:\\x")], "one").success();
    backup(&[("PGPASSFILE", &pass.to_string_lossy())], "two").success();
    assert!(backup(&[("PGPASSWORD", "no")], "three").failure().contains("password authentication failed"));
    std::fs::copy(&pass, lab.path().join(".pgpass")).unwrap();
    std::fs::set_permissions(lab.path().join(".pgpass"), PermissionsExt::from_mode(0o644)).unwrap();
    let open = backup(&[], "four").failure();
    assert!(open.contains("group or world access"), "{open}");
    std::fs::set_permissions(lab.path().join(".pgpass"), PermissionsExt::from_mode(0o600)).unwrap();
    backup(&[], "five").success();
}
