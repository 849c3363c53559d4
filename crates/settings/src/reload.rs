use crate::{Context, Settings, SharedSettings, definitions};

/// One setting that a reload changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The setting.
    pub name: &'static str,
    /// The value before, as `SHOW` prints it.
    pub before: String,
    /// The value now.
    pub after: String,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reload {
    /// In force now.
    pub changed: Vec<Change>,
    /// In the files, and not before a restart: "parameter ... cannot be changed without restarting the server".
    pub pending_restart: Vec<Change>,
}

/// Puts freshly loaded settings in force, except those that are read at start only: they keep their value and are
/// marked as waiting for a restart.
pub fn reload(shared: &SharedSettings, mut loaded: Settings) -> Reload {
    let current = shared.load();
    let mut outcome = Reload::default();
    for definition in definitions() {
        let (Some(old), Some(new)) = (current.slot(definition.name), loaded.slot(definition.name)) else {
            continue;
        };
        let (old, new) = (old.clone(), new.clone());
        let change = || Change {
            name: definition.name,
            before: definition.show(&old.value),
            after: definition.show(&new.value),
        };
        match definition.context {
            // facts are the running server's: no file changes them
            Context::Internal => loaded.put(definition.name, old.value, old.source),
            _ if old.value == new.value => {}
            Context::Postmaster => {
                outcome.pending_restart.push(change());
                loaded.put(definition.name, old.value, old.source);
                loaded.mark_pending_restart(definition.name);
            }
            _ => outcome.changed.push(change()),
        }
    }
    shared.store(loaded);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, Typed};

    #[test]
    fn what_needs_a_restart_stays_and_is_marked() {
        let shared = SharedSettings::new(Settings::defaults());
        shared.set_fact("in_hot_standby", "on").unwrap();
        let mut loaded = Settings::defaults();
        for (name, text) in [("port", "7000"), ("checkpoint_timeout", "1h")] {
            let value = crate::definition(name).unwrap().parse(text).unwrap();
            loaded.put(name, value, Source::CommandLine);
        }
        let outcome = reload(&shared, loaded);
        let change = |name, before: &str, after: &str| {
            vec![Change { name, before: before.to_owned(), after: after.to_owned() }]
        };
        assert_eq!(outcome.changed, change("checkpoint_timeout", "5min", "1h"));
        assert_eq!(outcome.pending_restart, change("port", "5433", "7000"));
        let now = shared.load();
        assert_eq!((now.integer("port"), now.show("checkpoint_timeout").unwrap().as_str()), (5433, "1h"));
        assert!(now.bool("in_hot_standby"));
        let pending: Vec<_> = now.rows().into_iter().filter(|row| row.pending_restart).collect();
        assert_eq!(pending.len(), 1);
        assert_eq!(pending[0].definition.name, "port");
    }
}
