use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::registry::index_of;
use crate::{Definition, SettingError, Typed, Value, definition, definitions};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The registry.
    Default,
    /// A line of a configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u32,
    },
    /// `-c name=value`, or a flag that stands for it.
    CommandLine,
    /// The server itself, for facts.
    Override,
    /// A start-up parameter of the connection.
    Client,
    /// `SET`.
    Session,
}

impl Source {
    /// As `pg_settings.source` prints it.
    pub fn name(&self) -> &'static str {
        match self {
            Source::Default => "default",
            Source::File { .. } => "configuration file",
            Source::CommandLine => "command line",
            Source::Override => "override",
            Source::Client => "client",
            Source::Session => "session",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    pub(crate) value: Value,
    pub(crate) source: Source,
    pub(crate) pending_restart: bool,
}

/// The value of every setting for a whole cluster, and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    slots: Vec<Slot>,
}

/// One row of `pg_settings`.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingRow {
    /// The setting.
    pub definition: &'static Definition,
    /// The value in force, in the setting's unit.
    pub setting: String,
    /// The value that `RESET` would go back to.
    pub reset_value: String,
    /// Where the value comes from.
    pub source: Source,
    /// Whether a value in the files waits for a restart.
    pub pending_restart: bool,
}

impl Settings {
    /// Every setting at its default.
    pub fn defaults() -> Settings {
        let slot = |definition: &&'static Definition| Slot {
            value: definition.default_value(),
            source: Source::Default,
            pending_restart: false,
        };
        Settings { slots: definitions().iter().map(slot).collect() }
    }

    /// Sets a fact that the server knows (`in_hot_standby`, `data_directory_mode`, `wal_segment_size`...), or a
    /// default of its own. Whatever the files say later wins over it, except for facts, which they cannot set.
    pub fn set_fact(&mut self, name: &str, text: &str) -> Result<(), SettingError> {
        let value = known(name)?.parse(text)?;
        self.put(name, value, Source::Override);
        Ok(())
    }

    /// The value as `SHOW` prints it.
    pub fn show(&self, name: &str) -> Result<String, SettingError> {
        let definition = known(name)?;
        let slot = self.slot(name).ok_or_else(|| SettingError::Unknown { name: name.to_owned() })?;
        Ok(definition.show(&slot.value))
    }

    /// Where a value comes from; `None` if there is no setting of that name.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.slot(name).map(|slot| &slot.source)
    }

    /// All settings as `pg_settings` lists them, sorted by name.
    pub fn rows(&self) -> Vec<SettingRow> {
        let row = |(definition, slot): (&&'static Definition, &Slot)| SettingRow {
            definition,
            setting: definition.setting(&slot.value),
            reset_value: definition.setting(&slot.value),
            source: slot.source.clone(),
            pending_restart: slot.pending_restart,
        };
        definitions().iter().zip(&self.slots).map(row).collect()
    }

    pub(crate) fn slot(&self, name: &str) -> Option<&Slot> {
        index_of(name).and_then(|index| self.slots.get(index))
    }

    pub(crate) fn put(&mut self, name: &str, value: Value, source: Source) {
        if let Some(slot) = index_of(name).and_then(|index| self.slots.get_mut(index)) {
            *slot = Slot { value, source, pending_restart: false };
        }
    }

    pub(crate) fn mark_pending_restart(&mut self, name: &str) {
        if let Some(slot) = index_of(name).and_then(|index| self.slots.get_mut(index)) {
            slot.pending_restart = true;
        }
    }
}

impl Typed for Settings {
    fn value_of(&self, name: &str) -> Option<Value> {
        self.slot(name).map(|slot| slot.value.clone())
    }
}

pub(crate) fn known(name: &str) -> Result<&'static Definition, SettingError> {
    definition(name).ok_or_else(|| SettingError::Unknown { name: name.to_owned() })
}

/// The settings in force, swapped as a whole, so that a reader always sees one file's worth.
#[derive(Debug)]
pub struct SharedSettings {
    /// Protects only the pointer; nobody holds it while doing anything else.
    current: RwLock<Arc<Settings>>,
}

impl SharedSettings {
    /// Shares a snapshot.
    pub fn new(settings: Settings) -> SharedSettings {
        SharedSettings { current: RwLock::new(Arc::new(settings)) }
    }

    /// The snapshot in force.
    pub fn load(&self) -> Arc<Settings> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another snapshot in force.
    pub fn store(&self, settings: Settings) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Changes a fact (`in_hot_standby` at a promotion) in whatever is in force.
    pub fn set_fact(&self, name: &str, text: &str) -> Result<(), SettingError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut current).set_fact(name, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn getters_speak_bytes_and_durations() {
        let settings = Settings::defaults();
        assert_eq!(settings.bytes("max_wal_size"), 1 << 30);
        assert_eq!(settings.bytes_limit("max_slot_wal_keep_size"), Some(10 << 30));
        assert_eq!(settings.timeout("statement_timeout"), None);
        assert_eq!(settings.timeout("wal_sender_timeout"), Some(Duration::from_secs(60)));
        assert_eq!(settings.count("max_connections"), 100);
        assert_eq!(settings.list("search_path"), ["\"$user\"", "public"]);
    }

    #[test]
    fn a_reader_keeps_its_snapshot_while_facts_change() {
        let shared = SharedSettings::new(Settings::defaults());
        let before = shared.load();
        shared.set_fact("in_hot_standby", "on").unwrap();
        assert!(!before.bool("in_hot_standby"));
        assert!(shared.load().bool("in_hot_standby"));
        assert_eq!(shared.set_fact("nope", "1").unwrap_err().sqlstate(), "42704");
    }
}
