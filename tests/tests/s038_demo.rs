//! `make run`: two processes with a real database, a clean end, and a second run that
//! resumes.

use std::process::Command;

use walship_tests::{Lab, Port, Process, Session, pages, program, sqlite3, wait_until_within};

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
    let mut before = 60_000;
    for run in 0..2 {
        let mut command = Command::new(program("demo"));
        command.arg("--data").arg(&data);
        command.args(["--leader-port", &leader.number().to_string()]);
        command.args(["--follower-port", &follower.number().to_string()]);
        let mut demo = Process::spawn("demo", command, &lab.path().join("demo.log"));
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
}
