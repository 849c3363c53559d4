use walship_auth::Verifier;
use walship_types::Timestamp;

use super::role::{BOOTSTRAP_OID, Level, PasswordState, Privileges, Role};

/// A role's new password.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// It has none from now on.
    Null,
    /// This one, in clear or as its verifier. An empty one counts as none.
    Text(String),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Password::Null => "Null",
            Password::Text(_) => "Text(********)",
        })
    }
}

/// What CREATE ROLE and ALTER ROLE set; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleOptions {
    /// SUPERUSER.
    pub superuser: Option<bool>,
    /// CREATEROLE.
    pub create_role: Option<bool>,
    /// CREATEDB.
    pub create_database: Option<bool>,
    /// LOGIN.
    pub login: Option<bool>,
    /// REPLICATION.
    pub replication: Option<bool>,
    /// CONNECTION LIMIT.
    pub connection_limit: Option<i32>,
    /// PASSWORD.
    pub password: Option<Password>,
    /// VALID UNTIL; `Some(None)` is for ever.
    pub valid_until: Option<Option<Timestamp>>,
    /// IN ROLE pg_read_all_data or pg_write_all_data.
    pub everywhere: Option<Level>,
}

/// A change of the roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChange {
    /// CREATE ROLE.
    Create {
        /// Its name.
        name: String,
        /// What it is to be.
        options: RoleOptions,
    },
    /// ALTER ROLE.
    Alter {
        /// Its name.
        name: String,
        /// What changes.
        options: RoleOptions,
    },
    /// ALTER ROLE RENAME.
    Rename {
        /// Its name.
        name: String,
        /// Its new name.
        to: String,
    },
    /// DROP ROLE.
    Drop {
        /// Their names.
        names: Vec<String>,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// GRANT.
    Grant {
        /// Where; `None` is everywhere.
        database: Option<String>,
        /// What.
        level: Level,
        /// To whom.
        roles: Vec<String>,
    },
    /// REVOKE.
    Revoke {
        /// Where; `None` is everywhere.
        database: Option<String>,
        /// What: writing leaves reading.
        level: Level,
        /// From whom.
        roles: Vec<String>,
    },
}

/// Why the roles do not change. The texts are PostgreSQL's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Two roles of a name.
    #[error("role \"{0}\" already exists")]
    Exists(String),
    /// No role of a name.
    #[error("role \"{0}\" does not exist")]
    Missing(String),
    /// A name that is kept for something else.
    #[error("role name \"{0}\" is reserved")]
    Reserved(String),
    /// A name that is too long, or none.
    #[error("invalid role name \"{0}\": must be 1 to 63 bytes without control characters")]
    Name(String),
    /// Only a superuser, or somebody with CREATEROLE, may do this.
    #[error("{0}")]
    Denied(&'static str),
    /// Somebody drops himself.
    #[error("current user cannot be dropped")]
    Current,
    /// Somebody drops or weakens the bootstrap superuser.
    #[error("{0}")]
    Bootstrap(&'static str),
    /// MD5 is not kept.
    #[error("MD5-encrypted passwords are not supported")]
    Md5,
    /// The operating system gave no random bytes for a salt.
    #[error("{0}")]
    Random(#[from] walship_auth::RandomError),
}

impl ChangeError {
    /// Its SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            ChangeError::Exists(_) => "42710",
            ChangeError::Missing(_) => "42704",
            ChangeError::Reserved(_) => "42939",
            ChangeError::Name(_) => "42602",
            ChangeError::Denied(_) => "42501",
            ChangeError::Current => "55006",
            ChangeError::Bootstrap(_) => "2BP01",
            ChangeError::Md5 => "0A000",
            ChangeError::Random(_) => "58000",
        }
    }

    /// Advice.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ChangeError::Reserved(_) => Some("Role names starting with \"pg_\" are reserved."),
            ChangeError::Md5 => Some("give the password itself, or its SCRAM-SHA-256 verifier"),
            _ => None,
        }
    }
}

