//! `make run`: two processes with a real database, a clean end, and a second run that
//! resumes.

use std::process::Command;

use walship_tests::{Lab, Port, Process, Session, Terminal, pages, program, sqlite3, wait_until_within};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

fn orders(port: u16) -> Option<u64> {
    let session = Session::connect(port, "shop").ok()?;
    let rows = session.query("SELECT count(*) FROM orders").ok()?;
    rows.into_iter().next()?.into_iter().next()??.parse().ok()
}

#[test]
fn the_demonstration_runs_ends_and_resumes() {
    let lab = Lab::new();
    let (leader, follower) = (Port::reserve(), Port::reserve());
    let data = lab.path().join("data");
    let demo = || {
        let mut command = Command::new(program("demo"));
        command.arg("--data").arg(&data);
        command.args(["--leader-port", &leader.number().to_string()]);
        command.args(["--follower-port", &follower.number().to_string()]);
        command
    };
    let mut before = 60_000;
    for run in 0..2 {
        let mut demo = Process::spawn("demo", demo(), &lab.path().join("demo.log"));
        wait_until_within(LIMIT, "orders arrive at the follower", || {
            assert!(demo.exited().is_none(), "the demonstration ended: {}", demo.output());
            orders(follower.number()).is_some_and(|count| count >= before + 5)
        });
        demo.signal(libc::SIGINT);
        assert!(demo.wait_exit(LIMIT).success(), "{}", demo.output());
        let said = demo.output();
        assert_eq!(said.matches("first run").count(), 1, "run {run}: {said}");
        assert!(said.contains("both stopped"), "{said}");
        assert!(!said.contains("log position"), "the table is for terminals: {said}");
        assert!(orders(leader.number()).is_none(), "the leader is still there");
        let count = |name: &str| {
            let copy = lab.path().join(format!("{name}.db"));
            for ending in ["", "-wal"] {
                let source = data.join(name).join(format!("base/shop.db{ending}"));
                if source.exists() {
                    std::fs::copy(source, format!("{}{ending}", copy.display())).unwrap();
                }
            }
            pages::assert_file_intact(&copy);
            sqlite3(&copy, "SELECT count(*) FROM orders").success().parse::<u64>().unwrap()
        };
        assert_eq!(count("leader"), count("follower"), "a clean end leaves both equal");
        before = count("leader");
    }
    // at a terminal a table shows both, also before the follower has said how far it is; one who writes by hand
    // holds the orders up, and does not end them
    let mut terminal = Terminal::run(demo(), 120, 40);
    let beyond = |count: u64| {
        let written = terminal.written();
        let rows = written.lines().filter(|line| line.contains("follower") && !line.contains("psql"));
        rows.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
            .any(|orders| orders >= count)
    };
    wait_until_within(LIMIT, "the table shows new orders at the follower", || beyond(before + 5));
    let session = Session::connect(leader.number(), "shop").unwrap();
    session.run("BEGIN; UPDATE customers SET name = name WHERE id = 1");
    wait_until_within(LIMIT, "an order waits for the turn, and gives up", || {
        session.value("SELECT count(*) FROM pg_stat_database WHERE datname = 'shop' AND xact_rollback > 1")
            == "1"
    });
    session.run("COMMIT");
    let seen = orders(follower.number()).unwrap();
    wait_until_within(LIMIT, "orders go on", || beyond(seen + 5));
    terminal.press("\u{3}");
    assert!(terminal.wait_exit().success(), "{}", terminal.written());
    assert!(terminal.written().contains("both stopped"), "{}", terminal.written());
}

#[test]
fn the_demonstration_leaves_another_server_on_its_port_alone() {
    let lab = Lab::new();
    let other = lab.leader();
    let data = lab.path().join("data");
    let mut command = Command::new(program("demo"));
    command.arg("--data").arg(&data).args(["--leader-port", &other.port().to_string()]);
    command.args(["--follower-port", &Port::reserve().number().to_string()]);
    let mut demo = Process::spawn("demo", command, &lab.path().join("demo.log"));
    assert!(!demo.wait_exit(LIMIT).success());
    let said = demo.output();
    assert!(said.contains("the leader ended with") && said.contains("in use"), "{said}");
    assert_eq!(other.sql("SELECT count(*) FROM pg_database WHERE datname = 'shop'"), "0");
}
