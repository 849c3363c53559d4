use crate::Unit;

/// One setting: its type, bounds and default, when it may be changed, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    /// Spelled as `pg_settings` spells it; looked up without regard to case.
    pub name: &'static str,
    /// Type and bounds.
    pub kind: Kind,
    /// The default, written as in a configuration file.
    pub boot: &'static str,
    /// When the value may change.
    pub context: Context,
    /// PostgreSQL's heading for it.
    pub category: &'static str,
    /// One sentence, lower case.
    pub description: &'static str,
    /// Only the configuration file and the command line may set it: it runs a command, or leads to one.
    pub file_only: bool,
}

/// Type of a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `on` or `off`, with PostgreSQL's other spellings.
    Bool,
    /// A whole number of `unit`s within bounds, both included.
    Int {
        /// What one step means.
        unit: Unit,
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// File permissions, read and shown in octal.
    Mode,
    /// A floating-point number within bounds.
    Real {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// One of these words. Where both `on` and `off` are among them, the spellings of a bool stand for them.
    Enum(&'static [&'static str]),
    /// Any text that the rule accepts.
    Text(TextRule),
}

/// What a text setting accepts beyond any text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextRule {
    /// Anything without a zero byte.
    Any,
    /// Printable ASCII; anything else becomes `?`, as PostgreSQL does for `application_name`.
    Ascii,
    /// An encoding that sessions can use: UTF8 or SQL_ASCII, in any spelling of them.
    Encoding,
    /// `ISO`, alone or with an order of day, month and year.
    DateStyle,
    /// A zone name or offset, without control characters.
    TimeZone,
    /// Empty, or a log position.
    Lsn,
    /// Empty, or a replication slot's name: a-z, 0-9 and `_`, at most 63.
    SlotName,
    /// PostgreSQL's grammar of synchronous standbys: [`crate::StandbyNames`].
    StandbyNames,
    /// Levels of parts of the server: [`crate::ModuleLevels`].
    ModuleLevels,
    /// Empty, `latest`, `current`, or a timeline number in decimal or after `0x`.
    Timeline,
}

/// When a setting may change: the words of `pg_settings.context`, in order of increasing freedom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    /// Never: it tells a fact.
    Internal,
    /// At server start.
    Postmaster,
    /// At a reload of the configuration files.
    Sighup,
    /// At connection start.
    Backend,
    /// Any time, by a superuser.
    Superuser,
    /// Any time, by anyone.
    User,
}

impl Context {
    /// As `pg_settings.context` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Context::Internal => "internal",
            Context::Postmaster => "postmaster",
            Context::Sighup => "sighup",
            Context::Backend => "backend",
            Context::Superuser => "superuser",
            Context::User => "user",
        }
    }
}

impl Kind {
    /// As `pg_settings.vartype` prints it.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Int { .. } | Kind::Mode => "integer",
            Kind::Real { .. } => "real",
            Kind::Enum(_) => "enum",
            Kind::Text(_) => "string",
        }
    }
}

/// A heading under which settings are defined.
#[derive(Debug, Clone, Copy)]
pub struct Category(pub &'static str);

impl Category {
    const fn define(self, name: &'static str, kind: Kind, boot: &'static str) -> Definition {
        Definition {
            name,
            kind,
            boot,
            context: Context::User,
            category: self.0,
            description: "",
            file_only: false,
        }
    }

    pub(crate) const fn bool(self, name: &'static str, boot: &'static str) -> Definition {
        self.define(name, Kind::Bool, boot)
    }

    pub(crate) const fn int(self, name: &'static str, boot: &'static str, min: i64, max: i64) -> Definition {
        self.define(name, Kind::Int { unit: Unit::None, min, max }, boot)
    }

    pub(crate) const fn mode(self, name: &'static str, boot: &'static str) -> Definition {
        self.define(name, Kind::Mode, boot)
    }

    pub(crate) const fn real(self, name: &'static str, boot: &'static str, min: f64, max: f64) -> Definition {
        self.define(name, Kind::Real { min, max }, boot)
    }

    pub(crate) const fn one_of(
        self,
        name: &'static str,
        boot: &'static str,
        words: &'static [&'static str],
    ) -> Definition {
        self.define(name, Kind::Enum(words), boot)
    }

    pub(crate) const fn text(self, name: &'static str, boot: &'static str) -> Definition {
        self.define(name, Kind::Text(TextRule::Any), boot)
    }
}

impl Definition {
    pub(crate) const fn unit(mut self, unit: Unit) -> Definition {
        if let Kind::Int { min, max, .. } = self.kind {
            self.kind = Kind::Int { unit, min, max };
        }
        self
    }

    pub(crate) const fn rule(mut self, rule: TextRule) -> Definition {
        self.kind = Kind::Text(rule);
        self
    }

    pub(crate) const fn at(mut self, context: Context) -> Definition {
        self.context = context;
        self
    }

    pub(crate) const fn files_only(mut self) -> Definition {
        self.file_only = true;
        self
    }

    pub(crate) const fn about(mut self, description: &'static str) -> Definition {
        self.description = description;
        self
    }

    /// The unit of a numeric setting.
    pub fn unit_of(&self) -> Unit {
        match self.kind {
            Kind::Int { unit, .. } => unit,
            _ => Unit::None,
        }
    }
}
