//! walctl: looks at walship clusters, their logs and their backups, and moves databases
//! in and out of them.
//!
//! The command line is a library, so that the manual and the completions are made from it.

mod archive;
mod basebackup;
mod byte_size;
mod candidates;
mod check;
mod cli;
mod clock;
mod connection;
mod controldata;
mod export;
mod failure;
mod fence;
mod import;
mod init;
mod progress;
mod promote;
mod restore;
mod rewind;
mod slot;
mod status;
mod switchover;
mod table;
mod user;
mod verifybackup;
mod waldump;

use std::process::ExitCode;

pub use cli::command;

/// Reads the command line and does what it says; the exit status.
pub fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(command) => cli::run(command).map_or_else(|failure| failure.print(), |()| ExitCode::SUCCESS),
        Err(status) => status,
    }
}
