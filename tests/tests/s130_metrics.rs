//! Metrics are Prometheus', true, and all that the alerts, the dashboard and the documentation name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Stdio;

use regex::Regex;
use walship_tests::{Lab, Node, Port, http_get, promtool, repository_root, wait_caught_up, wait_until};

/// Samples by name and labels.
fn metrics(port: u16) -> BTreeMap<String, f64> {
    let answer = http_get(port, "/metrics");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let samples = answer.body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
        .collect()
}

fn families(port: u16) -> BTreeSet<String> {
    let body = http_get(port, "/metrics").body;
    let types = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|rest| rest.split(' ').next()).map(str::to_owned).collect()
}

fn pair(lab: &Lab) -> (Node, Node, Port, Port) {
    let (here, there) = (Port::reserve(), Port::reserve());
    let listen = format!("127.0.0.1:{}", here.number());
    let leader = lab.leader_with(&["--metrics-listen", &listen]);
    let setting = format!("metrics_listen=127.0.0.1:{}", there.number());
    let follower = lab.follower_with("east", leader.port(), &["-c", &setting]);
    (leader, follower, here, there)
}

#[test]
fn numbers_are_true_on_leader_and_follower() {
    let lab = Lab::new();
    let (leader, follower, here, there) = pair(&lab);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    let before = metrics(here.number());
    for _ in 0..20 {
        leader.sql("INSERT INTO t VALUES (randomblob(100))");
    }
    wait_caught_up(&leader, &follower);
    let after = metrics(here.number());
    let grown = |name: &str| after[name] - before[name];
    assert_eq!(grown("walship_database_commits_total{database=\"postgres\"}"), 20.0);
    assert_eq!(grown("walship_commit_wait_seconds_count{for=\"flush\"}"), 20.0);
    assert!(grown("walship_wal_flush_seconds_count") >= 20.0);
    assert!(grown("walship_wal_flush_seconds_sum") > 0.0);
    assert!(
        grown("walship_wal_bytes_total") >= grown("walship_database_log_bytes_total{database=\"postgres\"}")
    );
    assert_eq!(after["walship_in_recovery"], 0.0);
    // the same number as the view's
    let flush = leader.sql("SELECT pg_current_wal_flush_lsn() - '0/0'");
    assert_eq!(after["walship_wal_position_bytes{position=\"flush\"}"].to_string(), flush);
    let syncs: f64 = leader.sql("SELECT wal_sync FROM pg_stat_wal").parse().unwrap();
    assert!(after["walship_wal_flush_seconds_count"] <= syncs);
    assert_eq!(after["walship_slot_active{slot=\"east\"}"], 1.0);
    let connection = "walship_follower_connections{name=\"east\",state=\"streaming\",sync_state=\"async\"}";
    assert_eq!(after[connection], 1.0);
    let session = leader.connect();
    session.run("BEGIN");
    session.run("SELECT 1");
    let idle = "walship_connections{state=\"idle in transaction\"}";
    wait_until("the open transaction is counted", || metrics(here.number())[idle] == 1.0);
    wait_until("its age is shown", || metrics(here.number())["walship_oldest_transaction_seconds"] > 0.0);
    session.run("COMMIT");
    wait_until("the follower is level", || {
        let follows = metrics(there.number());
        assert_eq!(follows["walship_in_recovery"], 1.0);
        assert_eq!(follows["walship_receiver_streaming"], 1.0);
        follows["walship_replay_lag_bytes"] == 0.0
            && follows["walship_replay_lag_seconds"] == 0.0
            && follows["walship_wal_position_bytes{position=\"replay\"}"]
                == metrics(here.number())["walship_wal_position_bytes{position=\"flush\"}"]
    });
    wait_until("files are verified", || {
        metrics(there.number())["walship_database_verifications_total{database=\"postgres\"}"] >= 1.0
    });
}

