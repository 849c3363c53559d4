use std::fmt::Display;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// It works, and will not under some circumstances.
    Warning,
    /// It does not work, or data or access to it are at risk.
    Error,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// The data directory: its control file, its owner, its permissions.
    Directory,
    /// `postgresql.conf` and what else sets settings.
    Settings,
    /// `pg_hba.conf`.
    Rules,
    /// Certificates and keys.
    Tls,
    /// Room on the file system, and what file system that is.
    Space,
    /// The SQLite files.
    Databases,
    /// SQLite's own version, here and in programs that open the files; other tools on them.
    Programs,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at.
    pub area: Area,
    /// The fact with its values, lower case, no full stop.
    pub message: String,
    /// How to mend it.
    pub mend: Option<String>,
}

impl Severity {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl Area {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Area; 7] = [
        Area::Directory,
        Area::Settings,
        Area::Rules,
        Area::Tls,
        Area::Space,
        Area::Databases,
        Area::Programs,
    ];

    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Area::Directory => "directory",
            Area::Settings => "settings",
            Area::Rules => "rules",
            Area::Tls => "tls",
            Area::Space => "space",
            Area::Databases => "databases",
            Area::Programs => "programs",
        }
    }
}

impl Finding {
    fn new(severity: Severity, area: Area, message: impl Display) -> Finding {
        Finding { severity, area, message: message.to_string(), mend: None }
    }

    pub(super) fn error(area: Area, message: impl Display) -> Finding {
        Finding::new(Severity::Error, area, message)
    }

    pub(super) fn warning(area: Area, message: impl Display) -> Finding {
        Finding::new(Severity::Warning, area, message)
    }

    pub(super) fn note(area: Area, message: impl Display) -> Finding {
        Finding::new(Severity::Note, area, message)
    }

    pub(super) fn mend(self, how: impl Into<String>) -> Finding {
        Finding { mend: Some(how.into()), ..self }
    }

    pub(super) fn maybe_mend(self, how: Option<String>) -> Finding {
        Finding { mend: how, ..self }
    }
}
