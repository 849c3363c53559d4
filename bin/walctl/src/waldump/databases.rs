use std::collections::BTreeMap;

use walship_types::DatabaseId;
use walship_wal::payload::Payload;

/// Names of databases, as the control file and the records read so far tell them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Databases {
    names: BTreeMap<DatabaseId, String>,
}

impl Databases {
    /// Learns a name.
    pub(crate) fn insert(&mut self, id: DatabaseId, name: impl ToString) {
        self.names.insert(id, name.to_string());
    }

    /// Learns the names in a record.
    pub(crate) fn learn(&mut self, payload: &Payload<'_>) {
        let states = match payload {
            Payload::CreateDatabase(created) => return self.insert(created.id, &created.name),
            Payload::DropDatabase(dropped) => return self.insert(dropped.id, &dropped.name),
            Payload::Checkpoint(checkpoint) => &checkpoint.databases,
            Payload::EndOfRecovery(end) => &end.databases,
            _ => return,
        };
        for state in states {
            self.insert(state.id, &state.name);
        }
    }

    /// Whether `wanted` is the name or the number of this database.
    pub(crate) fn is(&self, id: DatabaseId, wanted: &str) -> bool {
        id.to_string() == wanted || self.names.get(&id).is_some_and(|name| name == wanted)
    }

    /// Whether any database has this name or number.
    pub(crate) fn contains(&self, wanted: &str) -> bool {
        self.names.keys().any(|id| self.is(*id, wanted))
    }
}

/// The database that a record is about, if it is about one.
pub(crate) fn database_of(payload: &Payload<'_>) -> Option<DatabaseId> {
    match payload {
        Payload::Pages(part) => Some(part.database),
        Payload::Commit(commit) => Some(commit.database),
        Payload::Seal(seal) => Some(seal.database),
        Payload::CreateDatabase(created) => Some(created.id),
        Payload::DropDatabase(dropped) => Some(dropped.id),
        _ => None,
    }
}