#[test]
fn a_follower_that_is_behind_and_one_that_is_gone_are_seen() {
    let lab = Lab::new();
    let (leader, mut follower, here, there) = pair(&lab);
    leader.sql("CREATE TABLE t(v)");
    wait_caught_up(&leader, &follower);
    follower.sql("SELECT pg_wal_replay_pause()");
    leader.sql("INSERT INTO t VALUES (randomblob(100000))");
    wait_until("the lag is seen from both sides", || {
        let (leads, follows) = (metrics(here.number()), metrics(there.number()));
        leads["walship_follower_lag_bytes{name=\"east\",stage=\"replay\"}"] > 50_000.0
            && leads["walship_follower_lag_bytes{name=\"east\",stage=\"flush\"}"] == 0.0
            && follows["walship_replay_paused"] == 1.0
            && follows["walship_replay_lag_bytes"] > 50_000.0
            && follows["walship_replay_lag_seconds"] > 0.0
    });
    follower.kill();
    leader.sql("INSERT INTO t VALUES (1)");
    wait_until("nobody uses the slot, and it holds log back", || {
        let leads = metrics(here.number());
        leads["walship_slot_active{slot=\"east\"}"] == 0.0
            && leads["walship_slot_retained_bytes{slot=\"east\"}"] > 0.0
            && !leads.keys().any(|name| name.starts_with("walship_follower_connections{name=\"east\""))
    });
    leader.sql("ALTER SYSTEM SET synchronous_standby_names = 'east'");
    leader.sql("SELECT pg_reload_conf()");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| leader.sql("INSERT INTO t VALUES ('waits')"));
        let waits = "walship_waiting_sessions{for=\"followers\"}";
        wait_until("a commit that waits for its follower is seen", || metrics(here.number())[waits] == 1.0);
        follower.start();
        waiting.join().unwrap();
    });
    assert!(metrics(here.number())["walship_commit_wait_seconds_count{for=\"followers\"}"] >= 1.0);
}

/// Every word in a text that begins as our metrics do.
fn named(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\b(walship|process)_[a-z_]+[a-z]\b").unwrap();
    let ends = Regex::new("_(bucket|sum|count)$").unwrap();
    name.find_iter(text)
        .map(|found| found.as_str())
        .map(|name| match name.starts_with("walship_wal_flush_seconds") || name.contains("_wait_seconds") {
            true => ends.replace(name, "").into_owned(),
            false => name.to_owned(),
        })
        .collect()
}

#[test]
fn alerts_dashboard_and_documentation_name_what_there_is() {
    let lab = Lab::new();
    let (leader, follower, here, there) = pair(&lab);
    wait_caught_up(&leader, &follower);
    let served: BTreeSet<String> =
        families(here.number()).union(&families(there.number())).cloned().collect();
    let docs = repository_root().join("docs");
    let read = |path: &str| std::fs::read_to_string(docs.join(path)).unwrap();
    // the documentation lists all of them, and nothing else
    let page = read("monitoring.md");
    let table = page.split("## Metrics").nth(1).expect("a chapter about metrics");
    let table = table.split("\n## ").next().unwrap();
    assert_eq!(named(table), served);
    let mut expressions = String::new();
    let dashboard: serde_json::Value = serde_json::from_str(&read("prometheus/grafana.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let names = named(expression);
            assert!(!names.is_empty() && names.is_subset(&served), "{expression}: {names:?}");
            let expression = expression
                .replace("$__rate_interval", "1m")
                .replace("$__interval", "1m")
                .replace("\"$job\"", "\".*\"")
                .replace("\"$instance\"", "\".*\"");
            assert!(!expression.contains('$'), "{expression}");
            expressions += &format!("      - record: r\n        expr: '{expression}'\n");
        }
    }
    let rules = read("prometheus/alerts.yml");
    let expressions_of_rules: String = rules.lines().filter(|line| line.contains("expr: ")).collect();
    let unknown: Vec<String> = named(&expressions_of_rules).difference(&served).cloned().collect();
    assert_eq!(unknown, [] as [String; 0]);
    // each alert is tried
    let alert = Regex::new(r"(?m)^ +- alert: (\w+)$").unwrap();
    let tried = read("prometheus/alerts_test.yml");
    for found in alert.captures_iter(&rules) {
        assert!(tried.contains(&format!("{{alertname=\"{}\"}}", &found[1])), "{}", &found[1]);
    }
    // the expressions, and the alerts on situations in which they must fire and must not
    let file = lab.file("dashboard.yml", format!("groups:\n  - name: dashboard\n    rules:\n{expressions}"));
    check(promtool().args(["check", "rules"]).arg(&file));
    check(promtool().args(["check", "rules"]).arg(docs.join("prometheus/alerts.yml")));
    check(promtool().args(["test", "rules"]).arg(docs.join("prometheus/alerts_test.yml")));
    // what is served, as Prometheus reads it
    for port in [here.number(), there.number()] {
        let mut checker = promtool();
        checker
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = checker.spawn().unwrap();
        let body = http_get(port, "/metrics").body;
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}{body}");
    }
}

fn check(command: &mut std::process::Command) {
    walship_tests::output_of(command).success();
}
