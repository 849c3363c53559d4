use std::fs;
use std::os::unix::fs::MetadataExt as _;

use walship_auth::{PasswordFile, Wanted};
use walship_protocol::{Host, Target};

use crate::Purpose;

/// The password for a host: the one that was given, or the password file's.
pub(crate) fn password_for(target: &Target, host: &Host, purpose: Purpose) -> Option<String> {
    if let Some(password) = &target.password {
        return Some(password.reveal().to_owned());
    }
    let path = target.password_file.as_ref()?;
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    // as libpq: what others can read is no secret, and is not used
    if metadata.mode() & 0o077 != 0 {
        eprintln!(
            "WARNING: password file \"{}\" has group or world access; permissions should be u=rw (0600) or less",
            path.display()
        );
        return None;
    }
    let file = PasswordFile::new(fs::read_to_string(path).ok()?);
    let database = match purpose {
        Purpose::Replication => "replication",
        Purpose::Sql => &target.database,
    };
    let host = host.clone();
    let wanted = Wanted { host: host.in_password_file(), port: host.port, database, user: &target.user };
    file.password(&wanted)
}
