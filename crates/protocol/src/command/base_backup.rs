use std::fmt;
use std::str::FromStr;

/// What a BASE_BACKUP command asks for; the default is a bare `BASE_BACKUP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseBackupOptions {
    /// For people; in the backup label.
    pub label: String,
    /// Whether the size is estimated beforehand and progress reported.
    pub progress: bool,
    /// Whether the checkpoint hurries.
    pub checkpoint: CheckpointMode,
    /// Whether the log that makes it consistent is part of it.
    pub wal: bool,
    /// Whether to wait until that log is archived.
    pub wait: bool,
    /// Bytes per second are limited to this many KiB (32 to 1048576).
    pub max_rate_kib: Option<u32>,
    /// Whether a tablespace map is wanted (there are no tablespaces, so it is never sent).
    pub tablespace_map: bool,
    /// Whether page checksums are verified while reading.
    pub verify_checksums: bool,
    /// Whether a manifest follows.
    pub manifest: ManifestMode,
    /// How the manifest's files are hashed.
    pub manifest_checksums: ManifestChecksum,
    /// Compression by the server.
    pub compression: CompressionChoice,
}

/// How fast the checkpoint of a base backup is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckpointMode {
    /// As soon as possible.
    Fast,
    /// Spread over time.
    #[default]
    Spread,
}

/// Whether a base backup has a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManifestMode {
    /// None.
    #[default]
    No,
    /// One.
    Yes,
    /// One, with every path in hexadecimal.
    ForceEncode,
}

/// How a manifest's files are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManifestChecksum {
    /// Not at all.
    None,
    /// CRC-32C, PostgreSQL's default.
    #[default]
    Crc32c,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Compression that the server shall apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CompressionChoice {
    /// None: the only one that walship's server does.
    #[default]
    None,
    /// gzip, lz4 or zstd, with its detail.
    Server {
        /// The method.
        method: String,
        /// Level and more, as given.
        detail: Option<String>,
    },
}

/// An option of BASE_BACKUP or CREATE_REPLICATION_SLOT that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// There is no such option.
    #[error("unrecognized option \"{0}\"")]
    Unknown(String),
    /// It was given twice.
    #[error("duplicate option \"{0}\"")]
    Duplicate(String),
    /// It needs a value and has none.
    #[error("{0} requires a parameter")]
    NoValue(String),
    /// It takes true or false.
    #[error("{0} requires a Boolean value")]
    NotBoolean(String),
    /// It takes a whole number.
    #[error("{option} requires an integer value, found \"{found}\"")]
    NotInteger {
        /// The option.
        option: String,
        /// Its value.
        found: String,
    },
    /// Its number is out of range.
    #[error("{found} is outside the valid range for parameter \"{option}\" ({min} .. {max})")]
    Range {
        /// The option.
        option: String,
        /// Its value.
        found: u64,
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// Its word is not one of those that it takes.
    #[error("unrecognized {option}: \"{found}\"")]
    Value {
        /// What the option is called in the message.
        option: &'static str,
        /// Its value.
        found: String,
    },
    /// Checksums of a manifest that is not wanted.
    #[error("manifest checksums require a backup manifest")]
    ChecksumsWithoutManifest,
    /// Detail of a compression that is not wanted.
    #[error("compression detail cannot be specified unless compression is enabled")]
    DetailWithoutCompression,
    /// A target other than the client (0A000).
    #[error("backup target \"{0}\" is not supported: only the client")]
    Target(String),
}

impl OptionError {
    /// The SQLSTATE that goes with it.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            OptionError::Target(_) => "0A000",
            OptionError::Range { .. } => "22023",
            _ => "42601",
        }
    }
}

impl Default for BaseBackupOptions {
    fn default() -> Self {
        BaseBackupOptions {
            label: "base backup".to_owned(),
            progress: false,
            checkpoint: CheckpointMode::Spread,
            wal: false,
            wait: true,
            max_rate_kib: None,
            tablespace_map: false,
            verify_checksums: true,
            manifest: ManifestMode::No,
            manifest_checksums: ManifestChecksum::default(),
            compression: CompressionChoice::None,
        }
    }
}

impl ManifestChecksum {
    /// As a manifest and PostgreSQL's tools spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            ManifestChecksum::None => "NONE",
            ManifestChecksum::Crc32c => "CRC32C",
            ManifestChecksum::Sha224 => "SHA224",
            ManifestChecksum::Sha256 => "SHA256",
            ManifestChecksum::Sha384 => "SHA384",
            ManifestChecksum::Sha512 => "SHA512",
        }
    }
}

impl fmt::Display for ManifestChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ManifestChecksum {
    type Err = OptionError;

    /// In any case, as PostgreSQL takes it.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        use ManifestChecksum::{Crc32c, None, Sha224, Sha256, Sha384, Sha512};
        let all = [None, Crc32c, Sha224, Sha256, Sha384, Sha512];
        all.into_iter()
            .find(|a| a.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| OptionError::Value { option: "checksum algorithm", found: name.to_owned() })
    }
}

