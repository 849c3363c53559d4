//! The old leader comes back as a follower, without a new base backup, and says what was
//! lost.

use std::path::Path;

use walship_tests::{Lab, Node, Role, assert_identical, repository_root, sqlite3, wait_caught_up};
use walship_types::Lsn;

/// A leader that crashed with log of its own, and the follower that was promoted instead.
pub(crate) struct Split {
    pub(crate) lab: Lab,
    pub(crate) old: Node,
    pub(crate) new: Node,
}

impl Split {
    /// Both have run `before`, the old leader alone `lost`, the new one alone `after`.
    pub(crate) fn make(before: &str, lost: &[&str], after: &str) -> Split {
        let lab = Lab::new();
        let mut old = lab.leader();
        let mut new = lab.follower_with("next", old.port(), &[]);
        old.sql(before);
        wait_caught_up(&old, &new);
        new.kill();
        lost.iter().for_each(|sql| drop(old.sql(sql)));
        old.kill();
        new.start();
        lab.walctl(&["promote", "-D", new.dir().to_str().unwrap()]).success();
        new.sql(after);
        Split { lab, old, new }
    }

    pub(crate) fn source(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres", self.new.port())
    }

    pub(crate) fn rewind(&self, more: &[&str]) -> walship_tests::Output {
        let source = self.source();
        let dir = self.old.dir().to_str().unwrap();
        let all = [&["rewind", "-D", dir, "--source", &source, "--name", "old"], more].concat();
        self.lab.walctl(&all)
    }

    /// The old leader as a follower of the new one.
    pub(crate) fn follower(&mut self) -> Node {
        let port = self.old.port();
        let mut follower = self.lab.node(Role::Follower, self.old.name(), &[]);
        assert_ne!(follower.port(), port);
        follower.start();
        follower
    }
}

const BEFORE: &str = "CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INT); CREATE TABLE quiet(v);
    CREATE INDEX by_balance ON accounts(balance);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000)
    INSERT INTO accounts SELECT i, 100 FROM n;
    INSERT INTO quiet SELECT hex(randomblob(200)) FROM accounts LIMIT 5000";

fn lost_lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("lost: ")).collect()
}

/// What docs/failover.md shows of a rewind.
fn documented() -> String {
    let page = std::fs::read_to_string(repository_root().join("docs/failover.md")).unwrap();
    let shown = page.split("$ walctl rewind ").nth(1).unwrap().split("```").next().unwrap();
    shown.split_once('\n').unwrap().1.trim_end().to_owned()
}

/// An output without what is another one each time: paths, positions, numbers, tables.
fn shape(text: &str) -> Vec<String> {
    let number = regex::Regex::new(r"[0-9A-F]+/[0-9A-F]+|\d+(\.\d+)?").unwrap();
    let line = |line: &str| {
        let words = line.split(' ').map(|word| if word.contains('/') { "PLACE" } else { word });
        let line = number.replace_all(&words.collect::<Vec<_>>().join(" "), "N").replace("pages", "page");
        match line.strip_prefix("lost: ") {
            Some(lost) => format!("lost: {}", lost.rsplit_once("  ").unwrap().0),
            None => {
                line.split("-D").next().unwrap().trim_end_matches(" s").trim_end_matches(" ms").to_owned()
            }
        }
    };
    text.lines().map(line).collect()
}

#[test]
fn an_old_leader_follows_after_a_rewind_and_what_it_lost_is_listed() {
    let lost = ["UPDATE accounts SET balance = 1 WHERE id = 7", "INSERT INTO quiet VALUES('never seen')"];
    let mut split = Split::make(BEFORE, &lost, "UPDATE accounts SET balance = 2 WHERE id = 19000");
    let dry = split.rewind(&["--dry-run"]).success();
    assert!(dry.contains("pages would be fetched; nothing was changed"), "{dry}");
    assert!(!split.old.dir().join("standby.signal").exists());
    let kept = split.lab.path().join("kept");
    let text = split.rewind(&["--keep-lost", kept.to_str().unwrap()]).success();
    assert!(text.starts_with("fork: the cluster left timeline 1 at 0/"), "{text}");
    let lost = lost_lines(&text);
    assert_eq!(lost.len(), 2, "{text}");
    assert!(lost[0].ends_with("  accounts"), "{text}");
    assert!(lost[1].ends_with("  quiet"), "{text}");
    assert!(text.contains("\ntransactions lost: 2; their log is kept in "), "{text}");
    assert_eq!(shape(&text), shape(&documented()), "docs/failover.md shows another output");
    // as a plain file, the databases are what they were
    let kept = kept.join("postgres.db");
    let seen = sqlite3(&kept, "SELECT balance FROM accounts WHERE id IN (7, 19000); PRAGMA journal_mode");
    assert_eq!(seen.success(), "1\n100\ndelete");
    let follower = split.follower();
    assert_identical(&split.new, &follower, "postgres");
    assert_eq!(follower.sql("SELECT count(*) FROM quiet WHERE v = 'never seen'"), "0");
    split.new.sql("INSERT INTO quiet VALUES('afterwards')");
    assert_identical(&split.new, &follower, "postgres");
    // the abandoned log can be read as any other
    let abandoned = split.old.dir().join("pg_wal/abandoned");
    let folder = std::fs::read_dir(abandoned).unwrap().next().unwrap().unwrap().path();
    let fork: Lsn = text.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let (folder, fork) = (folder.to_str().unwrap().to_owned(), fork.to_string());
    let dump = split.lab.walctl(&["waldump", &folder, "--start", &fork, "--kind", "commit"]).success();
    assert_eq!(dump.lines().count(), 2, "{dump}");
}

