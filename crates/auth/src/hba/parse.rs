use std::net::IpAddr;

use super::rule::{CertificateName, ClientCertificate, ConnectionType, METHODS, Method, Rule, Rules};
use super::token::{Field, lines};
use super::{Address, HbaError, Network, Token};

/// Reads an included file by the name that stands behind `@`; the error says why it cannot be read.
pub type Include<'a> = dyn FnMut(&str) -> Result<String, String> + 'a;

/// Methods of PostgreSQL that are not here, with what to take instead.
const METHODS_NOT_HERE: [&str; 7] = ["password", "gss", "sspi", "pam", "bsd", "ldap", "radius"];

/// A file's lines, each a rule or a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Line numbers from 1, in order.
    pub lines: Vec<(u32, Result<Rule, HbaError>)>,
}

impl Parsed {
    /// The rules, if there is no mistake.
    ///
    /// # Errors
    /// The first one; or that there is no rule at all.
    pub fn into_rules(self) -> Result<Rules, HbaError> {
        Rules::new(self.lines.into_iter().map(|(_, rule)| rule).collect::<Result<_, _>>()?)
    }
}

/// Parses a file.
pub fn parse(text: &str, include: &mut Include<'_>) -> Parsed {
    let lines = lines(text, include).into_iter().map(|line| {
        let rule = line.fields.and_then(|fields| Parser::new(line.number, &fields).rule());
        (line.number, rule)
    });
    Parsed { lines: lines.collect() }
}

struct Parser<'a> {
    line: u32,
    fields: std::slice::Iter<'a, Field>,
    /// Of the last token read: where a line ends too early.
    column: u32,
}

impl<'a> Parser<'a> {
    fn new(line: u32, fields: &'a [Field]) -> Parser<'a> {
        Parser { line, fields: fields.iter(), column: 0 }
    }

    fn rule(mut self) -> Result<Rule, HbaError> {
        let kind = self.one(
            "connection type",
            "Specify exactly one connection type per line.",
            "a line begins with local, host, hostssl or hostnossl",
        )?;
        let connection = self.connection_type(kind)?;
        let databases = self.list("database", "names, all, sameuser, replication or @file")?;
        let users = self.list("role", "names, all or @file")?;
        let address = match connection {
            ConnectionType::Local => None,
            _ => Some(self.address()?),
        };
        let word = self.one(
            "authentication method",
            "Specify exactly one authentication type per line.",
            &method_names(),
        )?;
        let method = self.method(word)?;
        match (method, connection) {
            (Method::Peer, ConnectionType::Local) => {}
            (Method::Peer, _) => {
                let message = format!("{} authentication is only supported on local sockets", word.text);
                return Err(self.error(word, message).hint("write scram-sha-256, cert or owner"));
            }
            (Method::Cert, ConnectionType::HostSsl) => {}
            (Method::Cert, _) => {
                let message = "cert authentication is only supported on hostssl connections";
                return Err(self.error(word, message).hint("begin the line with hostssl"));
            }
            _ => {}
        }
        let mut rule = Rule {
            line: self.line,
            connection,
            databases,
            users,
            address,
            method,
            client_certificate: ClientCertificate::Off,
            certificate_name: CertificateName::CommonName,
        };
        while let Some(field) = self.fields.next() {
            for token in field {
                self.option(&mut rule, token)?;
            }
        }
        if method == Method::Cert {
            rule.client_certificate = ClientCertificate::VerifyFull;
        }
        Ok(rule)
    }

    fn error(&self, token: &Token, message: impl Into<String>) -> HbaError {
        HbaError::new(self.line, token.column, message)
    }

    fn next(&mut self, what: &str, allowed: &str) -> Result<&'a Field, HbaError> {
        let field = self.fields.next().ok_or_else(|| {
            HbaError::new(self.line, self.column, format!("end-of-line before {what} specification"))
                .hint(format!("expected here: {allowed}"))
        })?;
        self.column = field.last().map_or(self.column, |token| token.column);
        Ok(field)
    }

    fn list(&mut self, what: &str, allowed: &str) -> Result<Vec<Token>, HbaError> {
        self.next(what, allowed).cloned()
    }

