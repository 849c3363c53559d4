use std::net::IpAddr;

use super::{ConnectionType, Network, Rule, Rules, Token};

/// From where a connection comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A Unix socket.
    Local,
    /// TCP, from that address.
    Tcp(IpAddr),
}

/// A connection that wants in.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// From where.
    pub peer: Peer,
    /// Whether it is encrypted.
    pub tls: bool,
    /// To which database; means nothing to physical replication.
    pub database: &'a str,
    /// As which user.
    pub user: &'a str,
    /// Whether there is such a user: nobody else is a member of a group of that name.
    pub user_exists: bool,
    /// Whether it is a physical replication connection.
    pub replication: bool,
    /// This machine's own addresses with their networks, where [`Rules::need_own_networks`].
    pub own_networks: &'a [Network],
}

/// What the rules say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// The first rule that fits.
    Rule(&'a Rule),
    /// None does: it is refused.
    NoEntry,
}

impl Rules {
    /// The first rule that fits an attempt.
    pub fn decide(&self, attempt: &Attempt<'_>) -> Decision<'_> {
        self.rules.iter().find(|rule| rule.fits(attempt)).map_or(Decision::NoEntry, Decision::Rule)
    }
}

impl Rule {
    fn fits(&self, attempt: &Attempt<'_>) -> bool {
        let comes_so = match (attempt.peer, self.connection) {
            (Peer::Local, connection) => connection == ConnectionType::Local,
            (Peer::Tcp(_), ConnectionType::Local) => false,
            (Peer::Tcp(_), ConnectionType::HostSsl) => attempt.tls,
            (Peer::Tcp(_), ConnectionType::HostNoSsl) => !attempt.tls,
            (Peer::Tcp(_), ConnectionType::Host | ConnectionType::HostNoGssEnc) => true,
        };
        let from_there = match (attempt.peer, &self.address) {
            (Peer::Tcp(client), Some(address)) => address.matches(client, attempt.own_networks),
            (Peer::Local, None) => true,
            _ => false,
        };
        comes_so
            && from_there
            && self.databases.iter().any(|token| is_database(token, attempt))
            && self.users.iter().any(|token| is_user(token, attempt))
    }
}

fn is_database(token: &Token, attempt: &Attempt<'_>) -> bool {
    if attempt.replication {
        // a physical connection has no database: `all` does not mean it
        return token.is_keyword("replication");
    }
    if token.is_keyword("all") {
        return true;
    }
    if token.is_keyword("sameuser") {
        return attempt.database == attempt.user;
    }
    if token.is_keyword("samerole") || token.is_keyword("samegroup") {
        // without groups everyone is a member of himself only
        return attempt.user_exists && attempt.database == attempt.user;
    }
    !token.is_keyword("replication") && token.text == attempt.database
}

fn is_user(token: &Token, attempt: &Attempt<'_>) -> bool {
    match token.text.strip_prefix('+').filter(|_| !token.quoted) {
        Some(group) => attempt.user_exists && group == attempt.user,
        None => token.text == attempt.user || token.is_keyword("all"),
    }
}