#[test]
fn what_is_listed_is_there_for_programs_too() {
    let split =
        Split::make(BEFORE, &["DELETE FROM accounts WHERE id % 100 = 0"], "INSERT INTO quiet VALUES(1)");
    let json: serde_json::Value = serde_json::from_str(&split.rewind(&["--json"]).success()).unwrap();
    assert_eq!(json["rewound"], true, "{json:#}");
    assert_eq!((&json["fork_timeline"], &json["timeline"]), (&1.into(), &2.into()), "{json:#}");
    let lost = json["lost"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "{json:#}");
    assert_eq!(lost[0]["tables"], serde_json::json!(["accounts"]), "{json:#}");
    assert_eq!(lost[0]["kind"], "commit");
    let (moved, all) = (json["page_bytes"].as_u64().unwrap(), json["database_bytes"].as_u64().unwrap());
    assert!(moved > 0 && moved < all, "{json:#}");
    let again: serde_json::Value = serde_json::from_str(&split.rewind(&["--json"]).success()).unwrap();
    assert_eq!((&again["rewound"], &again["made_follower"]), (&false.into(), &false.into()), "{again:#}");
}

#[test]
fn vacuum_growth_and_databases_on_either_side_are_brought_back() {
    let lab = Lab::new();
    let mut old = lab.leader();
    let mut new = lab.follower_with("next", old.port(), &[]);
    for name in ["kept", "dropped_here", "dropped_there", "again"] {
        old.sql(&format!("CREATE DATABASE {name}"));
        old.psql(name, &["-c", "CREATE TABLE t(v); INSERT INTO t VALUES('both')"]).success();
    }
    old.sql(BEFORE);
    wait_caught_up(&old, &new);
    new.kill();
    // shrinks, and grows again with other content
    old.sql("DELETE FROM quiet");
    old.sql("VACUUM");
    old.sql("INSERT INTO quiet SELECT hex(randomblob(100)) FROM accounts LIMIT 500");
    for statement in [
        "DROP DATABASE dropped_here",
        "DROP DATABASE again",
        "CREATE DATABASE again",
        "CREATE DATABASE only_here",
    ] {
        old.sql(statement);
    }
    old.psql("again", &["-c", "CREATE TABLE other(v); INSERT INTO other VALUES('lost')"]).success();
    old.psql("only_here", &["-c", "CREATE TABLE other(v)"]).success();
    old.kill();
    new.start();
    lab.walctl(&["promote", "-D", new.dir().to_str().unwrap()]).success();
    new.sql("INSERT INTO quiet SELECT hex(randomblob(300)) FROM accounts");
    new.sql("DROP DATABASE dropped_there");
    new.sql("CREATE DATABASE only_there");
    new.psql("only_there", &["-c", "CREATE TABLE t(v); INSERT INTO t VALUES('new')"]).success();
    let mut split = Split { lab, old, new };
    let text = split.rewind(&[]).success();
    assert!(text.contains("database \"only_here\" created"), "{text}");
    assert!(text.contains("database \"dropped_here\" dropped"), "{text}");
    let follower = split.follower();
    for database in ["postgres", "kept", "dropped_here", "again", "only_there"] {
        assert_identical(&split.new, &follower, database);
    }
    for gone in ["only_here", "dropped_there"] {
        assert!(!follower.database(gone).exists(), "{gone}");
    }
    assert_eq!(follower.psql("again", &["-c", "SELECT v FROM t"]).success(), "both");
}

#[test]
fn what_a_stock_program_left_in_the_dead_leader_is_lost_and_listed_too() {
    let mut split = Split::make(BEFORE, &["UPDATE accounts SET balance = 1 WHERE id = 7"], "SELECT 1");
    let file = split.old.database("postgres");
    sqlite3(&file, "INSERT INTO quiet VALUES('by hand')").success();
    let text = split.rewind(&[]).success();
    assert_eq!(lost_lines(&text).len(), 2, "{text}");
    assert!(text.contains("(made by another program)"), "{text}");
    let follower = split.follower();
    assert_identical(&split.new, &follower, "postgres");
}

#[test]
fn with_nothing_lost_the_old_leader_only_becomes_a_follower() {
    let lab = Lab::new();
    let mut old = lab.leader();
    let new = lab.follower_with("next", old.port(), &[]);
    old.sql(BEFORE);
    wait_caught_up(&old, &new);
    old.stop();
    lab.walctl(&["promote", "-D", new.dir().to_str().unwrap()]).success();
    new.sql("INSERT INTO quiet VALUES(1)");
    let mut split = Split { lab, old, new };
    let text = split.rewind(&[]).success();
    assert!(text.starts_with("nothing to rewind: the source has all of this node's log"), "{text}");
    let follower = split.follower();
    assert_identical(&split.new, &follower, "postgres");
    assert!(!Path::new(&split.old.dir().join("pg_wal/abandoned")).exists());
}
