/// Why a setting was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No setting of that name.
    #[error("unrecognized configuration parameter \"{name}\"")]
    Unknown {
        /// As it was written.
        name: String,
    },
    /// The value is not of the setting's type.
    #[error("invalid value for parameter \"{name}\": \"{value}\"")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// As it was written.
        value: String,
        /// What would do.
        allowed: String,
    },
    /// The value is a number out of bounds.
    #[error("{value} is outside the valid range for parameter \"{name}\" ({min} .. {max})")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// The number, in the setting's unit.
        value: String,
        /// Smallest allowed.
        min: String,
        /// Largest allowed.
        max: String,
    },
    /// The setting tells a fact.
    #[error("parameter \"{name}\" cannot be changed")]
    Fixed {
        /// The setting.
        name: &'static str,
    },
    /// The setting is read at server start.
    #[error("parameter \"{name}\" cannot be changed without restarting the server")]
    NeedsRestart {
        /// The setting.
        name: &'static str,
    },
    /// The setting is the whole server's.
    #[error("parameter \"{name}\" cannot be changed now")]
    NotNow {
        /// The setting.
        name: &'static str,
    },
    /// The setting is read when a connection starts.
    #[error("parameter \"{name}\" cannot be set after connection start")]
    AfterConnectionStart {
        /// The setting.
        name: &'static str,
    },
    /// The setting runs commands, so that only files may set it.
    #[error("parameter \"{name}\" can be set in postgresql.conf or on the command line only")]
    FileOnly {
        /// The setting.
        name: &'static str,
    },
    /// The setting is for superusers.
    #[error("permission denied to set parameter \"{name}\"")]
    PermissionDenied {
        /// The setting.
        name: &'static str,
    },
    /// A session holds too many settings of names that it made up.
    #[error("too many custom parameters: a session can hold {max}")]
    TooManyCustom {
        /// The limit.
        max: usize,
    },
}

impl SettingError {
    /// The five characters that a client gets.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            SettingError::Unknown { .. } => "42704",
            SettingError::Invalid { .. } | SettingError::OutOfRange { .. } => "22023",
            SettingError::PermissionDenied { .. } => "42501",
            SettingError::TooManyCustom { .. } => "53400",
            SettingError::Fixed { .. }
            | SettingError::NeedsRestart { .. }
            | SettingError::NotNow { .. }
            | SettingError::AfterConnectionStart { .. }
            | SettingError::FileOnly { .. } => "55P02",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            SettingError::Invalid { allowed, .. } => Some(allowed.clone()),
            SettingError::NotNow { name } => {
                Some(format!("Use ALTER SYSTEM SET {name} = ... and SELECT pg_reload_conf()."))
            }
            SettingError::NeedsRestart { name } => {
                Some(format!("Use ALTER SYSTEM SET {name} = ... and restart the server."))
            }
            SettingError::Unknown { .. } => Some("SHOW ALL lists the parameters that there are.".to_owned()),
            _ => None,
        }
    }
}
