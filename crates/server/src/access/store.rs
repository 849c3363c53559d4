use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OptionalExtension as _, Row};
use walship_engine::sqlite::WalIndexHeader;
use walship_engine::{Databases, EngineError, WaitLimits};
use walship_sql::roles::{
    BOOTSTRAP_OID, ChangeError, Level, PasswordState, Privileges, Role, RoleChange, RoleTable, check_name,
    check_options,
};
use walship_types::{DatabaseId, DatabaseName, Lsn, PageSize, Timestamp};

/// The first oid of a role that is made (PostgreSQL's `FirstNormalObjectId`).
const FIRST_OID: u32 = 16_384;
/// `walship_privilege.database` where it means every database; no database is called so.
const EVERYWHERE: &str = "*";

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS pg_authid (
  oid INTEGER PRIMARY KEY,
  rolname TEXT NOT NULL UNIQUE,
  rolsuper INTEGER NOT NULL,
  rolcreaterole INTEGER NOT NULL,
  rolcreatedb INTEGER NOT NULL,
  rolcanlogin INTEGER NOT NULL,
  rolreplication INTEGER NOT NULL,
  rolconnlimit INTEGER NOT NULL,
  rolpassword TEXT,
  rolvaliduntil INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS walship_privilege (
  role INTEGER NOT NULL REFERENCES pg_authid (oid) ON DELETE CASCADE,
  database TEXT NOT NULL,
  writes INTEGER NOT NULL,
  PRIMARY KEY (role, database)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS walship_cluster (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  next_oid INTEGER NOT NULL,
  mock_secret BLOB NOT NULL
) STRICT;
";

/// The cluster's roles, in the database `pg_global`, which is made with the first of them.
///
/// Until then there is the bootstrap superuser, without a password. On a follower what
/// replay brings is seen at the next look.
pub struct RoleStore {
    databases: Arc<Databases>,
    /// What was read last, and of which version; held to copy it.
    cached: RwLock<Option<(Version, Arc<RoleTable>)>>,
    /// Behind the salts of unknown users as long as the cluster has no secret of its own.
    own_secret: Vec<u8>,
    /// Protects the making of the database: held while it is made, by the few who change roles.
    making: Mutex<()>,
}

/// Which content was read; `None` of no database.
type Version = Option<(DatabaseId, WalIndexHeader)>;

/// Why a change of the roles did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// It is not allowed, or makes no sense.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The database did not take it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// SQLite did not take it.
    #[error("could not change the roles: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Who changes something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangedBy {
    /// Whose privileges.
    pub role: u32,
    /// Those.
    pub privileges: Privileges,
}

impl RoleStore {
    /// The roles of these databases.
    pub fn new(databases: Arc<Databases>) -> RoleStore {
        RoleStore { databases, cached: RwLock::new(None), own_secret: secret(), making: Mutex::new(()) }
    }

    /// The roles now. Costs a look into shared memory unless something has changed.
    pub fn current(&self) -> Arc<RoleTable> {
        let version = self.version();
        if let Some((read, table)) = &*self.cached.read()
            && *read == version
        {
            return Arc::clone(table);
        }
        let table = Arc::new(self.read(&version));
        *self.cached.write() = Some((version, Arc::clone(&table)));
        table
    }

    fn version(&self) -> Version {
        let database = self.databases.get(DatabaseName::shared_catalog().as_str()).ok()?;
        Some((database.id(), database.version()))
    }

    fn read(&self, version: &Version) -> RoleTable {
        let none = || RoleTable::new([], self.own_secret.clone());
        if version.is_none() {
            return none();
        }
        let read = self.databases.session(DatabaseName::shared_catalog().as_str());
        let read = read.map_err(|error| error.to_string()).and_then(|session| {
            load(session.connection(), &self.own_secret).map_err(|error| error.to_string())
        });
        read.unwrap_or_else(|error| {
            tracing::error!(
                event = "roles_damaged",
                error,
                "could not read the roles; nobody can log in by password"
            );
            let mut table = none();
            table.damaged = Some(error);
            table
        })
    }

    /// Changes the roles, as one transaction; where to wait for. `None` if nothing had to change.
    pub(crate) fn change(
        &self,
        change: &RoleChange,
        by: ChangedBy,
        limits: &WaitLimits<'_>,
    ) -> Result<Option<Lsn>, StoreError> {
        let name = DatabaseName::shared_catalog();
        let making = self.making.lock();
        if self.databases.get(name.as_str()).is_err() {
            self.databases.create(&name, PageSize::DEFAULT)?;
        }
        drop(making);
        let mut session = self.databases.session(name.as_str())?;
        session.before_write(limits)?;
        let connection = session.connection();
        connection.execute_batch("PRAGMA foreign_keys = ON; BEGIN IMMEDIATE")?;
        let applied = (|| {
            connection.execute_batch(SCHEMA)?;
            apply(connection, change, by, &self.own_secret)
        })();
        let ended = match &applied {
            Ok(()) => connection.execute_batch("COMMIT"),
            Err(_) => connection.execute_batch("ROLLBACK"),
        };
        let end = session.after_statement();
        applied?;
        ended?;
        Ok(end?.commit)
    }
}

/// Bytes that nobody can guess: those of two nonces, as text.
fn secret() -> Vec<u8> {
    match (walship_auth::nonce(), walship_auth::nonce()) {
        (Ok(one), Ok(two)) => [one, two].concat().into_bytes(),
        // without random bytes no exchange can take place: nothing is told apart by this
        _ => Vec::new(),
    }
}

fn load(connection: &Connection, own_secret: &[u8]) -> rusqlite::Result<RoleTable> {
    let exists = "SELECT count(*) FROM sqlite_schema WHERE name = 'walship_cluster'";
    if connection.query_row(exists, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(RoleTable::new([], own_secret.to_vec()));
    }
    let mut roles: Vec<Role> =
        connection.prepare("SELECT * FROM pg_authid")?.query_map([], role)?.collect::<Result<_, _>>()?;
    let mut privileges = connection.prepare("SELECT role, database, writes FROM walship_privilege")?;
    let mut privileges = privileges.query([])?;
    while let Some(row) = privileges.next()? {
        let (oid, database, writes): (u32, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let level = if writes { Level::Write } else { Level::Read };
        if let Some(role) = roles.iter_mut().find(|role| role.oid == oid) {
            match database.as_str() {
                EVERYWHERE => role.everywhere = Some(level),
                _ => drop(role.in_databases.insert(database, level)),
            }
        }
    }
    let secret = connection
        .query_row("SELECT mock_secret FROM walship_cluster", [], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    Ok(RoleTable::new(roles, secret.unwrap_or_else(|| own_secret.to_vec())))
}

fn role(row: &Row<'_>) -> rusqlite::Result<Role> {
    let password: Option<String> = row.get("rolpassword")?;
    let password = match password.map(|text| text.parse()) {
        None => PasswordState::None,
        Some(Ok(verifier)) => PasswordState::Kept(verifier),
        Some(Err(_)) => PasswordState::Damaged,
    };
    Ok(Role {
        oid: row.get("oid")?,
        name: row.get("rolname")?,
        superuser: row.get("rolsuper")?,
        create_role: row.get("rolcreaterole")?,
        create_database: row.get("rolcreatedb")?,
        login: row.get("rolcanlogin")?,
        replication: row.get("rolreplication")?,
        connection_limit: row.get("rolconnlimit")?,
        password,
        valid_until: row.get::<_, Option<i64>>("rolvaliduntil")?.map(Timestamp),
        everywhere: None,
        in_databases: Default::default(),
    })
}

fn apply(
    connection: &Connection,
    change: &RoleChange,
    by: ChangedBy,
    own_secret: &[u8],
) -> Result<(), StoreError> {
    connection
        .execute("INSERT OR IGNORE INTO walship_cluster VALUES (1, ?1, ?2)", (FIRST_OID, own_secret))?;
    let table = load(connection, own_secret)?;
    let known = |name: &str| table.get(name).ok_or_else(|| ChangeError::Missing(name.to_owned()));
    match change {
        RoleChange::Create { name, options } => {
            check_name(name)?;
            check_options(by.privileges, None, false, options)?;
            if table.get(name).is_some() {
                return Err(ChangeError::Exists(name.clone()).into());
            }
            let next = "UPDATE walship_cluster SET next_oid = next_oid + 1 RETURNING next_oid - 1";
            let mut role = Role::new(connection.query_row(next, [], |row| row.get(0))?, name.clone());
            options.apply(&mut role)?;
            put(connection, &role)
        }
        RoleChange::Alter { name, options } => {
            let mut role = known(name)?.clone();
            check_options(by.privileges, Some(&role), role.oid == by.role, options)?;
            options.apply(&mut role)?;
            put(connection, &role)
        }
        RoleChange::Rename { name, to } => {
            let role = known(name)?.clone();
            check_name(to)?;
            may_manage(by.privileges, &role, "permission denied to rename role")?;
            if table.get(to).is_some() {
                return Err(ChangeError::Exists(to.clone()).into());
            }
            if role.oid == BOOTSTRAP_OID {
                return Err(ChangeError::Bootstrap("the bootstrap user cannot be renamed").into());
            }
            put(connection, &Role { name: to.clone(), ..role })
        }
        RoleChange::Drop { names, if_exists } => {
            for name in names {
                let role = match table.get(name) {
                    None if *if_exists => continue,
                    None => return Err(ChangeError::Missing(name.clone()).into()),
                    Some(role) => role,
                };
                may_manage(by.privileges, role, "permission denied to drop role")?;
                if role.oid == by.role {
                    return Err(ChangeError::Current.into());
                }
                if role.oid == BOOTSTRAP_OID {
                    let why = "cannot drop role postgres because it is required by the database system";
                    return Err(ChangeError::Bootstrap(why).into());
                }
                connection.execute("DELETE FROM pg_authid WHERE oid = ?1", [role.oid])?;
            }
            Ok(())
        }
        RoleChange::Grant { database, level, roles } => {
            may_grant(by.privileges)?;
            for name in roles {
                let mut role = known(name)?.clone();
                let before = match database {
                    None => role.everywhere,
                    Some(database) => role.in_databases.get(database).copied(),
                };
                set_level(&mut role, database.as_deref(), before.max(Some(*level)));
                put(connection, &role)?;
            }
            Ok(())
        }
        RoleChange::Revoke { database, level, roles } => {
            may_grant(by.privileges)?;
            for name in roles {
                let mut role = known(name)?.clone();
                let before = match database {
                    None => role.everywhere,
                    Some(database) => role.in_databases.get(database).copied(),
                };
                // without reading there is no writing either; without writing reading is left
                let after = before.filter(|_| *level == Level::Write).map(|_| Level::Read);
                set_level(&mut role, database.as_deref(), after);
                put(connection, &role)?;
            }
            Ok(())
        }
    }
}

fn set_level(role: &mut Role, database: Option<&str>, level: Option<Level>) {
    match (database, level) {
        (None, level) => role.everywhere = level,
        (Some(database), Some(level)) => drop(role.in_databases.insert(database.to_owned(), level)),
        (Some(database), None) => drop(role.in_databases.remove(database)),
    }
}

fn may_manage(by: Privileges, role: &Role, denied: &'static str) -> Result<(), ChangeError> {
    match role.superuser || role.replication {
        _ if by.superuser => Ok(()),
        true => Err(ChangeError::Denied("must be superuser to change superusers and replication roles")),
        false if by.create_role => Ok(()),
        false => Err(ChangeError::Denied(denied)),
    }
}

fn may_grant(by: Privileges) -> Result<(), ChangeError> {
    if by.superuser {
        Ok(())
    } else {
        Err(ChangeError::Denied("must be superuser to grant or revoke access"))
    }
}

/// Writes a role as it is to be.
fn put(connection: &Connection, role: &Role) -> Result<(), StoreError> {
    let password = match &role.password {
        PasswordState::None | PasswordState::Damaged => None,
        PasswordState::Kept(verifier) => Some(verifier.to_string()),
    };
    connection.execute(
        "INSERT INTO pg_authid VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (oid) DO UPDATE SET \
         rolname = ?2, rolsuper = ?3, rolcreaterole = ?4, rolcreatedb = ?5, rolcanlogin = ?6, rolreplication = ?7, \
         rolconnlimit = ?8, rolpassword = ?9, rolvaliduntil = ?10",
        (
            role.oid,
            &role.name,
            role.superuser,
            role.create_role,
            role.create_database,
            role.login,
            role.replication,
            role.connection_limit,
            password,
            role.valid_until.map(|until| until.0),
        ),
    )?;
    connection.execute("DELETE FROM walship_privilege WHERE role = ?1", [role.oid])?;
    let everywhere = role.everywhere.map(|level| (EVERYWHERE, level));
    let some = role.in_databases.iter().map(|(database, level)| (database.as_str(), *level));
    for (database, level) in everywhere.into_iter().chain(some) {
        let row = (role.oid, database, level == Level::Write);
        connection.execute("INSERT INTO walship_privilege VALUES (?1, ?2, ?3)", row)?;
    }
    Ok(())
}