    /// A field of one word.
    fn one(&mut self, what: &str, several: &str, allowed: &str) -> Result<&'a Token, HbaError> {
        match self.next(what, allowed)?.as_slice() {
            [token] => Ok(token),
            field => {
                let column = field.get(1).map_or(self.column, |token| token.column);
                let message = format!("multiple values specified for {what}");
                Err(HbaError::new(self.line, column, message).hint(several))
            }
        }
    }

    fn connection_type(&self, token: &Token) -> Result<ConnectionType, HbaError> {
        Ok(match token.text.as_str() {
            "local" => ConnectionType::Local,
            "host" => ConnectionType::Host,
            "hostssl" => ConnectionType::HostSsl,
            "hostnossl" => ConnectionType::HostNoSsl,
            "hostnogssenc" => ConnectionType::HostNoGssEnc,
            "hostgssenc" => {
                let message = "hostgssenc record cannot match because GSSAPI is not supported";
                return Err(self.error(token, message).hint("write hostssl for encrypted connections"));
            }
            other => {
                let message = format!("invalid connection type \"{other}\"");
                return Err(self.error(token, message).hint("allowed: local, host, hostssl, hostnossl"));
            }
        })
    }

    fn address(&mut self) -> Result<Address, HbaError> {
        const ALLOWED: &str =
            "allowed: a range as 10.0.0.0/8 or fd00::/8, an address and its mask, samehost, samenet, all";
        let token = self.one("IP address", "Specify one address range per line.", ALLOWED)?;
        for (keyword, address) in
            [("all", Address::All), ("samehost", Address::SameHost), ("samenet", Address::SameNet)]
        {
            if token.is_keyword(keyword) {
                return Ok(address);
            }
        }
        let (text, bits) = match token.text.split_once('/') {
            Some((text, bits)) => (text, Some(bits)),
            None => (token.text.as_str(), None),
        };
        let Ok(address) = text.parse::<IpAddr>() else {
            let message = match text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.' || b == b':') {
                true => format!("invalid IP address \"{text}\""),
                false => format!("invalid IP address \"{text}\": host names are not supported"),
            };
            return Err(self.error(token, message).hint(ALLOWED));
        };
        let network = match bits {
            Some(bits) => {
                bits.parse().ok().and_then(|bits| Network::cidr(address, bits)).ok_or_else(|| {
                    let most = if address.is_ipv4() { 32 } else { 128 };
                    self.error(token, format!("invalid CIDR mask in address \"{}\"", token.text))
                        .hint(format!("a number of bits from 0 to {most}"))
                })?
            }
            None => Network { address, mask: self.mask(address)? },
        };
        Ok(Address::Network(network))
    }

    fn mask(&mut self, address: IpAddr) -> Result<IpAddr, HbaError> {
        const HINT: &str = "Specify an address range in CIDR notation, or provide a separate netmask.";
        let several = "Specify one netmask per line.";
        let token = self.one("netmask", several, HINT).map_err(|error| error.hint(HINT))?;
        let mask = token.text.parse::<IpAddr>();
        match mask {
            Ok(mask) if mask.is_ipv4() == address.is_ipv4() => Ok(mask),
            Ok(_) => Err(self.error(token, "IP address and mask do not match").hint(HINT)),
            Err(_) => Err(self.error(token, format!("invalid IP mask \"{}\"", token.text)).hint(HINT)),
        }
    }

    fn method(&self, token: &Token) -> Result<Method, HbaError> {
        let found = METHODS.iter().find(|(name, _)| *name == token.text);
        found.map(|(_, method)| *method).ok_or_else(|| {
            let what = match METHODS_NOT_HERE.contains(&token.text.as_str()) {
                true => format!("invalid authentication method \"{}\": not supported", token.text),
                false => format!("invalid authentication method \"{}\"", token.text),
            };
            self.error(token, what).hint(method_names())
        })
    }

    fn option(&self, rule: &mut Rule, token: &Token) -> Result<(), HbaError> {
        let Some((name, value)) = token.text.split_once('=') else {
            let message = format!("authentication option not in name=value format: {}", token.text);
            return Err(self.error(token, message).hint("allowed: clientcert=..., clientname=..."));
        };
        match (name, value) {
            ("clientcert", _) if rule.connection != ConnectionType::HostSsl => {
                let message = "clientcert can only be configured for \"hostssl\" rows";
                return Err(self.error(token, message).hint("begin the line with hostssl"));
            }
            ("clientcert", "verify-ca") if rule.method == Method::Cert => {
                let message = "clientcert only accepts \"verify-full\" when using \"cert\" authentication";
                return Err(self.error(token, message));
            }
            ("clientcert", "verify-ca") => rule.client_certificate = ClientCertificate::VerifyCa,
            ("clientcert", "verify-full") => rule.client_certificate = ClientCertificate::VerifyFull,
            ("clientname", _) if rule.connection != ConnectionType::HostSsl => {
                let message = "clientname can only be configured for \"hostssl\" rows";
                return Err(self.error(token, message).hint("begin the line with hostssl"));
            }
            ("clientname", "CN") => rule.certificate_name = CertificateName::CommonName,
            ("clientname", "DN") => rule.certificate_name = CertificateName::DistinguishedName,
            ("clientcert", _) => {
                let message = format!("invalid value for clientcert: \"{value}\"");
                return Err(self.error(token, message).hint("allowed: verify-ca, verify-full"));
            }
            ("clientname", _) => {
                let message = format!("invalid value for clientname: \"{value}\"");
                return Err(self.error(token, message).hint("allowed: CN, DN"));
            }
            ("map", _) => {
                let message = "authentication option \"map\" is not supported";
                return Err(self
                    .error(token, message)
                    .hint("name the role as the certificate or user is named"));
            }
            _ => {
                let message = format!("unrecognized authentication option name: \"{name}\"");
                return Err(self.error(token, message).hint("allowed: clientcert, clientname"));
            }
        }
        Ok(())
    }
}

