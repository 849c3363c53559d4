//! The crates import what ARCHITECTURE.md says, and nothing else of ours: arrows point
//! one way.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use walship_tests::{output_of, repository_root};

/// `(crate, what it imports of ours)` of the table, in its order.
fn table() -> Vec<(Vec<String>, BTreeSet<String>)> {
    let text = std::fs::read_to_string(repository_root().join("ARCHITECTURE.md")).unwrap();
    let names = |cell: &str| {
        cell.split('`').skip(1).step_by(2).map(|name| name.replace("bin/", "")).collect::<Vec<_>>()
    };
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let mut seen = BTreeSet::new();
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let imports = match cells[3].trim() {
            "any" | "all of the above" => seen.clone(),
            list => names(list).into_iter().collect(),
        };
        seen.extend(names(cells[1]));
        (names(cells[1]), imports)
    })
    .collect()
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
    let named: BTreeSet<String> = table.iter().flat_map(|(names, _)| names.clone()).collect();
    assert_eq!(named, cargo.keys().cloned().collect(), "the map and the workspace name different crates");
    let mut above = BTreeSet::new();
    for (names, allowed) in &table {
        for name in names {
            let imports = &cargo[name];
            assert!(imports.is_subset(allowed), "{name} imports {imports:?}, the map says {allowed:?}");
            assert!(imports.is_subset(&above), "{name} imports {imports:?}: an arrow points down the table");
        }
        above.extend(names.clone());
    }
}
