//! What every earlier version wrote, today's programs start from: fixtures/vN holds, for each
//! version of the formats, a cluster that crashed and a base backup.

use std::path::{Path, PathBuf};

use walship_tests::{
    Lab, Node, Role, assert_identical, output_of, pg_verifybackup, repository_root, wait_caught_up,
};

/// The kept versions' folders, oldest first.
fn kept() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository_root().join("fixtures")).unwrap().map(|entry| entry.unwrap());
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.strip_prefix('v')?.parse().ok()?, entry.path()))
        })
        .collect();
    versions.sort();
    versions.into_iter().map(|(_, path)| path).collect()
}

fn unpack(lab: &Lab, version: &Path, name: &str) {
    let mut tar = std::process::Command::new("tar");
    tar.arg("-xzf").arg(version.join(format!("{name}.tar.gz"))).arg("-C").arg(lab.path());
    output_of(&mut tar).success();
}

fn ask(node: &Node, database: &str, sql: &str) -> String {
    node.psql(database, &["-At", "-c", sql]).success()
}

/// `DATABASE: QUERY`, and the rows below it.
fn check_content(node: &Node, expected: &str) {
    let mut lines = expected.lines().peekable();
    let mut questions = 0;
    while let Some(line) = lines.next() {
        let (database, query) = line.split_once(": ").expect("a question");
        let mut rows = Vec::new();
        while lines.peek().is_some_and(|next| !next.contains(": SELECT ")) {
            rows.push(lines.next().unwrap());
        }
        questions += 1;
        assert_eq!(ask(node, database, query), rows.join("\n"), "{query}");
    }
    assert!(questions >= 6, "{questions}");
}

#[test]
fn clusters_and_backups_start() {
    for version in kept() {
        let mut sums = std::process::Command::new("sha256sum");
        output_of(sums.args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&version)).success();
        let expected = std::fs::read_to_string(version.join("expected.txt")).unwrap();
        let lab = Lab::new();
        unpack(&lab, &version, "cluster");
        unpack(&lab, &version, "backup");

        let backup = lab.path().join("backup");
        lab.walctl(&["verifybackup", "--quiet", &backup.to_string_lossy()]).success();
        pg_verifybackup(&backup).success();
        let mut leader = lab.node(Role::Leader, "cluster", &[]);
        let dumped = lab.walctl(&["waldump", "--stats", &leader.dir().to_string_lossy()]).success();
        assert!(dumped.contains("COMMIT"), "{dumped}");

        leader.start();
        check_content(&leader, &expected);
        // roles and their verifiers too
        leader.set_access_rules("host all ann all scram-sha-256");
        assert_eq!(leader.psql_as("ann", Some("secret"), "", "SELECT count(*) FROM notes").success(), "3");
        let conninfo = format!("host=127.0.0.1 port={} user=postgres", leader.port());
        let mut follower = lab.node(Role::Follower, "backup", &["--primary", &conninfo, "--name", "late"]);
        follower.start();
        ask(&leader, "shop", "INSERT INTO pair VALUES ('today', 1)");
        wait_caught_up(&leader, &follower);
        for database in ["postgres", "shop", "pg_global"] {
            assert_identical(&leader, &follower, database);
        }
        leader.restart();
        follower.restart();
    }
}

#[test]
fn the_present_version_is_kept() {
    let lab = Lab::new();
    let leader = lab.leader();
    let version = format!("v{}", leader.sql("SHOW wal_format_version"));
    let newest = kept().pop().expect("there are kept versions");
    assert!(
        newest.ends_with(&version),
        "run scripts/keep-version.sh: {version} is not the newest kept, {}",
        newest.display()
    );
}
