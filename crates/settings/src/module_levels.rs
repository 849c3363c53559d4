/// The parts of the server whose log lines have a level of their own on request.
pub const LOG_MODULES: [&str; 13] = [
    "access",
    "archive",
    "basebackup",
    "client",
    "engine",
    "listen",
    "monitoring",
    "node",
    "replication",
    "restore",
    "run",
    "sql",
    "wal",
];
/// Their levels, from the most to the least that is logged.
const LEVELS: [(&str, ModuleLevel); 8] = [
    ("debug5", ModuleLevel::Trace),
    ("debug4", ModuleLevel::Trace),
    ("debug3", ModuleLevel::Trace),
    ("debug2", ModuleLevel::Debug),
    ("debug1", ModuleLevel::Debug),
    ("info", ModuleLevel::Info),
    ("warning", ModuleLevel::Warning),
    ("error", ModuleLevel::Error),
];

/// The least important lines that a module logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleLevel {
    /// `debug5` to `debug3`.
    Trace,
    /// `debug2` and `debug1`.
    Debug,
    /// Lines of events too.
    Info,
    /// Warnings and errors.
    Warning,
    /// Errors alone.
    Error,
}

/// `log_module_levels`: `replication=debug1, wal=debug3`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleLevels(Vec<(&'static str, ModuleLevel)>);

/// Why a text is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleLevelsError {
    /// Not a name, `=` and a level.
    #[error("\"{0}\" is not a module, \"=\" and a level")]
    Form(String),
    /// There is no such part.
    #[error("there is no module \"{0}\": there are {list}", list = LOG_MODULES.join(", "))]
    Module(String),
    /// There is no such level.
    #[error("there is no level \"{0}\": there are debug5 to debug1, info, warning and error")]
    Level(String),
    /// It has two levels.
    #[error("module \"{0}\" has two levels")]
    Twice(&'static str),
}

impl ModuleLevels {
    /// Reads the setting; nothing in it is no level.
    pub fn parse(text: &str) -> Result<ModuleLevels, ModuleLevelsError> {
        let mut levels: Vec<(&'static str, ModuleLevel)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (module, level) =
                part.split_once('=').ok_or_else(|| ModuleLevelsError::Form(part.to_owned()))?;
            let (module, level) = (module.trim(), level.trim());
            let known = LOG_MODULES.iter().find(|known| **known == module);
            let module = *known.ok_or_else(|| ModuleLevelsError::Module(module.to_owned()))?;
            let known = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(level));
            let (_, level) = known.ok_or_else(|| ModuleLevelsError::Level(level.to_owned()))?;
            if levels.iter().any(|(name, _)| *name == module) {
                return Err(ModuleLevelsError::Twice(module));
            }
            levels.push((module, *level));
        }
        Ok(ModuleLevels(levels))
    }

    /// Each module that has one.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, ModuleLevel)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_modules_are_read_or_refused() {
        let read = ModuleLevels::parse(" replication=debug1,wal = DEBUG5 ,").unwrap();
        let all: Vec<_> = read.iter().collect();
        assert_eq!(all, [("replication", ModuleLevel::Debug), ("wal", ModuleLevel::Trace)]);
        assert_eq!(ModuleLevels::parse(""), Ok(ModuleLevels::default()));
        for (text, why) in [
            ("wal", "\"wal\" is not a module, \"=\" and a level"),
            ("wall=debug1", "there is no module \"wall\": there are access, archive,"),
            ("wal=loud", "there is no level \"loud\""),
            ("wal=info,wal=error", "module \"wal\" has two levels"),
        ] {
            let error = ModuleLevels::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
