use std::str;

/// Longest packet before a session starts, in bytes (PostgreSQL's `MAX_STARTUP_PACKET_LENGTH`).
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// Newest minor version of protocol 3 that is spoken.
pub const PROTOCOL_MINOR_MAX: u16 = 0;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const PROTOCOL_MAJOR: u32 = 3;

/// What `replication` in a StartupMessage asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicationMode {
    /// A SQL session.
    None,
    /// Physical replication.
    Physical,
    /// Replication commands and SQL in one database: logical replication.
    Database,
}

/// Name and value pairs of a StartupMessage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StartupParameters {
    minor: u16,
    values: Vec<(String, String)>,
}

impl StartupParameters {
    /// Parameters of protocol 3.0, in their order.
    pub fn new(values: Vec<(String, String)>) -> StartupParameters {
        StartupParameters { minor: 0, values }
    }

    /// The minor protocol version that the client asked for.
    pub fn minor(&self) -> u16 {
        self.minor
    }

    /// The last value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The user; empty counts as none.
    pub fn user(&self) -> Option<&str> {
        self.get("user").filter(|user| !user.is_empty())
    }

    /// The database; the user's name where none was given.
    pub fn database(&self) -> Option<&str> {
        self.get("database").filter(|database| !database.is_empty()).or_else(|| self.user())
    }

    /// `application_name`, empty where none was given.
    pub fn application_name(&self) -> &str {
        self.get("application_name").unwrap_or_default()
    }

    /// What `replication` asks for.
    ///
    /// # Errors
    /// The value, where it is neither a boolean nor "database".
    pub fn replication(&self) -> Result<ReplicationMode, InvalidStartup> {
        let Some(value) = self.get("replication") else { return Ok(ReplicationMode::None) };
        match value.to_ascii_lowercase().as_str() {
            "database" => Ok(ReplicationMode::Database),
            "true" | "on" | "yes" | "1" | "t" | "y" => Ok(ReplicationMode::Physical),
            "false" | "off" | "no" | "0" | "f" | "n" => Ok(ReplicationMode::None),
            _ => Err(InvalidStartup::Replication { value: value.to_owned() }),
        }
    }

    /// Those that are settings.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = ["user", "database", "replication", "options"];
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(move |(name, _)| !own.contains(name) && !name.starts_with("_pq_."))
    }

    /// Protocol options that are not understood here: all of them.
    pub fn unknown_protocol_options(&self) -> Vec<&str> {
        self.values.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("_pq_.")).collect()
    }
}

/// What a client sends before there is a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupPacket {
    /// Asks for TLS.
    SslRequest,
    /// Asks for GSSAPI encryption.
    GssEncRequest,
    /// Cancels another session's statement.
    Cancel {
        /// That session's number.
        pid: i32,
        /// Its secret.
        key: i32,
    },
    /// Asks for a session.
    Startup(StartupParameters),
}

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStartup {
    /// The length word is impossible.
    #[error("invalid length of startup packet: {length}")]
    Length {
        /// The length word.
        length: u32,
    },
    /// A TLS handshake that nobody asked whether to begin.
    #[error("received a TLS handshake in place of a startup packet")]
    TlsFirst,
    /// Another protocol.
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{PROTOCOL_MINOR_MAX}")]
    Version {
        /// Major version.
        major: u32,
        /// Minor version.
        minor: u32,
    },
    /// The pairs do not end where the packet ends.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// A name or value is not UTF-8.
    #[error("invalid byte sequence for encoding \"UTF8\" in startup packet")]
    NotUtf8,
    /// `replication` is neither a boolean nor "database".
    #[error("invalid value for parameter \"replication\": \"{value}\"")]
    Replication {
        /// What it is.
        value: String,
    },
}

/// Bytes of the body of a packet with that length word, which counts itself.
pub fn startup_body_bytes(length: u32) -> Result<usize, InvalidStartup> {
    if is_client_hello(length) {
        return Err(InvalidStartup::TlsFirst);
    }
    let bytes = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
    // the shortest holds just its code
    bytes.filter(|bytes| (4..=STARTUP_BYTES_MAX).contains(bytes)).ok_or(InvalidStartup::Length { length })
}

