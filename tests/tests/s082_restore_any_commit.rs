//! Every commit is a valid target: an archive is cut at random commits, and what is restored
//! from it is, page for page, what the leader had then.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use walship_tests::{Lab, Node, TestArchive, pages};

/// Transactions that the leader makes.
const COMMITS: usize = 40;
/// How many of them are restored to; `WALSHIP_CUTS` in the environment for more.
const CUTS: usize = 6;

/// Of twenty changes, the one that makes a database.
const CREATES: usize = 7;

/// The leader after one commit.
struct Moment {
    lsn: String,
    databases: BTreeMap<String, PathBuf>,
}

fn seed() -> u64 {
    let given = std::env::var("WALSHIP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("WALSHIP_SEED={seed}");
    seed
}

fn statement(random: &mut StdRng) -> String {
    let n: u32 = random.random_range(0..1000);
    match random.random_range(0..12) {
        0..4 => format!("INSERT INTO t(v) VALUES (randomblob({})), ('row {n}')", n * 3),
        4 => "INSERT INTO t(v) SELECT randomblob(200) FROM t LIMIT 500".to_owned(),
        5 => format!("UPDATE t SET v = 'changed {n}' WHERE id % 7 = {}", n % 7),
        6 => format!("DELETE FROM t WHERE id % 5 = {}", n % 5),
        7 => format!("CREATE TABLE IF NOT EXISTS extra{}(a, b UNIQUE)", n % 3),
        8 => format!("DROP TABLE IF EXISTS extra{}", n % 3),
        // larger than a segment: the commit spans several
        9 => format!("INSERT INTO t(v) VALUES (randomblob({}))", 1_000_000 + n * 1000),
        10 => "VACUUM".to_owned(),
        _ => format!("BEGIN; INSERT INTO t(v) VALUES ({n}); UPDATE t SET v = v || '.'; COMMIT"),
    }
}

/// Makes one commit; which database it changed.
fn change(leader: &Node, random: &mut StdRng, names: &mut Vec<String>, commit: usize) -> String {
    match commit % 20 {
        CREATES => {
            let name = format!("late{commit}");
            leader.sql(&format!("CREATE DATABASE {name}"));
            leader.psql(&name, &["-c", "CREATE TABLE t(id INTEGER PRIMARY KEY, v)"]).success();
            names.push(name);
        }
        17 => leader.sql(&format!("DROP DATABASE {}", names.pop().unwrap())).clear(),
        11 => leader.sql("CHECKPOINT").clear(),
        _ => {
            let name = names.choose(random).unwrap();
            leader.psql(name, &["-c", &statement(random)]).success();
            return name.clone();
        }
    }
    names.last().unwrap().clone()
}

/// Makes random commits and keeps what the leader was after each.
fn history(lab: &Lab, leader: &Node, random: &mut StdRng, backup_at: usize) -> Vec<Moment> {
    let mut names = vec!["postgres".to_owned(), "shop".to_owned()];
    leader.sql("CREATE DATABASE shop");
    for name in &names {
        leader.psql(name, &["-c", "CREATE TABLE t(id INTEGER PRIMARY KEY, v)"]).success();
    }
    let mut moments: Vec<Moment> = Vec::new();
    let folder = lab.path().join("moments");
    fs::create_dir(&folder).unwrap();
    let mut copies = BTreeMap::new();
    for commit in 0..COMMITS {
        if commit == backup_at {
            lab.base_backup(leader, "backup");
        }
        let changed = change(leader, random, &mut names, commit);
        copies.retain(|name, _| names.contains(name));
        for name in names.iter().filter(|name| commit == 0 || **name == changed) {
            let copy = folder.join(format!("{name}.{commit}"));
            pages::copy(&leader.database(name), &copy);
            copies.insert(name.clone(), copy);
        }
        let lsn = leader.sql("SELECT pg_current_wal_lsn()");
        moments.push(Moment { lsn, databases: copies.clone() });
    }
    moments
}

fn assert_is(restored: &Path, moment: &Moment, what: &str) {
    let base = restored.join("base");
    let files = fs::read_dir(&base).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let mut found: Vec<String> = files.filter_map(|f| f.strip_suffix(".db").map(str::to_owned)).collect();
    found.sort();
    let expected: Vec<String> = moment.databases.keys().cloned().collect();
    assert_eq!(found, expected, "databases {what}");
    for (name, copy) in &moment.databases {
        pages::assert_same(copy, &base.join(format!("{name}.db")));
    }
}

#[test]
fn what_is_restored_is_what_the_leader_had() {
    let mut random = StdRng::seed_from_u64(seed());
    let cuts = std::env::var("WALSHIP_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(CUTS);
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let mut leader = archive.leader(&lab);
    let backup_at = COMMITS / 4;
    let moments = history(&lab, &leader, &mut random, backup_at);
    archive.complete(&leader);
    leader.stop();
    for cut in 0..cuts {
        let at = random.random_range(backup_at..COMMITS - 1);
        let moment = &moments[at];
        let to = format!("restored{cut}");
        let target = lab.path().join(&to);
        eprintln!("cut {cut}: commit {at}, {}", moment.lsn);
        // a new database is two commits: it, and its table
        let one_commit = at > backup_at && at % 20 != CREATES && moments[at - 1].lsn != moment.lsn;
        let exclusive = random.random_bool(0.3) && one_commit;
        let edge = if exclusive { "--exclusive" } else { "--inclusive" };
        lab.restore("backup", &to, &["--target-lsn", &moment.lsn, edge]).success();
        let expected = if exclusive { &moments[at - 1] } else { moment };
        assert_is(&target, expected, &format!("at {} {edge}", moment.lsn));
        fs::remove_dir_all(&target).unwrap();
    }
}
