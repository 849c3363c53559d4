use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use walship_auth::hba::{Address, ConnectionType, Method, Parsed, Rule};
use walship_node::DataDirectory;
use walship_settings::{Settings, Typed as _};
use walship_tls::{Certificate, ServerTls};

use super::{Area, Finding};
use crate::access::{AccessConfig, AccessError, parse_rules};

/// How long before its end a certificate is complained of.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 86_400);

/// The access rules, certificates and keys.
pub(super) fn check(settings: &Settings, root: &DataDirectory, findings: &mut Vec<Finding>) {
    let config = AccessConfig::new(settings, root.root());
    // a cluster without the file gets the default one when it starts
    if config.hba_file.exists() || config.hba_file != root.access_rules() {
        match parse_rules(&config.hba_file) {
            Ok(parsed) => rules(settings, &config, &parsed, findings),
            Err(error) => findings.push(Finding::error(Area::Rules, &error).maybe_mend(error.hint())),
        }
    }
    let Some(files) = &config.tls else { return };
    match ServerTls::load(files) {
        Err(error) => {
            let error = AccessError::from(error);
            findings.push(Finding::error(Area::Tls, &error).maybe_mend(error.hint()));
        }
        Ok(tls) => {
            if let Some(certificate) = &tls.certificate {
                expiry(certificate, &files.certificate.display().to_string(), SystemTime::now(), findings);
            }
        }
    }
}

fn rules(settings: &Settings, config: &AccessConfig, parsed: &Parsed, findings: &mut Vec<Finding>) {
    let file = config.hba_file.display();
    let mut good: Vec<&Rule> = Vec::new();
    for (_, line) in &parsed.lines {
        match line {
            Ok(rule) => good.push(rule),
            Err(error) => {
                let message = format!("configuration file \"{file}\", {error}");
                findings.push(Finding::error(Area::Rules, message).maybe_mend(error.hint.clone()));
            }
        }
    }
    for rule in &good {
        let line = format!("\"{file}\", line {}", rule.line);
        if rule.method == Method::Trust && reaches_beyond_loopback(rule) {
            let message = format!("{line}: trust lets everybody on the network in without a password");
            findings.push(Finding::error(Area::Rules, message).mend("use scram-sha-256, or reject"));
        }
        // the default rules have such lines, for a node that one day listens beyond loopback
        if rule.connection == ConnectionType::HostSsl
            && config.tls.is_none()
            && settings.bool("listen_without_tls")
        {
            let message = format!("{line}: hostssl never fits, because ssl = off");
            findings.push(
                Finding::warning(Area::Rules, message)
                    .mend("set ssl = on with ssl_cert_file and ssl_key_file"),
            );
        }
        if matches!(rule.connection, ConnectionType::Host | ConnectionType::HostNoSsl)
            && rule.method == Method::ScramSha256
            && reaches_beyond_loopback(rule)
            && config.tls.is_some()
        {
            let message = format!("{line}: clients from elsewhere may connect without TLS");
            findings.push(Finding::note(Area::Rules, message).mend("write hostssl in place of host"));
        }
    }
    if !good.is_empty()
        && !good.iter().any(|rule| rule.databases.iter().any(|token| token.is_keyword("replication")))
    {
        let message =
            format!("\"{file}\" has no line for replication: no follower and no base backup can connect");
        findings.push(
            Finding::warning(Area::Rules, message).mend("add a line with the database \"replication\""),
        );
    }
}

fn reaches_beyond_loopback(rule: &Rule) -> bool {
    match &rule.address {
        None => false,
        Some(Address::Network(network)) => {
            let whole = match network.mask {
                IpAddr::V4(mask) => mask.octets()[0] == 255,
                IpAddr::V6(mask) => mask == std::net::Ipv6Addr::from(u128::MAX),
            };
            !(whole && network.address.is_loopback())
        }
        Some(_) => true,
    }
}

fn expiry(certificate: &Certificate, file: &str, now: SystemTime, findings: &mut Vec<Finding>) {
    let mend = "get a new one, put it in its place with its key, then SELECT pg_reload_conf()";
    let days = |span: Duration| span.as_secs() / 86_400;
    if certificate.not_before > now {
        findings.push(
            Finding::error(Area::Tls, format!("certificate \"{file}\" is not valid yet"))
                .mend("look at the clock of this machine"),
        );
    }
    match certificate.not_after.duration_since(now) {
        Err(past) => {
            let message = format!("certificate \"{file}\" expired {} days ago", days(past.duration()));
            findings.push(Finding::error(Area::Tls, message).mend(mend));
        }
        Ok(left) if left < EXPIRY_WARNING => {
            let message = format!("certificate \"{file}\" expires in {} days", days(left));
            findings.push(Finding::warning(Area::Tls, message).mend(mend));
        }
        Ok(_) => {}
    }
    if !certificate.has_alternative_names {
        let message = format!(
            "certificate \"{file}\" has no subject alternative names: clients with sslmode=verify-full refuse it"
        );
        findings.push(Finding::warning(Area::Tls, message).mend("get one that names this host"));
    }
}
