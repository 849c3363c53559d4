//! The crates import what ARCHITECTURE.md says, and nothing else of ours: arrows point
//! one way.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use walship_tests::{output_of, repository_root};

/// `(crate, what it may import of ours)` of the table, in its order.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let text = std::fs::read_to_string(repository_root().join("ARCHITECTURE.md")).unwrap();
    let mut rows: Vec<(String, BTreeSet<String>)> = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let imports = match cells[2] {
            "–" => BTreeSet::new(),
            "all of the above" => rows.iter().map(|(name, _)| name.clone()).collect(),
            list => list.split(',').map(|name| name.trim().to_owned()).collect(),
        };
        rows.push((cells[1].trim_matches('`').to_owned(), imports));
    }
    rows
}

/// What cargo knows: the normal dependencies among ours.
fn known_to_cargo() -> BTreeMap<String, BTreeSet<String>> {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository_root());
    let metadata: serde_json::Value = serde_json::from_str(&output_of(&mut cargo).success()).unwrap();
    let short = |name: &str| name.strip_prefix("walship-").unwrap_or(name).to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let ours = dependencies
                .filter(|dependency| dependency["kind"].is_null())
                .filter_map(|dependency| dependency["name"].as_str()?.strip_prefix("walship-"))
                .map(str::to_owned);
            (short(package["name"].as_str().unwrap()), ours.collect())
        })
        .collect()
}

#[test]
fn crates_import_what_the_map_says() {
    let cargo = known_to_cargo();
    let table = table();
    let named: BTreeSet<String> = table.iter().map(|(name, _)| name.clone()).collect();
    let crates = std::fs::read_dir(repository_root().join("crates")).unwrap().flatten();
    let there: BTreeSet<String> =
        crates.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(named, there, "the map and the workspace name different crates");
    let mut above = BTreeSet::new();
    for (name, allowed) in &table {
        let imports = &cargo[name];
        assert!(imports.is_subset(allowed), "{name} imports {imports:?}, the map says {allowed:?}");
        assert!(imports.is_subset(&above), "{name} imports {imports:?}: an arrow points down the table");
        above.insert(name.clone());
    }
}
