use crate::definition::{Definition, Kind, TextRule};
use crate::{ModuleLevels, SettingError, StandbyNames, Unit};
use walship_types::Lsn;

/// A setting's value, of its type and within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `on` or `off`.
    Bool(bool),
    /// A number of the setting's units.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// A text, or one of an enumeration's words.
    Text(String),
}

impl Definition {
    /// Reads a value as a configuration file or `SET` writes it.
    pub fn parse(&self, text: &str) -> Result<Value, SettingError> {
        match self.kind {
            Kind::Bool => parse_bool(text).map(Value::Bool).ok_or_else(|| self.invalid(text)),
            Kind::Int { unit, min, max } => self.parse_int(text, unit, min, max),
            Kind::Mode => self.parse_mode(text),
            Kind::Real { min, max } => self.parse_real(text, min, max),
            Kind::Enum(words) => self.parse_word(text, words),
            Kind::Text(rule) => rule.apply(text).map(Value::Text).ok_or_else(|| {
                let mut error = self.invalid(text);
                if let (SettingError::Invalid { allowed, .. }, Some(fault)) = (&mut error, rule.fault(text)) {
                    *allowed = format!("{fault}. {allowed}");
                }
                error
            }),
        }
    }

    /// The default.
    ///
    /// # Panics
    /// If the registry holds a default that its own definition refuses; a test reads every one.
    pub fn default_value(&self) -> Value {
        match self.parse(self.boot) {
            Ok(value) => value,
            Err(error) => panic!("default of {}: {error}", self.name),
        }
    }

    /// The value as `SHOW` prints it: `16MB`, `1min`, `on`, `0700`.
    pub fn show(&self, value: &Value) -> String {
        match (self.kind, value) {
            (Kind::Int { unit, .. }, Value::Int(number)) => unit.human(*number),
            _ => self.setting(value),
        }
    }

    /// The value as `pg_settings.setting` prints it: a number is in the setting's unit.
    pub fn setting(&self, value: &Value) -> String {
        match value {
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            Value::Int(mode) if self.kind == Kind::Mode => format!("{mode:04o}"),
            Value::Int(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text.clone(),
        }
    }

    /// What a value may be, in words, for hints and the reference.
    pub fn allowed(&self) -> String {
        match self.kind {
            Kind::Bool => "Allowed are on, off, true, false, yes, no, 1 and 0.".to_owned(),
            Kind::Int { unit, min, max } => {
                let range = format!("Allowed are whole numbers from {min} to {max}");
                match (unit.name(), unit.allowed()) {
                    (Some(name), Some(units)) => {
                        format!(
                            "{range}, in units of {name} where no other is given; valid units are {units}."
                        )
                    }
                    _ => format!("{range}."),
                }
            }
            Kind::Mode => "Allowed are permissions in octal, from 0000 to 0777.".to_owned(),
            Kind::Real { min, max } => format!("Allowed are numbers from {min} to {max}."),
            Kind::Enum(words) => format!("Available values: {}.", words.join(", ")),
            Kind::Text(rule) => rule.allowed().to_owned(),
        }
    }

    fn invalid(&self, text: &str) -> SettingError {
        SettingError::Invalid { name: self.name, value: text.to_owned(), allowed: self.allowed() }
    }

    fn parse_int(&self, text: &str, unit: Unit, min: i64, max: i64) -> Result<Value, SettingError> {
        let (number, suffix) = split_number(text).ok_or_else(|| self.invalid(text))?;
        let steps = match suffix {
            "" => 1.0,
            suffix => unit.steps_per(suffix).ok_or_else(|| self.invalid(text))?,
        };
        // Whole numbers without a unit take the exact way: a double holds 53 bits.
        let value = match number {
            Number::Whole(whole) if steps == 1.0 => whole as i128,
            Number::Whole(whole) => (whole as f64 * steps).round_ties_even() as i128,
            Number::Fraction(fraction) => (fraction * steps).round_ties_even() as i128,
        };
        match i64::try_from(value) {
            Ok(value) if (min..=max).contains(&value) => Ok(Value::Int(value)),
            _ => {
                let with_unit = |n: String| match unit.name() {
                    Some(name) => format!("{n} {name}"),
                    None => n,
                };
                Err(SettingError::OutOfRange {
                    name: self.name,
                    value: with_unit(value.to_string()),
                    min: with_unit(min.to_string()),
                    max: with_unit(max.to_string()),
                })
            }
        }
    }

    fn parse_mode(&self, text: &str) -> Result<Value, SettingError> {
        let digits = text.trim();
        let octal =
            !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
        octal
            .then(|| i64::from_str_radix(digits, 8).ok())
            .flatten()
            .filter(|mode| (0..=0o777).contains(mode))
            .map(Value::Int)
            .ok_or_else(|| self.invalid(text))
    }

    fn parse_real(&self, text: &str, min: f64, max: f64) -> Result<Value, SettingError> {
        let value: f64 = text.trim().parse().map_err(|_| self.invalid(text))?;
        if (min..=max).contains(&value) {
            return Ok(Value::Real(value));
        }
        Err(SettingError::OutOfRange {
            name: self.name,
            value: value.to_string(),
            min: min.to_string(),
            max: max.to_string(),
        })
    }

    fn parse_word(&self, text: &str, words: &[&str]) -> Result<Value, SettingError> {
        let given = text.trim();
        let switch = words.contains(&"on") && words.contains(&"off");
        let spelled = match parse_bool(given) {
            Some(true) if switch => "on",
            Some(false) if switch => "off",
            _ => given,
        };
        words
            .iter()
            .find(|word| word.eq_ignore_ascii_case(spelled))
            .map(|word| Value::Text((*word).to_owned()))
            .ok_or_else(|| self.invalid(text))
    }
}

impl TextRule {
    /// The text in the form in which it is kept; `None` if the rule refuses it.
    fn apply(self, text: &str) -> Option<String> {
        if text.contains('\0') {
            return None;
        }
        match self {
            TextRule::Any => Some(text.to_owned()),
            TextRule::Ascii => {
                Some(text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect())
            }
            TextRule::Encoding => encoding(text).map(str::to_owned),
            TextRule::DateStyle => date_style(text),
            TextRule::TimeZone => time_zone(text),
            TextRule::Lsn => (text.is_empty() || text.parse::<Lsn>().is_ok()).then(|| text.to_owned()),
            TextRule::SlotName => {
                let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                (text.len() <= 63 && text.bytes().all(valid)).then(|| text.to_owned())
            }
            TextRule::StandbyNames => StandbyNames::parse(text).is_ok().then(|| text.to_owned()),
            TextRule::ModuleLevels => ModuleLevels::parse(text).is_ok().then(|| text.to_owned()),
            TextRule::Timeline => timeline(text).then(|| text.to_owned()),
        }
    }

