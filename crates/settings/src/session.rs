use std::collections::BTreeMap;
use std::sync::Arc;

use crate::registry::index_of;
use crate::settings::known;
use crate::{
    Context, Definition, SettingError, SettingRow, Settings, SharedSettings, Source, Typed, Value,
    definition, definitions,
};

/// Parameters that a client is told at start-up and whenever they change, in PostgreSQL 15's order.
pub const REPORTED: [&str; 13] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// Names of its own that a session may hold; each is kept in memory.
const CUSTOM_MAX: usize = 256;

/// How long a `SET` lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `SET`: to the end of the session, if the transaction commits.
    Session,
    /// `SET LOCAL`: to the end of the transaction.
    Local,
}

/// Who a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionIdentity {
    /// The user who logged in.
    pub user: String,
    /// Whether that user may set what superusers may.
    pub superuser: bool,
}

/// What one session sees of the settings: the cluster's, with its own values over them.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    shared: Arc<SharedSettings>,
    identity: SessionIdentity,
    /// From the start-up message: what `RESET` goes back to.
    startup: BTreeMap<Name, Value>,
    /// `SET`, the open transaction's included.
    session: BTreeMap<Name, Value>,
    /// `SET LOCAL`.
    local: BTreeMap<Name, Value>,
    /// `session` as it was before the open transaction's first change.
    before: Option<BTreeMap<Name, Value>>,
    in_transaction: bool,
    /// What the client was told last, for each of [`REPORTED`].
    told: Vec<String>,
}

/// A registered setting by its place in the registry, or a name with a dot that the session made up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Known(usize),
    Custom(String),
}

impl SessionSettings {
    /// A session that has set nothing yet.
    pub fn new(shared: Arc<SharedSettings>, identity: SessionIdentity) -> SessionSettings {
        SessionSettings {
            shared,
            identity,
            startup: BTreeMap::new(),
            session: BTreeMap::new(),
            local: BTreeMap::new(),
            before: None,
            in_transaction: false,
            told: Vec::new(),
        }
    }

    /// A parameter of the start-up message, or from its `options`.
    pub fn set_at_startup(&mut self, name: &str, text: &str) -> Result<(), SettingError> {
        let (key, value) = self.checked(name, text, true)?;
        self.startup.insert(key, value);
        Ok(())
    }

    /// `SET` and `SET LOCAL`. Outside a transaction the latter changes nothing; PostgreSQL warns
    /// "SET LOCAL can only be used in transaction blocks".
    pub fn set(&mut self, name: &str, text: &str, scope: Scope) -> Result<(), SettingError> {
        let (key, value) = self.checked(name, text, false)?;
        match scope {
            Scope::Local if self.in_transaction => {
                self.local.insert(key, value);
            }
            Scope::Local => {}
            Scope::Session => {
                self.remember();
                self.local.remove(&key);
                self.session.insert(key, value);
            }
        }
        Ok(())
    }

    /// `RESET name`, and `SET name TO DEFAULT`.
    pub fn reset(&mut self, name: &str) -> Result<(), SettingError> {
        let key = self.key(name)?;
        if let Name::Known(index) = key {
            self.allow(definitions()[index], false)?;
        }
        self.remember();
        self.local.remove(&key);
        self.session.remove(&key);
        Ok(())
    }

    /// `RESET ALL`, also part of `DISCARD ALL`.
    pub fn reset_all(&mut self) {
        self.remember();
        self.local.clear();
        self.session.clear();
    }

    /// A transaction block began.
    pub fn begin(&mut self) {
        self.in_transaction = true;
    }

    /// The transaction committed: `SET` stays, `SET LOCAL` ends.
    pub fn commit(&mut self) {
        self.in_transaction = false;
        self.before = None;
        self.local.clear();
    }

    /// The transaction was rolled back: everything that it set is undone.
    pub fn rollback(&mut self) {
        self.in_transaction = false;
        if let Some(before) = self.before.take() {
            self.session = before;
        }
        self.local.clear();
    }

    /// The value as `SHOW` prints it.
    pub fn show(&self, name: &str) -> Result<String, SettingError> {
        let value = self.value_of(name).ok_or_else(|| SettingError::Unknown { name: name.to_owned() })?;
        Ok(match definition(name) {
            Some(definition) => definition.show(&value),
            None => Definition::plain(&value),
        })
    }

