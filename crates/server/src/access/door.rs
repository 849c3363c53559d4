use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use walship_auth::hba::{DEFAULT_RULES, Parsed, Rules};
use walship_tls::ServerTls;

use super::config::{AccessConfig, AccessError, load_rules, parse_rules};
use super::store::RoleStore;

/// The rules and the TLS configuration that are in force, and how to replace them.
pub struct Access {
    /// Protects which ones are in force; held to copy or replace the pointer.
    in_force: RwLock<Arc<InForce>>,
    /// Set once the databases are open; nobody is let in before.
    roles: OnceLock<Arc<RoleStore>>,
}

/// What decides over connections that begin now.
pub(super) struct InForce {
    /// `None` lets everybody in as a superuser.
    pub(super) rules: Option<Rules>,
    pub(super) tls: Option<ServerTls>,
    pub(super) config: AccessConfig,
}

impl Access {
    /// As the files say.
    ///
    /// # Errors
    /// Which file says nothing usable.
    pub fn load(config: AccessConfig) -> Result<Access, AccessError> {
        let rules = Some(load_rules(&config.hba_file)?);
        let tls = load_tls(&config)?;
        let in_force = RwLock::new(Arc::new(InForce { rules, tls, config }));
        Ok(Access { in_force, roles: OnceLock::new() })
    }

    /// Lets everybody in as a superuser, without TLS: for tests of what comes behind the door.
    pub fn unguarded() -> Access {
        let config = AccessConfig {
            hba_file: PathBuf::new(),
            tls: None,
            failure_delay: std::time::Duration::ZERO,
            logs_connections: false,
        };
        let in_force = RwLock::new(Arc::new(InForce { rules: None, tls: None, config }));
        Access { in_force, roles: OnceLock::new() }
    }

    /// Reads the files again. What has no mistake is in force for connections from now on;
    /// of what has one, the former stays, and the errors say so.
    pub fn reload(&self, config: AccessConfig) -> Vec<AccessError> {
        let before = self.in_force();
        let mut errors = Vec::new();
        let mut or_before = |error| errors.push(error);
        let rules = load_rules(&config.hba_file).map_or_else(
            |error| {
                or_before(error);
                before.rules.clone()
            },
            Some,
        );
        let tls = load_tls(&config).unwrap_or_else(|error| {
            or_before(error);
            before.tls.clone()
        });
        *self.in_force.write() = Arc::new(InForce { rules, tls, config });
        errors
    }

    /// Tells whose roles count, once their databases are open.
    pub fn set_roles(&self, roles: Arc<RoleStore>) {
        // a node has one set of databases, so that a second call brings the same
        let _ = self.roles.set(roles);
    }

    /// The TLS configuration for a connection that asks for it.
    pub fn tls(&self) -> Option<ServerTls> {
        self.in_force().tls.clone()
    }

    /// The lines of the rules' file as it is now, mistakes included.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file_rules(&self) -> Result<Parsed, AccessError> {
        parse_rules(&self.in_force().config.hba_file)
    }

    pub(super) fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read())
    }

    pub(super) fn roles(&self) -> Option<&Arc<RoleStore>> {
        self.roles.get()
    }
}

fn load_tls(config: &AccessConfig) -> Result<Option<ServerTls>, AccessError> {
    let Some(files) = &config.tls else { return Ok(None) };
    let tls = ServerTls::load(files)?;
    if let Some(certificate) = &tls.certificate
        && certificate.not_after < std::time::SystemTime::now()
    {
        tracing::warn!(
            event = "certificate_expired", file = %files.certificate.display(), subject = certificate.subject,
            "the server's certificate has expired; clients that verify it will refuse it"
        );
    }
    Ok(Some(tls))
}

/// The rules for a cluster that has none yet.
pub(crate) fn default_rules() -> &'static str {
    DEFAULT_RULES
}

/// An address as rules mean it: IPv4 also where it came in through an IPv6 socket.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