    /// What exactly is wrong with a text, where the rule is a grammar.
    fn fault(self, text: &str) -> Option<String> {
        match self {
            TextRule::StandbyNames => StandbyNames::parse(text).err().map(|error| error.to_string()),
            TextRule::ModuleLevels => ModuleLevels::parse(text).err().map(|error| error.to_string()),
            _ => None,
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            TextRule::Any | TextRule::Ascii => "Allowed is any text without a zero byte.",
            TextRule::Encoding => "Available values: UTF8, SQL_ASCII.",
            TextRule::DateStyle => "Available values: ISO, alone or with MDY, DMY or YMD.",
            TextRule::TimeZone => "Allowed are names of time zones and offsets from UTC.",
            TextRule::Lsn => "Allowed is a log position such as 16/B374D848, or nothing.",
            TextRule::SlotName => {
                "Replication slot names may only contain lower case letters, numbers, and the underscore character."
            }
            TextRule::StandbyNames => {
                "Allowed are lists as in FIRST 1 (a, b), ANY 2 (a, b, c), a, b and *; names with other characters than letters, digits and _ need double quotes."
            }
            TextRule::ModuleLevels => {
                "Allowed are modules with levels, as in replication=debug1, wal=debug3."
            }
            TextRule::Timeline => "Available values: latest, current, or a timeline's number.",
        }
    }
}

enum Number {
    Whole(i64),
    Fraction(f64),
}

/// The number in front and the unit behind it, spaces between them allowed.
fn split_number(text: &str) -> Option<(Number, &str)> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { -1 } else { 1 }, rest),
        None => (1, text),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        let (number, suffix) = hex.split_at(end);
        let value = i64::from_str_radix(number, 16).ok()?;
        return Some((Number::Whole(sign * value), suffix.trim_start()));
    }
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let (number, suffix) = digits.split_at(end);
    let suffix = suffix.trim_start();
    if !number.contains('.') {
        return number.parse::<i64>().ok().map(|whole| (Number::Whole(sign * whole), suffix));
    }
    let fraction: f64 = number.parse().ok()?;
    Some((Number::Fraction(sign as f64 * fraction), suffix))
}