/// Whether a client's first four bytes are those of a TLS record that holds a handshake:
/// its type, 22, and the major version, 3.
fn is_client_hello(word: u32) -> bool {
    word >> 16 == 0x1603
}

impl StartupPacket {
    /// Decodes what follows the length word.
    pub fn decode(body: &[u8]) -> Result<StartupPacket, InvalidStartup> {
        let (code, rest) = body.split_first_chunk().ok_or(InvalidStartup::Layout)?;
        let code = u32::from_be_bytes(*code);
        match code {
            SSL_REQUEST if rest.is_empty() => Ok(StartupPacket::SslRequest),
            GSSENC_REQUEST if rest.is_empty() => Ok(StartupPacket::GssEncRequest),
            CANCEL_REQUEST => {
                let (pid, key) = rest.split_first_chunk().ok_or(InvalidStartup::Layout)?;
                let key = key.try_into().map_err(|_| InvalidStartup::Layout)?;
                Ok(StartupPacket::Cancel { pid: i32::from_be_bytes(*pid), key: i32::from_be_bytes(key) })
            }
            _ if code >> 16 == PROTOCOL_MAJOR => {
                let values = pairs(rest)?;
                Ok(StartupPacket::Startup(StartupParameters { minor: (code & 0xffff) as u16, values }))
            }
            _ => Err(InvalidStartup::Version { major: code >> 16, minor: code & 0xffff }),
        }
    }
}

fn pairs(mut rest: &[u8]) -> Result<Vec<(String, String)>, InvalidStartup> {
    let mut pairs = Vec::new();
    loop {
        let name = string(&mut rest)?;
        if name.is_empty() {
            return if rest.is_empty() { Ok(pairs) } else { Err(InvalidStartup::Layout) };
        }
        pairs.push((name, string(&mut rest)?));
    }
}

fn string(rest: &mut &[u8]) -> Result<String, InvalidStartup> {
    let end = rest.iter().position(|&b| b == 0).ok_or(InvalidStartup::Layout)?;
    let (text, tail) = rest.split_at(end);
    *rest = tail.get(1..).unwrap_or_default();
    str::from_utf8(text).map(str::to_owned).map_err(|_| InvalidStartup::NotUtf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(code: u32, rest: &[u8]) -> Result<StartupPacket, InvalidStartup> {
        StartupPacket::decode(&[&code.to_be_bytes(), rest].concat())
    }

    #[test]
    fn packets_are_told_apart() {
        assert_eq!(decode(SSL_REQUEST, b""), Ok(StartupPacket::SslRequest));
        assert_eq!(decode(GSSENC_REQUEST, b""), Ok(StartupPacket::GssEncRequest));
        assert_eq!(
            decode(CANCEL_REQUEST, &[0, 0, 0, 7, 255, 255, 255, 255]),
            Ok(StartupPacket::Cancel { pid: 7, key: -1 })
        );
        let Ok(StartupPacket::Startup(parameters)) =
            decode(196_610, b"user\0u\0_pq_.x\0y\0replication\0True\0DateStyle\0ISO\0\0")
        else {
            panic!()
        };
        assert_eq!(parameters.minor(), 2);
        assert_eq!(parameters.database(), Some("u"));
        assert_eq!(parameters.replication(), Ok(ReplicationMode::Physical));
        assert_eq!(parameters.unknown_protocol_options(), ["_pq_.x"]);
        assert_eq!(parameters.settings().collect::<Vec<_>>(), [("DateStyle", "ISO")]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(decode(131_072, b""), Err(InvalidStartup::Version { major: 2, minor: 0 }));
        assert_eq!(decode(196_608, b"user\0u\0"), Err(InvalidStartup::Layout));
        assert_eq!(decode(196_608, b"user\0u\0\0x"), Err(InvalidStartup::Layout));
        assert_eq!(decode(CANCEL_REQUEST, &[0; 4]), Err(InvalidStartup::Layout));
        assert_eq!(startup_body_bytes(0x1603_0100), Err(InvalidStartup::TlsFirst));
        for length in [0, 7, 10_005, u32::MAX] {
            assert_eq!(startup_body_bytes(length), Err(InvalidStartup::Length { length }));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(body: Vec<u8>) {
            let _ = StartupPacket::decode(&body);
        }
    }
}
