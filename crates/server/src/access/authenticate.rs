use std::sync::Arc;

use walship_auth::Verifier;
use walship_auth::hba::{Attempt, CertificateName, ClientCertificate, Decision, Method, Peer, Rule, Rules};
use walship_protocol::wire::{ReplicationMode, StartupParameters};
use walship_sql::ClientAddress;
use walship_sql::roles::{Identity, PasswordState, Role, RoleTable};
use walship_sql::{SqlError, SqlState};
use walship_types::Timestamp;

use super::door::{Access, InForce, canonical};
use super::exchange::{Outcome, scram};
use super::local_user;
use super::networks::own_networks;
use crate::listen::Socket;

/// Longest user name in a log line, in characters: the client chose it.
const LOGGED_CHARACTERS_MAX: usize = 64;

/// Why a connection is not let in.
pub(crate) enum Refused {
    /// It went away by itself.
    Gone,
    /// It is told.
    Told(SqlError),
}

/// A connection that says who it is.
struct Claim<'a> {
    parameters: &'a StartupParameters,
    client: ClientAddress,
    user: &'a str,
    database: &'a str,
    replication: bool,
}

impl Access {
    /// Finds out who a client is, as the rules want it. What it may do is looked up later.
    pub(crate) async fn authenticate(
        &self,
        socket: &mut Socket,
        parameters: &StartupParameters,
        client: ClientAddress,
    ) -> Result<Identity, Refused> {
        let user = parameters.user().ok_or_else(|| {
            Refused::Told(SqlError::fatal(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                "no PostgreSQL user name specified in startup packet",
            ))
        })?;
        let replication = matches!(parameters.replication(), Ok(ReplicationMode::Physical));
        let database = parameters.database().unwrap_or_default();
        let claim = Claim { parameters, client, user, database, replication };
        let in_force = self.in_force();
        let (Some(rules), Some(roles)) = (&in_force.rules, self.roles()) else {
            return Ok(Identity::owner(user));
        };
        let roles = roles.current();
        let proven = claim.prove(socket, &in_force, rules, &roles).await;
        let identified = match proven {
            Ok(method) => claim.identify(socket, &roles, method),
            Err(refused) => Err(refused),
        };
        match &identified {
            Ok(identity) if in_force.config.logs_connections => claim.log_in(identity),
            _ => {}
        }
        identified
    }
}