/// PostgreSQL's spellings: any unambiguous beginning of true, false, yes, no, on, off; and 1, 0.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    let word = text.trim().to_ascii_lowercase();
    let begins = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if word == "1" || begins("true", 1) || begins("yes", 1) || begins("on", 2) {
        Some(true)
    } else if word == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2) {
        Some(false)
    } else {
        None
    }
}

/// PostgreSQL ignores case and everything but letters and digits, so that `'utf-8'`, quotes and all, is UTF8.
fn encoding(text: &str) -> Option<&'static str> {
    let letters: String =
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    match letters.as_str() {
        "utf8" | "unicode" => Some("UTF8"),
        "sqlascii" => Some("SQL_ASCII"),
        _ => None,
    }
}

fn date_style(text: &str) -> Option<String> {
    let mut order = "MDY";
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word.to_ascii_uppercase().as_str() {
            "ISO" | "DEFAULT" => {}
            "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => order = "MDY",
            "DMY" | "EURO" | "EUROPEAN" => order = "DMY",
            "YMD" => order = "YMD",
            _ => return None,
        }
    }
    Some(format!("ISO, {order}"))
}

fn time_zone(text: &str) -> Option<String> {
    const LENGTH_MAX: usize = 255;
    let zone = text.trim();
    let valid = |c: char| c.is_ascii_alphanumeric() || "_+-:/<>,. '".contains(c);
    (!zone.is_empty() && zone.len() <= LENGTH_MAX && zone.chars().all(valid)).then(|| zone.to_owned())
}

fn timeline(text: &str) -> bool {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse::<u32>().ok(),
    };
    matches!(text, "" | "latest" | "current") || number.is_some_and(|n| n > 0)
}

#[cfg(test)]
mod tests {
    use crate::definition;

    fn shown(name: &str, text: &str) -> Result<String, String> {
        let definition = definition(name).expect("in the registry");
        definition.parse(text).map(|value| definition.show(&value)).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_take_units_fractions_and_round_as_postgresql_does() {
        for (name, text, expected) in [
            ("checkpoint_timeout", "90", "90s"),
            ("checkpoint_timeout", "1.5min", "90s"),
            ("checkpoint_timeout", " 2 h ", "2h"),
            ("statement_timeout", "1500us", "2ms"),
            ("max_wal_size", "1.5GB", "1536MB"),
            ("work_mem", "64MB", "64MB"),
            ("work_mem", "0x1000", "4MB"),
            ("max_slot_wal_keep_size", "-1", "-1"),
            ("unix_socket_permissions", "700", "0700"),
        ] {
            assert_eq!(shown(name, text).as_deref(), Ok(expected), "{name} = {text}");
        }
        for (name, text, message) in [
            (
                "checkpoint_timeout",
                "1",
                "1 s is outside the valid range for parameter \"checkpoint_timeout\" (30 s .. 86400 s)",
            ),
            ("checkpoint_timeout", "5MB", "invalid value for parameter \"checkpoint_timeout\": \"5MB\""),
            ("port", "", "invalid value for parameter \"port\": \"\""),
            ("port", "65536", "65536 is outside the valid range for parameter \"port\" (1 .. 65535)"),
            (
                "port",
                "99999999999999999999",
                "invalid value for parameter \"port\": \"99999999999999999999\"",
            ),
            (
                "unix_socket_permissions",
                "0888",
                "invalid value for parameter \"unix_socket_permissions\": \"0888\"",
            ),
        ] {
            assert_eq!(shown(name, text).unwrap_err(), message);
        }
    }

    #[test]
    fn words_are_accepted_in_postgresqls_spellings() {
        for (name, text, expected) in [
            ("synchronous_commit", "TRUE", "on"),
            ("synchronous_commit", "0", "off"),
            ("synchronous_commit", "Remote_Apply", "remote_apply"),
            ("hot_standby_feedback", "y", "on"),
            ("client_encoding", "'utf-8'", "UTF8"),
            ("DateStyle", "iso, dmy", "ISO, DMY"),
            ("application_name", "a\u{e9}b", "a?b"),
        ] {
            assert_eq!(shown(name, text).as_deref(), Ok(expected), "{name} = {text}");
        }
        for (name, text) in [
            ("synchronous_commit", "of the day"),
            ("hot_standby_feedback", "o"),
            ("client_encoding", "LATIN1"),
            ("DateStyle", "German"),
            ("primary_slot_name", "Name"),
            ("synchronous_standby_names", "FIRST 1 (a"),
            ("synchronous_standby_names", "\"a"),
            ("recovery_target_timeline", "0"),
        ] {
            assert!(shown(name, text).is_err(), "{name} = {text}");
        }
    }
}
