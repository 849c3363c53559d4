//! Every setting there is, one file per group of PostgreSQL's headings.

mod accepted;
mod connection;
mod preset;
mod recovery;
mod replication;
mod reporting;
mod session;
mod storage;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::Definition;

static SORTED: LazyLock<Vec<&'static Definition>> = LazyLock::new(|| {
    let groups: [&'static [Definition]; 8] = [
        connection::SETTINGS,
        storage::SETTINGS,
        replication::SETTINGS,
        recovery::SETTINGS,
        reporting::SETTINGS,
        session::SETTINGS,
        accepted::SETTINGS,
        preset::SETTINGS,
    ];
    let mut all: Vec<&'static Definition> = groups.into_iter().flatten().collect();
    all.sort_by_key(|definition| definition.name.to_ascii_lowercase());
    all
});

static BY_NAME: LazyLock<HashMap<String, usize>> = LazyLock::new(|| {
    SORTED
        .iter()
        .enumerate()
        .map(|(index, definition)| (definition.name.to_ascii_lowercase(), index))
        .collect()
});

/// Every setting, sorted by name without regard to case.
pub fn definitions() -> &'static [&'static Definition] {
    &SORTED
}

/// The setting of that name, in any case.
pub fn definition(name: &str) -> Option<&'static Definition> {
    index_of(name).map(|index| SORTED[index])
}

/// The place of a setting in [`definitions`].
pub(crate) fn index_of(name: &str) -> Option<usize> {
    match BY_NAME.get(name) {
        Some(&index) => Some(index),
        None => BY_NAME.get(&name.to_ascii_lowercase()).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Kind};

    #[test]
    fn names_are_unique_and_every_default_is_valid() {
        assert_eq!(BY_NAME.len(), SORTED.len());
        for definition in definitions() {
            let value = definition.parse(definition.boot);
            assert!(value.is_ok(), "{}: {value:?}", definition.name);
            assert!(!definition.description.is_empty(), "{} has no description", definition.name);
            assert!(!definition.description.ends_with('.'), "{}", definition.name);
        }
    }

    #[test]
    fn whatever_is_shown_is_accepted_again() {
        for definition in definitions() {
            let value = definition.default_value();
            assert_eq!(definition.parse(&definition.show(&value)), Ok(value.clone()), "{}", definition.name);
            assert_eq!(definition.parse(&definition.setting(&value)), Ok(value), "{}", definition.name);
        }
    }

    #[test]
    fn what_runs_commands_is_for_files_only() {
        for definition in definitions().iter().filter(|definition| definition.name.ends_with("_command")) {
            assert!(definition.file_only && definition.kind == Kind::Text(crate::TextRule::Any));
            assert!(definition.context <= Context::Sighup, "{}", definition.name);
        }
    }
}
