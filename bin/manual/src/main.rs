//! Writes the manual pages and the shells' completions of the three programs, made from
//! their own command lines. Run by packaging/install.sh; not installed itself.
//!
//! ```text
//! walship-manual SHARE
//! ```
//!
//! SHARE is a prefix's `share`: pages go to `man/man1`, completions to where bash, zsh and
//! fish look for them.

mod completion;
mod page;
mod sections;

use std::path::PathBuf;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(share), None) = (arguments.next(), arguments.next()) else {
        bail!("usage: walship-manual SHARE");
    };
    let share = PathBuf::from(share);
    for command in [walsender::command(), walreceiver::command(), walctl::command()] {
        completion::write(&command, &share)?;
        page::write_all(command, &share.join("man/man1"))?;
    }
    Ok(())
}