/// Longest name of a role, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Whether a role may be called so.
pub fn check_name(name: &str) -> Result<(), ChangeError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(ChangeError::Name(name.chars().take(NAME_BYTES_MAX).collect()));
    }
    if name.starts_with("pg_") || matches!(name, "public" | "none") {
        return Err(ChangeError::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Whether `by` may make a role with these options, or change `role` to them.
pub fn check_options(
    by: Privileges,
    role: Option<&Role>,
    is_self: bool,
    options: &RoleOptions,
) -> Result<(), ChangeError> {
    if role.is_some_and(|role| role.oid == BOOTSTRAP_OID) && options.superuser == Some(false) {
        return Err(ChangeError::Bootstrap("The bootstrap user must have the SUPERUSER attribute."));
    }
    if by.superuser {
        return Ok(());
    }
    match role {
        None if options.superuser == Some(true) => {
            Err(ChangeError::Denied("must be superuser to create superusers"))
        }
        None if options.replication == Some(true) => {
            Err(ChangeError::Denied("must be superuser to create replication users"))
        }
        None if !by.create_role => Err(ChangeError::Denied("permission denied to create role")),
        Some(role) if role.superuser || options.superuser.is_some() => Err(ChangeError::Denied(
            "must be superuser to alter superuser roles or change superuser attribute",
        )),
        Some(role) if role.replication || options.replication.is_some() => Err(ChangeError::Denied(
            "must be superuser to alter replication roles or change replication attribute",
        )),
        // a password is everyone's own
        Some(_) if is_self && is_only_password(options) => Ok(()),
        Some(_) if !by.create_role => Err(ChangeError::Denied("permission denied")),
        // what one gives away one has to have
        _ if options.everywhere.is_some() => {
            Err(ChangeError::Denied("must be superuser to grant access to every database"))
        }
        _ => Ok(()),
    }
}

fn is_only_password(options: &RoleOptions) -> bool {
    RoleOptions { password: None, ..options.clone() } == RoleOptions::default()
}

impl RoleOptions {
    /// Puts them on a role.
    pub fn apply(&self, role: &mut Role) -> Result<(), ChangeError> {
        let set = |to: &mut bool, value: Option<bool>| *to = value.unwrap_or(*to);
        set(&mut role.superuser, self.superuser);
        set(&mut role.create_role, self.create_role);
        set(&mut role.create_database, self.create_database);
        set(&mut role.login, self.login);
        set(&mut role.replication, self.replication);
        role.connection_limit = self.connection_limit.unwrap_or(role.connection_limit);
        role.everywhere = role.everywhere.max(self.everywhere);
        if let Some(until) = self.valid_until {
            role.valid_until = until;
        }
        match &self.password {
            None => {}
            Some(Password::Null) => role.password = PasswordState::None,
            Some(Password::Text(text)) if text.is_empty() => role.password = PasswordState::None,
            Some(Password::Text(text)) => role.password = PasswordState::Kept(verifier(text)?),
        }
        Ok(())
    }
}

/// The verifier of a password that is given in clear, or is one already.
fn verifier(text: &str) -> Result<Verifier, ChangeError> {
    const MD5_TEXT_LENGTH: usize = 35;
    if text.len() == MD5_TEXT_LENGTH
        && text.starts_with("md5")
        && text.bytes().skip(3).all(|b| b.is_ascii_hexdigit())
    {
        return Err(ChangeError::Md5);
    }
    match text.parse() {
        Ok(verifier) => Ok(verifier),
        Err(_) => Ok(Verifier::new(text)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_change_whom() {
        let ann = Role::new(16_384, "ann".to_owned());
        let root = Role::bootstrap();
        let maker = Privileges { create_role: true, ..Privileges::NONE };
        let super_options = RoleOptions { superuser: Some(true), ..RoleOptions::default() };
        let password = RoleOptions { password: Some(Password::Text("x".into())), ..RoleOptions::default() };
        assert!(check_options(Privileges::ALL, None, false, &super_options).is_ok());
        assert!(check_options(maker, None, false, &super_options).is_err());
        assert!(check_options(maker, None, false, &password).is_ok());
        assert!(check_options(maker, Some(&root), false, &password).is_err());
        assert!(check_options(Privileges::NONE, Some(&ann), true, &password).is_ok());
        assert!(check_options(Privileges::NONE, Some(&ann), false, &password).is_err());
        let login = RoleOptions { login: Some(true), ..password };
        assert!(check_options(Privileges::NONE, Some(&ann), true, &login).is_err());
        let weaker = RoleOptions { superuser: Some(false), ..RoleOptions::default() };
        assert!(check_options(Privileges::ALL, Some(&root), true, &weaker).is_err());
    }

    #[test]
    fn passwords_become_verifiers_and_verifiers_stay() {
        let mut role = Role::new(16_384, "ann".to_owned());
        let set = |role: &mut Role, text: &str| {
            let password = Some(Password::Text(text.to_owned()));
            RoleOptions { password, ..RoleOptions::default() }.apply(role)
        };
        set(&mut role, "secret").unwrap();
        let PasswordState::Kept(verifier) = role.password.clone() else { panic!("{role:?}") };
        assert!(verifier.is_of("secret"));
        set(&mut role, &verifier.to_string()).unwrap();
        assert_eq!(role.password, PasswordState::Kept(verifier));
        assert_eq!(set(&mut role, "md5d41d8cd98f00b204e9800998ecf8427e"), Err(ChangeError::Md5));
        set(&mut role, "").unwrap();
        assert_eq!(role.password, PasswordState::None);
        assert!(check_name("pg_x").is_err() && check_name("").is_err() && check_name("Größe \"").is_ok());
    }
}
