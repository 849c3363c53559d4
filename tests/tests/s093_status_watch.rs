//! `walctl status --watch` is a live page on a terminal, and says only what has changed elsewhere.

use std::process::Command;

use walship_tests::{Lab, Node, Terminal, program, wait_until};

fn watch(nodes: &[&Node], arguments: &[&str]) -> Command {
    let mut walctl = Command::new(program("walctl"));
    walctl.args(["status", "--watch", "0.2"]).args(arguments);
    for variable in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"] {
        walctl.env_remove(variable);
    }
    walctl.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())));
    walctl
}

#[test]
fn a_terminal_shows_a_live_page_and_is_given_back() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let follower = lab.follower(&leader);
    let mut third = lab.follower_with("third", follower.port(), &[]);
    let session = leader.connect();
    session.run("CREATE TABLE t(v)");
    // the follower in the middle and the leader are found from the last one
    let mut terminal = Terminal::run(watch(&[&third], &[]), 160, 40);
    let (first, second, last) = (
        format!("127.0.0.1:{}", leader.port()),
        format!("follower 127.0.0.1:{}", follower.port()),
        format!("third 127.0.0.1:{}", third.port()),
    );
    wait_until("the page shows who follows whom", || {
        let page = terminal.page();
        let line = |begin: String| page.lines().position(|line| line.starts_with(&begin));
        let rows = [
            line(format!("{first}  ")),
            line(format!("\u{2514}\u{2500} {second}")),
            line(format!("   \u{2514}\u{2500} {last}")),
        ];
        matches!(rows, [Some(a), Some(b), Some(c)] if b == a + 1 && c == b + 1) && page.contains("streaming")
    });
    let page = terminal.page();
    for heading in ["node ", "database ", "slot "] {
        assert!(page.lines().any(|line| line.starts_with(heading)), "no {heading}in:\n{page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 160), "{page}");
    // it is live: rates move, waits appear, what is wrong is said
    wait_until("the page shows a rate", || {
        session.run("INSERT INTO t VALUES (randomblob(1000))");
        let page = terminal.page();
        let leader = page.lines().find(|line| line.starts_with(&first)).unwrap_or_default().to_owned();
        leader.contains("kB/s, ") && !leader.contains(", 0/s")
    });
    session.run("BEGIN; INSERT INTO t VALUES (1)");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| leader.connect().run("INSERT INTO t VALUES ('who waits')"));
        let holder = session.value("SELECT pg_backend_pid()");
        wait_until("the page shows who waits for whom", || {
            let page = terminal.page();
            let mut waits = page.lines().filter(|line| line.contains("Lock/turn"));
            waits.any(|line| line.contains(&format!("  {holder}  ")) && line.contains("who waits"))
        });
        session.run("COMMIT");
        waiting.join().unwrap();
    });
    let is_wrong = |terminal: &Terminal, what: &str| {
        terminal.page().lines().any(|line| line.starts_with("! ") && line.contains(what))
    };
    third.stop();
    wait_until("the page says that a node is down", || is_wrong(&terminal, "connection"));
    leader.pause();
    wait_until("the page says that a node is silent", || is_wrong(&terminal, "did not answer within 3 s"));
    leader.resume();
    wait_until("it answers again", || !is_wrong(&terminal, "did not answer"));
    terminal.press("q");
    assert!(terminal.wait_exit().success());
    let written = terminal.written();
    // the other screen without a cursor, and both undone
    assert!(written.starts_with("\u{1b}[?1049h\u{1b}[?25l"), "{written:?}");
    assert!(written.trim_end().ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{written:?}");

    let mut interrupted = Terminal::run(watch(&[&leader], &[]), 60, 8);
    wait_until("a small terminal shows a page", || interrupted.page().contains("more lines"));
    let page = interrupted.page();
    assert!(page.lines().count() <= 8 && page.lines().all(|line| line.chars().count() <= 60), "{page}");
    interrupted.press("\u{3}");
    assert!(interrupted.wait_exit().success());
    assert!(interrupted.written().trim_end().ends_with("\u{1b}[?1049l"));
}

#[test]
fn a_pipe_gets_only_what_has_changed() {
    let lab = Lab::new();
    let leader = lab.leader();
    let server = format!("127.0.0.1:{}", leader.port());
    let text = lab.walctl(&["status", "--watch", "0.1", "--count", "5", &server]).success();
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(text.matches("role").count() + text.matches(": leader,").count(), 1, "{text}");
    let lines = lab.walctl(&["status", "--watch", "0.1", "--count", "3", "--json", &server]).success();
    for line in lines.lines() {
        let page: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(page["nodes"][0]["role"], "leader");
        assert_eq!(page["problems"], serde_json::json!([]));
    }
    assert_eq!(lines.lines().count(), 3);
    let missing = lab.walctl(&["status", "--watch", "0.1", "--count", "2", "127.0.0.1:1"]);
    assert_eq!(missing.status, Some(1), "{}", missing.transcript());
    let wrong = lab.walctl(&["status", "--watch", "0", &server]);
    assert_eq!(wrong.status, Some(2), "{}", wrong.transcript());
}