fn method_names() -> String {
    "allowed: trust, reject, scram-sha-256, cert, peer, owner".to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hba::{Attempt, DEFAULT_RULES, Decision, Peer};

    fn rules(text: &str) -> Result<Rules, HbaError> {
        parse(text, &mut |name| Err(format!("no {name}"))).into_rules()
    }

    #[test]
    fn the_default_tells_here_from_elsewhere() {
        let rules = rules(DEFAULT_RULES).unwrap();
        let own =
            [Network::cidr("127.0.0.1".parse().unwrap(), 8), Network::cidr("10.0.0.7".parse().unwrap(), 8)];
        let own = own.map(Option::unwrap);
        let method = |peer, tls, replication| {
            let attempt = Attempt {
                peer,
                tls,
                database: "postgres",
                user: "ann",
                user_exists: true,
                replication,
                own_networks: &own,
            };
            match rules.decide(&attempt) {
                Decision::Rule(rule) => Some(rule.method),
                Decision::NoEntry => None,
            }
        };
        let tcp = |address: &str| Peer::Tcp(address.parse().unwrap());
        for replication in [false, true] {
            assert_eq!(method(Peer::Local, false, replication), Some(Method::Owner));
            assert_eq!(method(tcp("127.0.0.1"), false, replication), Some(Method::Owner));
            assert_eq!(method(tcp("::1"), true, replication), Some(Method::Owner));
            assert_eq!(method(tcp("10.0.0.7"), false, replication), Some(Method::ScramSha256));
            assert_eq!(method(tcp("10.0.0.1"), true, replication), Some(Method::ScramSha256));
            assert_eq!(method(tcp("10.0.0.1"), false, replication), None);
            assert_eq!(method(tcp("fe80::1"), false, replication), None);
        }
    }

    #[test]
    fn options_and_masks() {
        let one = |text| rules(text).unwrap().iter().next().unwrap().clone();
        let rule = one("hostssl all all 10.0.0.0 255.0.0.0 scram-sha-256 clientcert=verify-ca clientname=DN");
        assert_eq!(rule.options(), ["clientcert=verify-ca", "clientname=DN"]);
        assert_eq!(one("hostssl all all all cert").options(), ["clientcert=verify-full"]);
        assert_eq!(one("local all all ident").method.name(), "peer");
        assert_eq!(one("host all all all md5").method.name(), "md5");
    }

    #[test]
    fn mistakes_are_named_with_their_place_and_what_is_allowed() {
        for (text, column, message) in [
            ("hots all all all trust", 1, "invalid connection type \"hots\""),
            ("host,local all all all trust", 6, "multiple values specified for connection type"),
            ("host", 1, "end-of-line before database specification"),
            ("host all", 6, "end-of-line before role specification"),
            ("host all all", 10, "end-of-line before IP address specification"),
            ("host all all 10.0.0.0/8", 14, "end-of-line before authentication method specification"),
            ("host all all 10.0.0.0", 14, "end-of-line before netmask specification"),
            ("host all all 10.0.0.0/33 trust", 14, "invalid CIDR mask in address \"10.0.0.0/33\""),
            ("host all all 10.0.0.300/8 trust", 14, "invalid IP address \"10.0.0.300\""),
            (
                "host all all db.example.com trust",
                14,
                "invalid IP address \"db.example.com\": host names are not supported",
            ),
            ("host all all 10.0.0.0 ffff:: trust", 23, "IP address and mask do not match"),
            ("host all all 10.0.0.0 trust", 23, "invalid IP mask \"trust\""),
            ("host all all all truts", 18, "invalid authentication method \"truts\""),
            ("host all all all ldap", 18, "invalid authentication method \"ldap\": not supported"),
            ("host all all all cert", 18, "cert authentication is only supported on hostssl connections"),
            ("host all all all peer", 18, "peer authentication is only supported on local sockets"),
            ("host all all all trust x", 24, "authentication option not in name=value format: x"),
            ("local all all trust x=y", 21, "unrecognized authentication option name: \"x\""),
            ("local all all peer map=m", 20, "authentication option \"map\" is not supported"),
            (
                "host all all all trust clientcert=verify-ca",
                24,
                "clientcert can only be configured for \"hostssl\" rows",
            ),
            ("hostssl all all all trust clientcert=1", 27, "invalid value for clientcert: \"1\""),
            (
                "host all @gone all trust",
                10,
                "could not open secondary authentication file \"@gone\": no gone",
            ),
        ] {
            let error = rules(&format!("# first\n{text}\n")).unwrap_err();
            assert_eq!((error.line, error.column, error.message.as_str()), (2, column, message));
        }
        assert!(rules("# nothing\n\n").unwrap_err().message.contains("no entries"));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_says_why(text in "[a-z0-9 ,\"#@+/.:=\\\\\n-]*") {
            let _ = rules(&text);
        }
    }
}
