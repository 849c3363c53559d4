//! What a page says beyond the command line.

use clap::Command;
use roff::{Roff, bold, roman};

/// A heading, and entries: a term and what it means.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

/// Of the two servers.
const SERVER: &[Section] = &[
    (
        "SIGNALS",
        &[
            (
                "SIGTERM, SIGINT",
                "end sessions, let followers receive the rest of the log, make a checkpoint, stop",
            ),
            ("SIGHUP", "read the settings, the access rules and the certificates again"),
            ("SIGQUIT", "stop at once, without a checkpoint; the next start recovers"),
        ],
    ),
    (
        "FILES",
        &[
            ("DIR/postgresql.conf", "settings; those of ALTER SYSTEM are in postgresql.auto.conf and win"),
            ("DIR/pg_hba.conf", "who may connect, and how it is proved"),
            ("DIR/base/NAME.db", "a database, an ordinary SQLite file; on a follower anybody may read it"),
            ("DIR/pg_wal", "the log, in segment files"),
            ("DIR/standby.signal", "if it is there, this is a follower, whichever program starts it"),
            ("DIR/postmaster.pid", "the process that serves the directory; pg_ctl reads it"),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("NOTIFY_SOCKET", "where systemd is told that the node is ready, reloads or stops, and its role"),
            ("PGPASSWORD, PGPASSFILE", "the password for the leader; a file of them is safer"),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "it was told to stop, and has stopped cleanly"),
            ("1", "it could not start, or had to give up; standard error says why"),
            ("2", "the command line is wrong, or SIGQUIT came"),
            ("3", "the log cannot be written any more; the next start recovers"),
        ],
    ),
];

/// Of walctl and its commands.
const WALCTL: &[Section] = &[
    (
        "ENVIRONMENT",
        &[(
            "PGHOST, PGPORT, PGUSER, PGPASSWORD, PGPASSFILE",
            "the server to connect to, as libpq reads them",
        )],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "all is well"),
            ("1", "something failed, or was found to be wrong"),
            ("2", "the command line is wrong"),
        ],
    ),
];

/// The closing sections of a command's page.
pub(crate) fn of(command: &Command) -> Roff {
    let page = command.get_display_name().unwrap_or(command.get_name());
    let program = page.split('-').next().unwrap_or(page);
    let mut roff = Roff::new();
    for (heading, entries) in if program == "walctl" { WALCTL } else { SERVER } {
        roff.control("SH", [*heading]);
        for (term, meaning) in *entries {
            roff.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
        }
    }
    let others = ["walsender", "walreceiver", "walctl"].into_iter().filter(|other| *other != page);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(others.map(|other| format!("{other}(1)")).collect::<Vec<_>>().join(", "))]);
    roff
}