impl Claim<'_> {
    /// Makes the client prove what it says; how it did.
    async fn prove(
        &self,
        socket: &mut Socket,
        in_force: &InForce,
        rules: &Rules,
        roles: &RoleTable,
    ) -> Result<&'static str, Refused> {
        let own = if rules.need_own_networks() { own_networks() } else { Vec::new() };
        let attempt = Attempt {
            peer: match self.client {
                ClientAddress::Tcp(address) => Peer::Tcp(canonical(address.ip())),
                ClientAddress::Local => Peer::Local,
            },
            tls: socket.is_tls(),
            database: self.database,
            user: self.user,
            user_exists: roles.get(self.user).is_some(),
            replication: self.replication,
            own_networks: &own,
        };
        let rule = match rules.decide(&attempt) {
            Decision::Rule(rule) if rule.method != Method::Reject => rule,
            Decision::Rule(rule) => return Err(self.denied(socket, Some(rule))),
            Decision::NoEntry => return Err(self.denied(socket, None)),
        };
        self.check_certificate(socket, in_force, rule)?;
        match rule.method {
            Method::Trust | Method::Cert => Ok(rule.method.name()),
            Method::Owner if local_user::is_owner(socket) => Ok("owner"),
            Method::Peer if local_user::user_name(socket).as_deref() == Some(self.user) => Ok("peer"),
            Method::Peer => {
                let found = local_user::user_name(socket).unwrap_or_else(|| "unknown".to_owned());
                let detail = format!("the operating-system user is \"{found}\"");
                Err(self.failed(
                    "peer authentication failed",
                    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                    rule,
                    &detail,
                ))
            }
            Method::Owner | Method::ScramSha256 | Method::Md5 | Method::Reject => {
                self.by_password(socket, in_force, roles, rule).await
            }
        }
    }

    fn host(&self) -> String {
        match self.client {
            ClientAddress::Tcp(address) => canonical(address.ip()).to_string(),
            ClientAddress::Local => "[local]".to_owned(),
        }
    }

    /// What the rules refuse: by a line of its own, or for want of one.
    fn denied(&self, socket: &Socket, by: Option<&Rule>) -> Refused {
        let encryption = if socket.is_tls() { "SSL encryption" } else { "no encryption" };
        let (host, user) = (self.host(), self.user);
        let what = match (by, self.replication) {
            (None, true) => "no pg_hba.conf entry for replication connection from",
            (None, false) => "no pg_hba.conf entry for",
            (Some(_), true) => "pg_hba.conf rejects replication connection for",
            (Some(_), false) => "pg_hba.conf rejects connection for",
        };
        let to = if self.replication { String::new() } else { format!(", database \"{}\"", self.database) };
        let message = format!("{what} host \"{host}\", user \"{user}\"{to}, {encryption}");
        self.log_failure("no rule lets it in", by.map(|rule| rule.line));
        Refused::Told(SqlError::fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message))
    }

    /// A login that failed: the client learns that, the log why.
    fn failed(&self, what: &str, state: SqlState, rule: &Rule, detail: &str) -> Refused {
        self.log_failure(detail, Some(rule.line));
        Refused::Told(SqlError::fatal(state, format!("{what} for user \"{}\"", self.user)))
    }

    fn log_failure(&self, detail: &str, line: Option<u32>) {
        // the client chose these: they must not begin lines of their own
        let short = |text: &str| {
            text.chars().take(LOGGED_CHARACTERS_MAX).collect::<String>().escape_debug().to_string()
        };
        tracing::warn!(
            event = "authentication_failed",
            address = self.address(),
            user = short(self.user),
            database = short(self.database),
            replication = self.replication,
            detail,
            hba_line = line,
            "authentication failed"
        );
    }

    fn log_in(&self, identity: &Identity) {
        tracing::info!(
            event = "connection_authorized",
            address = self.address(),
            user = identity.user,
            database = self.database,
            replication = self.replication,
            method = identity.method,
            application_name = self.parameters.application_name(),
            tls = identity.tls.as_ref().map(|tls| tls.version),
            "connection authorized"
        );
    }

    fn address(&self) -> String {
        match self.client {
            ClientAddress::Tcp(address) => address.to_string(),
            ClientAddress::Local => "[local]".to_owned(),
        }
    }

    /// `cert` and `clientcert`.
    fn check_certificate(&self, socket: &Socket, in_force: &InForce, rule: &Rule) -> Result<(), Refused> {
        if rule.client_certificate == ClientCertificate::Off {
            return Ok(());
        }
        if !in_force.tls.as_ref().is_some_and(|tls| tls.asks_for_certificates) {
            let message = "client certificates can only be checked if a root certificate store is available";
            self.log_failure("ssl_ca_file is not set", Some(rule.line));
            return Err(Refused::Told(SqlError::fatal("F0000".into(), message)));
        }
        let tls = socket.tls_session();
        let Some(certificate) = tls.as_ref().and_then(|tls| tls.client.as_ref()) else {
            self.log_failure("no client certificate", Some(rule.line));
            let message = "connection requires a valid client certificate";
            return Err(Refused::Told(SqlError::fatal(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                message,
            )));
        };
        let name = match rule.certificate_name {
            CertificateName::CommonName => certificate.common_name.as_deref(),
            CertificateName::DistinguishedName => Some(certificate.subject.as_str()),
        };
        if rule.client_certificate == ClientCertificate::VerifyFull && name != Some(self.user) {
            let detail = format!("the certificate is for \"{}\"", certificate.subject);
            let state = SqlState::INVALID_AUTHORIZATION_SPECIFICATION;
            return Err(self.failed("certificate authentication failed", state, rule, &detail));
        }
        Ok(())
    }

    async fn by_password(
        &self,
        socket: &mut Socket,
        in_force: &InForce,
        roles: &RoleTable,
        rule: &Rule,
    ) -> Result<&'static str, Refused> {
        let (verifier, wrong) = password_of(roles, self.user);
        let tls = in_force.tls.as_ref().filter(|_| socket.is_tls());
        let binding = tls.and_then(|tls| tls.end_point.clone());
        let detail = match scram(socket, verifier, binding.as_deref()).await {
            Outcome::Proven if wrong.is_none() => return Ok("scram-sha-256"),
            Outcome::Gone => return Err(Refused::Gone),
            Outcome::Broken(error) => {
                self.log_failure(&error.report().message, Some(rule.line));
                return Err(Refused::Told(error));
            }
            Outcome::Proven | Outcome::Wrong => wrong.unwrap_or_else(|| "the password is wrong".to_owned()),
        };
        let refused =
            self.failed("password authentication failed", SqlState::INVALID_PASSWORD, rule, &detail);
        // guessing costs time, and only the guesser's: nothing else waits
        tokio::time::sleep(in_force.config.failure_delay).await;
        Err(refused)
    }

    /// Whose privileges a client that has proved its name has.
    fn identify(
        &self,
        socket: &Socket,
        roles: &RoleTable,
        method: &'static str,
    ) -> Result<Identity, Refused> {
        let refused = |message: String| {
            self.log_failure(&message, None);
            Refused::Told(SqlError::fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message))
        };
        let tls = socket.tls_session().map(Arc::new);
        let role = match roles.get(self.user) {
            Some(role) => role,
            // whoever owns the files may call himself what he likes
            None if method == "owner" => return Ok(Identity { tls, ..Identity::owner(self.user) }),
            None => return Err(refused(format!("role \"{}\" does not exist", self.user))),
        };
        if !role.login {
            return Err(refused(format!("role \"{}\" is not permitted to log in", self.user)));
        }
        if self.replication && !(role.superuser || role.replication) {
            self.log_failure("the role may not replicate", None);
            return Err(Refused::Told(SqlError::fatal(
                SqlState::INSUFFICIENT_PRIVILEGE,
                "must be superuser or replication role to start walsender",
            )));
        }
        let (user, superuser) = (self.user.to_owned(), role.superuser);
        Ok(Identity { user, role: role.oid, superuser, method, tls })
    }
}

/// The verifier to ask with, and why even the right answer does not count.
fn password_of(roles: &RoleTable, user: &str) -> (Verifier, Option<String>) {
    let mock = || Verifier::mock(&roles.mock_secret, user);
    if let Some(damage) = &roles.damaged {
        return (mock(), Some(format!("the roles cannot be read: {damage}")));
    }
    match roles.get(user) {
        None => (mock(), Some("there is no such role".to_owned())),
        Some(Role { password: PasswordState::None, .. }) => {
            (mock(), Some("the role has no password".to_owned()))
        }
        Some(Role { password: PasswordState::Damaged, .. }) => {
            (mock(), Some("the role's password verifier is damaged".to_owned()))
        }
        Some(Role { password: PasswordState::Kept(verifier), valid_until, .. }) => {
            let expired = valid_until.is_some_and(|until| until < Timestamp::now());
            (verifier.clone(), expired.then(|| "the role's password has expired".to_owned()))
        }
    }
}