/// Value of an option in the parenthesised form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OptionValue {
    Text(String),
    Number(u64),
}

impl OptionValue {
    fn into_text(self) -> String {
        match self {
            OptionValue::Text(text) => text,
            OptionValue::Number(number) => number.to_string(),
        }
    }
}

/// PostgreSQL's `defGetBoolean`: no value is true.
pub(super) fn boolean(option: &str, value: Option<OptionValue>) -> Result<bool, OptionError> {
    let Some(value) = value else { return Ok(true) };
    match value.into_text().to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(OptionError::NotBoolean(option.to_owned())),
    }
}

fn text(option: &str, value: Option<OptionValue>) -> Result<String, OptionError> {
    value.map(OptionValue::into_text).ok_or_else(|| OptionError::NoValue(option.to_owned()))
}

fn max_rate(value: Option<OptionValue>) -> Result<u32, OptionError> {
    let (min, max) = (32, 1_048_576);
    let shown = text("max_rate", value)?;
    let integer = || OptionError::NotInteger { option: "max_rate".to_owned(), found: shown.clone() };
    let rate: u64 = shown.parse().map_err(|_| integer())?;
    let range = OptionError::Range { option: "MAX_RATE".to_owned(), found: rate, min, max };
    if (min..=max).contains(&rate) { u32::try_from(rate).map_err(|_| integer()) } else { Err(range) }
}

/// Options as they come; what they say together is checked at the end.
#[derive(Default)]
pub(super) struct OptionsBuilder {
    seen: Vec<String>,
    options: BaseBackupOptions,
    checksums_given: bool,
    compression: Option<String>,
    detail: Option<String>,
}

impl OptionsBuilder {
    /// Takes one option; `name` in lower case.
    pub(super) fn set(&mut self, name: &str, value: Option<OptionValue>) -> Result<(), OptionError> {
        if self.seen.iter().any(|seen| seen == name) {
            return Err(OptionError::Duplicate(name.to_owned()));
        }
        self.seen.push(name.to_owned());
        let options = &mut self.options;
        match name {
            "label" => options.label = text(name, value)?,
            "progress" => options.progress = boolean(name, value)?,
            "checkpoint" => {
                options.checkpoint = match text(name, value)?.to_ascii_lowercase().as_str() {
                    "fast" => CheckpointMode::Fast,
                    "spread" => CheckpointMode::Spread,
                    other => {
                        return Err(OptionError::Value {
                            option: "checkpoint type",
                            found: other.to_owned(),
                        });
                    }
                }
            }
            "wal" => options.wal = boolean(name, value)?,
            "wait" => options.wait = boolean(name, value)?,
            "max_rate" => options.max_rate_kib = Some(max_rate(value)?),
            "tablespace_map" => options.tablespace_map = boolean(name, value)?,
            "verify_checksums" => options.verify_checksums = boolean(name, value)?,
            "manifest" => options.manifest = manifest_mode(value)?,
            "manifest_checksums" => {
                options.manifest_checksums = text(name, value)?.parse()?;
                self.checksums_given = true;
            }
            "target" => match text(name, value)?.as_str() {
                "client" => {}
                other => return Err(OptionError::Target(other.to_owned())),
            },
            "target_detail" => return Err(OptionError::Target("with a detail".to_owned())),
            "compression" => self.compression = Some(text(name, value)?),
            "compression_detail" => self.detail = Some(text(name, value)?),
            _ => return Err(OptionError::Unknown(name.to_owned())),
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<BaseBackupOptions, OptionError> {
        if self.checksums_given && self.options.manifest == ManifestMode::No {
            return Err(OptionError::ChecksumsWithoutManifest);
        }
        match self.compression.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("none") if self.detail.is_some() => {
                return Err(OptionError::DetailWithoutCompression);
            }
            None | Some("none") => {}
            Some(method @ ("gzip" | "lz4" | "zstd")) => {
                self.options.compression =
                    CompressionChoice::Server { method: method.to_owned(), detail: self.detail };
            }
            Some(other) => {
                return Err(OptionError::Value { option: "compression algorithm", found: other.to_owned() });
            }
        }
        Ok(self.options)
    }
}

fn manifest_mode(value: Option<OptionValue>) -> Result<ManifestMode, OptionError> {
    let Some(value) = value else { return Ok(ManifestMode::Yes) };
    let shown = value.into_text();
    if shown.eq_ignore_ascii_case("force-encode") {
        return Ok(ManifestMode::ForceEncode);
    }
    match boolean("manifest", Some(OptionValue::Text(yes_no(&shown)))) {
        Ok(true) => Ok(ManifestMode::Yes),
        Ok(false) => Ok(ManifestMode::No),
        Err(_) => Err(OptionError::Value { option: "manifest option", found: shown }),
    }
}

/// `yes` and `no` as the words that every boolean takes.
fn yes_no(shown: &str) -> String {
    match shown.to_ascii_lowercase().as_str() {
        "yes" => "true".to_owned(),
        "no" => "false".to_owned(),
        other => other.to_owned(),
    }
}
