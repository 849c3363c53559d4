use super::{Conninfo, ConninfoError};

/// Parses what follows `postgresql://`: `[user[:password]@][host[:port],...][/dbname][?key=value&...]`.
pub(super) fn parse(rest: &str) -> Result<Conninfo, ConninfoError> {
    let mut conninfo = Conninfo::default();
    let (rest, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let hosts = match authority.split_once('@') {
        Some((who, hosts)) => {
            let (user, password) = who.split_once(':').map_or((who, None), |(u, p)| (u, Some(p)));
            set_decoded(&mut conninfo, "user", Some(user))?;
            set_decoded(&mut conninfo, "password", password)?;
            hosts
        }
        None => authority,
    };
    set_hosts(&mut conninfo, hosts)?;
    set_decoded(&mut conninfo, "dbname", path.strip_prefix('/'))?;
    for parameter in query.into_iter().flat_map(|query| query.split('&')).filter(|p| !p.is_empty()) {
        let missing = || ConninfoError::UriParameter(parameter.to_owned());
        let (keyword, value) = parameter.split_once('=').ok_or_else(missing)?;
        match (decode(keyword)?.as_str(), decode(value)?.as_str()) {
            // as JDBC spells it
            ("ssl", "true") => conninfo.set("sslmode", "require")?,
            (keyword, value) => conninfo.set(keyword, value)?,
        }
    }
    Ok(conninfo)
}

fn set_decoded(conninfo: &mut Conninfo, keyword: &str, value: Option<&str>) -> Result<(), ConninfoError> {
    match value {
        Some(value) if !value.is_empty() => conninfo.set(keyword, &decode(value)?),
        _ => Ok(()),
    }
}

fn set_hosts(conninfo: &mut Conninfo, text: &str) -> Result<(), ConninfoError> {
    if text.is_empty() {
        return Ok(());
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for one in text.split(',') {
        let bad = || ConninfoError::UriHost(one.to_owned());
        let (host, port) = match one.strip_prefix('[') {
            Some(address) => {
                let (host, after) = address.split_once(']').ok_or_else(bad)?;
                let port = if after.is_empty() { "" } else { after.strip_prefix(':').ok_or_else(bad)? };
                (host, port)
            }
            None => one.split_once(':').unwrap_or((one, "")),
        };
        hosts.push(decode(host)?);
        ports.push(decode(port)?);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        conninfo.set("host", &hosts.join(","))?;
    }
    if ports.iter().any(|port| !port.is_empty()) {
        conninfo.set("port", &ports.join(","))?;
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, ConninfoError> {
    let bad = || ConninfoError::PercentEncoding(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
        let value = digit()? * 16 + digit()?;
        match u8::try_from(value) {
            Ok(value) if value != 0 => bytes.push(value),
            _ => return Err(bad()),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts() {
        let parsed =
            parse("u%40x:p%3Aw@h1:1,[::1]:2,%2Frun%2Fpg/db?application_name=n1&connect_timeout=3").unwrap();
        for (keyword, value) in [
            ("user", "u@x"),
            ("password", "p:w"),
            ("host", "h1,::1,/run/pg"),
            ("port", "1,2,"),
            ("dbname", "db"),
            ("application_name", "n1"),
            ("connect_timeout", "3"),
        ] {
            assert_eq!(parsed.get(keyword), Some(value), "{keyword}");
        }
        assert!(parse("").unwrap().is_empty());
        assert_eq!(parse("/db").unwrap().get("dbname"), Some("db"));
        assert_eq!(parse("h?ssl=true").unwrap().get("sslmode"), Some("require"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(matches!(parse("a%zz"), Err(ConninfoError::PercentEncoding(_))));
        assert!(matches!(parse("a%00"), Err(ConninfoError::PercentEncoding(_))));
        assert!(matches!(parse("[::1"), Err(ConninfoError::UriHost(_))));
        assert!(matches!(parse("[::1]5"), Err(ConninfoError::UriHost(_))));
        assert!(matches!(parse("h?x"), Err(ConninfoError::UriParameter(_))));
        assert!(matches!(parse("h?x=1"), Err(ConninfoError::UnknownOption(_))));
    }
}