    /// `SHOW ALL`: name, value, description.
    pub fn show_all(&self) -> Vec<(&'static str, String, &'static str)> {
        let row = |definition: &&'static Definition| {
            let shown = self.show(definition.name).unwrap_or_default();
            (definition.name, shown, definition.description)
        };
        definitions().iter().map(row).collect()
    }

    /// Whether a setting is known here: one of the registry, or a custom one that this session has set.
    pub fn exists(&self, name: &str) -> bool {
        self.value_of(name).is_some()
    }

    /// `pg_settings` as this session sees it.
    pub fn rows(&self) -> Vec<SettingRow> {
        let mut rows = self.cluster().rows();
        for (index, row) in rows.iter_mut().enumerate() {
            let key = Name::Known(index);
            if let Some(value) = self.startup.get(&key) {
                row.reset_value = row.definition.setting(value);
                row.source = Source::Client;
            }
            if self.local.contains_key(&key) || self.session.contains_key(&key) {
                row.source = Source::Session;
            }
            if let Some(value) = self.value_of(row.definition.name) {
                row.setting = row.definition.setting(&value);
            }
        }
        rows
    }

    /// What to tell the client when it has connected: every one of [`REPORTED`].
    pub fn report_all(&mut self) -> Vec<(&'static str, String)> {
        self.told.clear();
        self.report_changes()
    }

    /// What to tell the client before the next `ReadyForQuery`: those of [`REPORTED`] that changed since it was told,
    /// by `SET`, a rollback, a reload, or a promotion.
    pub fn report_changes(&mut self) -> Vec<(&'static str, String)> {
        let now: Vec<String> = REPORTED.iter().map(|name| self.show(name).unwrap_or_default()).collect();
        let changed = REPORTED.iter().zip(&now).enumerate();
        let changed = changed.filter(|(index, (_, value))| self.told.get(*index) != Some(*value));
        let report = changed.map(|(_, (name, value))| (*name, value.clone())).collect();
        self.told = now;
        report
    }

    /// The cluster's settings in force.
    pub fn cluster(&self) -> Arc<Settings> {
        self.shared.load()
    }

    /// Who the session is.
    pub fn identity(&self) -> &SessionIdentity {
        &self.identity
    }

    /// Keeps `session` as it is, for a rollback.
    fn remember(&mut self) {
        if self.in_transaction && self.before.is_none() {
            self.before = Some(self.session.clone());
        }
    }

    fn key(&self, name: &str) -> Result<Name, SettingError> {
        match index_of(name) {
            Some(index) => Ok(Name::Known(index)),
            None if is_custom(name) => Ok(Name::Custom(name.to_ascii_lowercase())),
            None => Err(SettingError::Unknown { name: name.to_owned() }),
        }
    }

    fn checked(&self, name: &str, text: &str, startup: bool) -> Result<(Name, Value), SettingError> {
        let key = self.key(name)?;
        match key {
            Name::Known(_) => {
                let definition = known(name)?;
                self.allow(definition, startup)?;
                Ok((key, definition.parse(text)?))
            }
            Name::Custom(_) => {
                let held = self.startup.len() + self.session.len() + self.local.len();
                if held >= CUSTOM_MAX + definitions().len() {
                    return Err(SettingError::TooManyCustom { max: CUSTOM_MAX });
                }
                Ok((key, Value::Text(text.to_owned())))
            }
        }
    }

    fn allow(&self, definition: &'static Definition, startup: bool) -> Result<(), SettingError> {
        let name = definition.name;
        match definition.context {
            Context::Internal => Err(SettingError::Fixed { name }),
            Context::Postmaster => Err(SettingError::NeedsRestart { name }),
            Context::Sighup => Err(SettingError::NotNow { name }),
            Context::Backend if !startup => Err(SettingError::AfterConnectionStart { name }),
            Context::Superuser if !self.identity.superuser => Err(SettingError::PermissionDenied { name }),
            Context::Backend | Context::Superuser | Context::User => Ok(()),
        }
    }
}

impl Typed for SessionSettings {
    fn value_of(&self, name: &str) -> Option<Value> {
        let key = self.key(name).ok()?;
        let name = match key {
            Name::Known(index) => definitions().get(index).map_or("", |definition| definition.name),
            Name::Custom(_) => "",
        };
        let cluster = self.shared.load();
        // a follower writes nothing, whatever a session says; and the default holds until the transaction says otherwise
        match name {
            "transaction_read_only" if cluster.bool("in_hot_standby") => return Some(Value::Bool(true)),
            "session_authorization" => return Some(Value::Text(self.identity.user.clone())),
            "is_superuser" => return Some(Value::Bool(self.identity.superuser)),
            _ => {}
        }
        let own = [&self.local, &self.session, &self.startup].into_iter().find_map(|layer| layer.get(&key));
        match own {
            Some(value) => Some(value.clone()),
            None if name == "transaction_read_only" => self.value_of("default_transaction_read_only"),
            None if name == "transaction_isolation" => self.value_of("default_transaction_isolation"),
            None => cluster.value_of(name),
        }
    }
}

