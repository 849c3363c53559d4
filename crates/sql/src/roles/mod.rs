//! Roles: what a session may do, and the statements that change it. Who keeps them, and
//! how a client proves that it is one, is not known here.

mod change;
mod identity;
mod role;

pub use change::{ChangeError, Password, RoleChange, RoleOptions, check_name, check_options};
pub use identity::{Identity, TlsSession};
pub use role::{BOOTSTRAP_NAME, BOOTSTRAP_OID, Level, PasswordState, Privileges, Role, RoleTable};
