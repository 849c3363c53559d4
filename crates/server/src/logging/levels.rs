use std::sync::Arc;

use parking_lot::RwLock;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};
use walship_settings::{ModuleLevel, ModuleLevels, Typed};

/// Modules of this crate; all others are crates of their own.
const OF_THE_SERVER: [&str; 4] = ["access", "listen", "monitoring", "run"];

/// What is logged: `log_min_messages`, and `log_module_levels` for parts of the server. Both can change at any time.
#[derive(Debug, Default)]
pub(super) struct Levels {
    // protects what is in force; held for a look
    in_force: RwLock<InForce>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct InForce {
    all: Shown,
    modules: Vec<(String, Shown)>,
}

/// Which lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// This important, or more.
    From(Level),
    /// Events and errors, but no warnings: as in PostgreSQL, lines of the kind LOG stand above ERROR.
    EventsAndErrors,
}

impl Default for Shown {
    fn default() -> Shown {
        Shown::From(Level::INFO)
    }
}

impl Shown {
    fn of_min_messages(text: &str) -> Shown {
        match text {
            "debug5" | "debug4" | "debug3" => Shown::From(Level::TRACE),
            "debug2" | "debug1" | "debug" => Shown::From(Level::DEBUG),
            "error" | "log" => Shown::EventsAndErrors,
            "fatal" | "panic" => Shown::From(Level::ERROR),
            _ => Shown::From(Level::INFO),
        }
    }

    fn of_module(level: ModuleLevel) -> Shown {
        Shown::From(match level {
            ModuleLevel::Trace => Level::TRACE,
            ModuleLevel::Debug => Level::DEBUG,
            ModuleLevel::Info => Level::INFO,
            ModuleLevel::Warning => Level::WARN,
            ModuleLevel::Error => Level::ERROR,
        })
    }

    fn includes(self, level: Level) -> bool {
        match self {
            Shown::From(least) => level <= least,
            Shown::EventsAndErrors => level == Level::INFO || level == Level::ERROR,
        }
    }

    fn most(self) -> Level {
        match self {
            Shown::From(least) => least,
            Shown::EventsAndErrors => Level::INFO,
        }
    }
}

impl Levels {
    /// Takes over what the settings say; whether that is something else than before.
    pub(super) fn set(&self, settings: &(impl Typed + ?Sized)) -> bool {
        // the setting's own rule has refused what is none
        let modules = ModuleLevels::parse(&settings.text("log_module_levels")).unwrap_or_default();
        let wanted = InForce {
            all: Shown::of_min_messages(&settings.text("log_min_messages")),
            modules: modules.iter().map(|(name, level)| (target_of(name), Shown::of_module(level))).collect(),
        };
        let mut in_force = self.in_force.write();
        let differs = *in_force != wanted;
        *in_force = wanted;
        differs
    }

    fn includes(&self, metadata: &Metadata<'_>) -> bool {
        let in_force = self.in_force.read();
        let own = in_force.modules.iter().find(|(target, _)| is_below(metadata.target(), target));
        own.map_or(in_force.all, |(_, shown)| *shown).includes(*metadata.level())
    }

    fn most(&self) -> Level {
        let in_force = self.in_force.read();
        let all = in_force.modules.iter().map(|(_, shown)| shown.most());
        all.chain([in_force.all.most()]).max().unwrap_or(Level::INFO)
    }
}

/// Where the lines of a module come from.
fn target_of(module: &str) -> String {
    match OF_THE_SERVER.contains(&module) {
        true => format!("walship_server::{module}"),
        false => format!("walship_{module}"),
    }
}

fn is_below(target: &str, module: &str) -> bool {
    target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// [`Levels`] as a filter of lines.
pub(super) struct ByLevels(pub(super) Arc<Levels>);

impl<S: Subscriber> Filter<S> for ByLevels {
    fn enabled(&self, metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        self.0.includes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.0.most()))
    }
}

#[cfg(test)]
mod tests {
    use walship_settings::Settings;

    use super::*;

    #[test]
    fn modules_have_their_own_levels() {
        let mut settings = Settings::defaults();
        settings.set_fact("log_module_levels", "replication=debug1,wal=error").unwrap();
        let levels = Levels::default();
        assert!(levels.set(&settings) && !levels.set(&settings));
        assert_eq!(levels.most(), Level::DEBUG);
        let in_force = levels.in_force.read();
        let shown = |target: &str, level| {
            let own = in_force.modules.iter().find(|(name, _)| is_below(target, name));
            own.map_or(in_force.all, |(_, shown)| *shown).includes(level)
        };
        assert!(shown("walship_replication::receiver", Level::DEBUG));
        assert!(!shown("walship_server::run", Level::DEBUG) && shown("walship_server::run", Level::INFO));
        assert!(!shown("walship_wal", Level::WARN) && shown("walship_walnut", Level::WARN));
    }

    #[test]
    fn events_stand_above_errors() {
        let shown = Shown::of_min_messages("error");
        assert!(shown.includes(Level::INFO) && shown.includes(Level::ERROR) && !shown.includes(Level::WARN));
        assert!(!Shown::of_min_messages("panic").includes(Level::INFO));
        assert!(Shown::of_min_messages("warning").includes(Level::INFO));
    }
}