impl Definition {
    fn plain(value: &Value) -> String {
        match value {
            Value::Text(text) => text.clone(),
            Value::Bool(value) => if *value { "on" } else { "off" }.to_owned(),
            Value::Int(value) => value.to_string(),
            Value::Real(value) => value.to_string(),
        }
    }
}

/// `class.name`, each an identifier.
fn is_custom(name: &str) -> bool {
    const LENGTH_MAX: usize = 127;
    let identifier = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
    };
    name.len() <= LENGTH_MAX && name.contains('.') && name.split('.').all(identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionSettings {
        let shared = Arc::new(SharedSettings::new(Settings::defaults()));
        SessionSettings::new(shared, SessionIdentity { user: "alice".to_owned(), superuser: false })
    }

    #[test]
    fn set_lasts_as_long_as_postgresql_says() {
        let mut session = session();
        let shown = |session: &SessionSettings| session.show("lock_timeout").unwrap();
        session.set_at_startup("lock_timeout", "1s").unwrap();
        session.set("lock_timeout", "2s", Scope::Session).unwrap();
        session.set("lock_timeout", "9s", Scope::Local).unwrap();
        assert_eq!(shown(&session), "2s", "SET LOCAL outside a transaction changes nothing");

        session.begin();
        session.set("lock_timeout", "3s", Scope::Local).unwrap();
        assert_eq!(shown(&session), "3s");
        session.commit();
        assert_eq!(shown(&session), "2s");

        session.begin();
        session.set("lock_timeout", "4s", Scope::Session).unwrap();
        session.set("lock_timeout", "5s", Scope::Local).unwrap();
        session.rollback();
        assert_eq!(shown(&session), "2s");

        session.begin();
        session.set("lock_timeout", "5s", Scope::Local).unwrap();
        session.set("lock_timeout", "4s", Scope::Session).unwrap();
        assert_eq!(shown(&session), "4s");
        session.commit();
        assert_eq!(shown(&session), "4s");

        session.reset("lock_timeout").unwrap();
        assert_eq!(shown(&session), "1s", "back to what the connection started with");
        session.set("lock_timeout", "4s", Scope::Session).unwrap();
        session.begin();
        session.reset_all();
        assert_eq!(shown(&session), "1s");
        session.rollback();
        assert_eq!(shown(&session), "4s");
    }

    #[test]
    fn who_may_change_what() {
        let mut session = session();
        for (name, sqlstate) in [
            ("server_version", "55P02"),
            ("port", "55P02"),
            ("checkpoint_timeout", "55P02"),
            ("log_statement", "42501"),
            ("nope", "42704"),
            ("lock_timeout", "22023"),
        ] {
            assert_eq!(session.set(name, "?", Scope::Session).unwrap_err().sqlstate(), sqlstate, "{name}");
        }
        assert_eq!(session.show("nope.x").unwrap_err().sqlstate(), "42704");
        session.set("My.Var", "1", Scope::Session).unwrap();
        assert_eq!(session.show("my.var").unwrap(), "1");
    }

    #[test]
    fn made_up_names_are_bounded() {
        let mut session = session();
        let fill = (0..10_000).find_map(|n| session.set(&format!("a.b{n}"), "", Scope::Session).err());
        assert_eq!(fill.unwrap().sqlstate(), "53400");
    }

    #[test]
    fn tells_the_client_each_change_once() {
        let mut session = session();
        let all = session.report_all();
        assert_eq!(all.iter().map(|(name, _)| *name).collect::<Vec<_>>(), REPORTED);
        assert!(all.contains(&("session_authorization", "alice".to_owned())));
        assert!(all.contains(&("is_superuser", "off".to_owned())));
        assert_eq!(session.report_changes(), []);
        session.begin();
        session.set("TIMEZONE", "Europe/Berlin", Scope::Session).unwrap();
        assert_eq!(session.report_changes(), [("TimeZone", "Europe/Berlin".to_owned())]);
        session.rollback();
        assert_eq!(session.report_changes(), [("TimeZone", "UTC".to_owned())]);
        session.shared.set_fact("in_hot_standby", "on").unwrap();
        assert_eq!(session.report_changes(), [("in_hot_standby", "on".to_owned())]);
        assert!(session.bool("transaction_read_only"));
    }

    #[test]
    fn rows_show_the_session_and_what_reset_gives() {
        let mut session = session();
        session.set_at_startup("lock_timeout", "1s").unwrap();
        session.set("lock_timeout", "2s", Scope::Session).unwrap();
        let rows = session.rows();
        let row = rows.iter().find(|row| row.definition.name == "lock_timeout").unwrap();
        assert_eq!(
            (row.setting.as_str(), row.reset_value.as_str(), row.source.name()),
            ("2000", "1000", "session")
        );
    }
}
