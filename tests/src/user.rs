use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The account that programs which refuse to run as root run as instead.
#[derive(Debug, Clone, Copy)]
pub struct OrdinaryUser {
    account: Option<(u32, u32)>,
}

impl OrdinaryUser {
    /// The account `postgres` when this program is root, otherwise whoever runs it.
    ///
    /// # Panics
    /// When root has no account `postgres`.
    pub fn get() -> OrdinaryUser {
        // SAFETY: geteuid has no arguments and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return OrdinaryUser { account: None };
        }
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let account = accounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                ["postgres", _, uid, gid, ..] => Some((uid.parse().ok()?, gid.parse().ok()?)),
                _ => None,
            }
        });
        assert!(account.is_some(), "root needs the user \"postgres\": run \"make install-deps\"");
        OrdinaryUser { account }
    }

    /// Makes `command` run as this user.
    pub fn run(self, command: &mut Command) {
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives `directory` to this user, and lets it reach what lies in `parent`.
    ///
    /// # Panics
    /// When the owner cannot be changed.
    pub fn own(self, directory: &Path, parent: &Path) {
        if let Some((uid, gid)) = self.account {
            chown(directory, Some(uid), Some(gid)).expect("give a directory to the ordinary user");
            std::fs::set_permissions(parent, PermissionsExt::from_mode(0o711))
                .expect("open the test's directory");
        }
    }
}
