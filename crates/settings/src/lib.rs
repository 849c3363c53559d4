//! Settings with PostgreSQL's names, meanings and units.
//!
//! * [`Definition`]: one setting of the registry (type, unit, bounds, default, when it may change).
//! * [`Settings`]: what is in force for a cluster, and where each value came from; loaded from
//!   `postgresql.conf`, `postgresql.auto.conf` and command-line overrides.
//! * [`SharedSettings`]: the snapshot in force, swapped as a whole by a reload.
//! * [`SessionSettings`]: what one session sees: start-up parameters, `SET`, `SET LOCAL`.
//!
//! Pure but for [`load`] and [`AutoConf::save`], which read and write the files.
//!
//! ```
//! use walship_settings::{Settings, Typed};
//! let settings = Settings::defaults();
//! assert_eq!(settings.show("checkpoint_timeout").unwrap(), "5min");
//! assert_eq!(settings.duration("checkpoint_timeout").as_secs(), 300);
//! ```

mod auto_conf;
mod conf_file;
mod consistency;
mod definition;
mod error;
mod load;
mod module_levels;
mod reference;
mod registry;
mod reload;
mod session;
mod settings;
mod standby_names;
mod startup_options;
mod typed;
mod unit;
mod value;

pub use auto_conf::{AUTO_CONF_FILE, AutoConf, AutoConfError};
pub use conf_file::{ConfEntry, ConfSyntaxError, parse_conf};
pub use consistency::{Contradiction, contradictions};
pub use definition::{Category, Context, Definition, Kind, TextRule};
pub use error::SettingError;
pub use load::{CONF_FILE, LoadError, Override, Place, Problem, ProblemCause, load};
pub use module_levels::{LOG_MODULES, ModuleLevel, ModuleLevels, ModuleLevelsError};
pub use reference::reference_markdown;
pub use registry::{definition, definitions};
pub use reload::{Change, Reload, reload};
pub use session::{REPORTED, Scope, SessionIdentity, SessionSettings};
pub use settings::{SettingRow, Settings, SharedSettings, Source};
pub use standby_names::{StandbyMethod, StandbyNames, StandbyNamesError, StandbyNamesFault};
pub use startup_options::parse_startup_options;
pub use typed::{SynchronousCommit, Typed};
pub use unit::Unit;
pub use value::Value;
