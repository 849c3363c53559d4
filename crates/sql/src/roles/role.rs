use std::collections::BTreeMap;

use walship_auth::Verifier;
use walship_types::Timestamp;

/// PostgreSQL's bootstrap superuser has this oid.
pub const BOOTSTRAP_OID: u32 = 10;
/// Its name.
pub const BOOTSTRAP_NAME: &str = "postgres";

/// What a role may do in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Connect and read.
    Read,
    /// The same, and write.
    Write,
}

/// What is kept of a role's password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordState {
    /// It has none: no password logs in.
    None,
    /// Its verifier.
    Kept(Verifier),
    /// Something that is no verifier.
    Damaged,
}

/// A role: a user, where it may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Never used again: 10 for the bootstrap superuser, others from 16384 on.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// May do everything.
    pub superuser: bool,
    /// May make and change roles that are no superusers.
    pub create_role: bool,
    /// May create databases.
    pub create_database: bool,
    /// May log in.
    pub login: bool,
    /// May replicate: read the whole log, take base backups.
    pub replication: bool,
    /// How many sessions it may have at once; -1 for any number.
    pub connection_limit: i32,
    /// Its password.
    pub password: PasswordState,
    /// When its password stops being good.
    pub valid_until: Option<Timestamp>,
    /// What it may do in every database.
    pub everywhere: Option<Level>,
    /// What it may do in some.
    pub in_databases: BTreeMap<String, Level>,
}

impl Role {
    /// The role that every cluster has.
    pub fn bootstrap() -> Role {
        Role {
            superuser: true,
            create_role: true,
            create_database: true,
            login: true,
            replication: true,
            ..Role::new(BOOTSTRAP_OID, BOOTSTRAP_NAME.to_owned())
        }
    }

    /// A role that may do nothing yet.
    pub fn new(oid: u32, name: String) -> Role {
        Role {
            oid,
            name,
            superuser: false,
            create_role: false,
            create_database: false,
            login: false,
            replication: false,
            connection_limit: -1,
            password: PasswordState::None,
            valid_until: None,
            everywhere: None,
            in_databases: BTreeMap::new(),
        }
    }

    /// What it may do in a database.
    pub fn level_in(&self, database: &str) -> Option<Level> {
        match self.superuser {
            true => Some(Level::Write),
            false => self.everywhere.max(self.in_databases.get(database).copied()),
        }
    }
}

/// What a session may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges {
    /// Everything.
    pub superuser: bool,
    /// Replicate, and what belongs to it: slots.
    pub replication: bool,
    /// Make roles.
    pub create_role: bool,
    /// Create databases.
    pub create_database: bool,
    /// In its database.
    pub level: Option<Level>,
}

impl Privileges {
    /// A superuser's.
    pub const ALL: Privileges = Privileges {
        superuser: true,
        replication: true,
        create_role: true,
        create_database: true,
        level: Some(Level::Write),
    };

    /// Those of a role that is not there any more.
    pub const NONE: Privileges = Privileges {
        superuser: false,
        replication: false,
        create_role: false,
        create_database: false,
        level: None,
    };

    /// Those of a role in a database.
    pub fn of(role: &Role, database: &str) -> Privileges {
        Privileges {
            superuser: role.superuser,
            replication: role.superuser || role.replication,
            create_role: role.superuser || role.create_role,
            create_database: role.superuser || role.create_database,
            level: role.level_in(database),
        }
    }
}

/// All roles, as of one moment.
#[derive(Debug, Clone)]
pub struct RoleTable {
    roles: BTreeMap<String, Role>,
    /// Keyed into the salts that stand in for those of unknown users.
    pub mock_secret: Vec<u8>,
    /// Why the table cannot be read, if so: then only the bootstrap superuser is in it.
    pub damaged: Option<String>,
}

impl RoleTable {
    /// A table of these, and of the bootstrap superuser, who is always there.
    pub fn new(roles: impl IntoIterator<Item = Role>, mock_secret: Vec<u8>) -> RoleTable {
        let mut roles: BTreeMap<_, _> = roles.into_iter().map(|role| (role.name.clone(), role)).collect();
        if !roles.values().any(|role| role.oid == BOOTSTRAP_OID) {
            roles.insert(BOOTSTRAP_NAME.to_owned(), Role::bootstrap());
        }
        RoleTable { roles, mock_secret, damaged: None }
    }

    /// The role of a name.
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// The role of an oid.
    pub fn by_oid(&self, oid: u32) -> Option<&Role> {
        self.roles.values().find(|role| role.oid == oid)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bootstrap_superuser_is_always_there() {
        let mut ann = Role::new(16_384, "ann".to_owned());
        ann.in_databases.insert("shop".to_owned(), Level::Read);
        let table = RoleTable::new([ann], Vec::new());
        assert!(table.by_oid(BOOTSTRAP_OID).unwrap().superuser);
        let ann = table.get("ann").unwrap();
        assert_eq!((ann.level_in("shop"), ann.level_in("other")), (Some(Level::Read), None));
        let everywhere = Role { everywhere: Some(Level::Write), ..ann.clone() };
        assert_eq!(everywhere.level_in("shop"), Some(Level::Write));
    }
}
