use super::{Conninfo, ConninfoError};

/// Parses `key = value` pairs; values may be in single quotes, and `\` takes the next
/// character as it is (libpq's `conninfo_parse`).
pub(super) fn parse(text: &str) -> Result<Conninfo, ConninfoError> {
    let mut conninfo = Conninfo::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (keyword, after) = rest.split_at(end);
        let missing = || ConninfoError::MissingEquals(keyword.to_owned());
        let after = after.trim_start().strip_prefix('=').ok_or_else(missing)?;
        let (value, after) = value(after.trim_start())?;
        conninfo.set(keyword, &value)?;
        rest = after.trim_start();
    }
    Ok(conninfo)
}

fn value(text: &str) -> Result<(String, &str), ConninfoError> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Ok((value, body.get(at + 1..).unwrap_or(""))),
            c if quoted.is_none() && c.is_whitespace() => return Ok((value, body.get(at..).unwrap_or(""))),
            c => value.push(c),
        }
    }
    if quoted.is_some() { Err(ConninfoError::Unterminated) } else { Ok((value, "")) }
}

/// The value as it has to be written to parse back.
pub(super) fn quote(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && c != '\'' && c != '\\';
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_escapes_and_spaces() {
        let parsed = parse(r"host = a,b port='5433' password='it\'s \\ x' user=a\ b  dbname=''").unwrap();
        assert_eq!(parsed.get("host"), Some("a,b"));
        assert_eq!(parsed.get("port"), Some("5433"));
        assert_eq!(parsed.get("password"), Some(r"it's \ x"));
        assert_eq!(parsed.get("user"), Some("a b"));
        assert_eq!(parsed.get("dbname"), Some(""));
        let shown = parsed.to_string();
        assert!(shown.contains("password=********"), "{shown}");
        assert!(!format!("{parsed:?}").contains("it's"));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("host"), Err(ConninfoError::MissingEquals("host".into())));
        assert_eq!(parse("hots=a"), Err(ConninfoError::UnknownOption("hots".into())));
        assert_eq!(parse("host='a"), Err(ConninfoError::Unterminated));
        let newer = ConninfoError::UnknownOption("load_balance_hosts".into());
        assert_eq!(parse("load_balance_hosts=random"), Err(newer));
    }

    #[test]
    fn what_pg_basebackup_writes_is_understood() {
        let written = "user=postgres passfile='/root/.pgpass' channel_binding=prefer host=127.0.0.1 port=5433 \
                       sslmode=prefer sslcompression=0 sslsni=1 ssl_min_protocol_version=TLSv1.2 \
                       gssencmode=prefer krbsrvname=postgres target_session_attrs=any";
        assert_eq!(parse(written).unwrap().get("port"), Some("5433"));
    }

    proptest! {
        #[test]
        fn every_value_round_trips(value in "[^\0]*") {
            let mut conninfo = Conninfo::default();
            conninfo.set("password", &value).unwrap();
            conninfo.set("host", "h").unwrap();
            prop_assert_eq!(conninfo.to_text().parse::<Conninfo>(), Ok(conninfo));
        }
    }
}
