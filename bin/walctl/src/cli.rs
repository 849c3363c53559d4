use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::{Failure, PROGRAM};
use crate::{
    archive, basebackup, check, controldata, export, fence, import, init, promote, restore, rewind, slot,
    status, switchover, user, verifybackup, waldump,
};

/// Looks at walship clusters, their logs and their backups, and moves databases in and out of them.
///
/// Exit status: 0 if all is well; 1 if something failed or was found to be wrong; 2 if the command line is wrong.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, disable_help_flag = true, disable_help_subcommand = true)]
#[command(subcommand_required = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,

    /// Show this help, then exit
    // -h is the host, as in PostgreSQL's programs
    #[arg(long, short = '?', action = ArgAction::Help, global = true)]
    help: Option<bool>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
    Promote(promote::Arguments),
    Rewind(rewind::Arguments),
    Switchover(switchover::Arguments),
    Fence(fence::FenceArguments),
    Unfence(fence::UnfenceArguments),
    Status(status::Arguments),
    Check(check::Arguments),
    Slot(slot::Arguments),
    User(user::Arguments),
    Basebackup(basebackup::Arguments),
    Verifybackup(verifybackup::Arguments),
    Restore(restore::Arguments),
    Archive(archive::Arguments),
    Waldump(waldump::Arguments),
    Controldata(controldata::Arguments),
}

/// The command line.
pub fn command() -> clap::Command {
    CommandLine::command()
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Promote(arguments) => promote::run(&arguments),
        Command::Rewind(arguments) => rewind::run(&arguments),
        Command::Switchover(arguments) => switchover::run(&arguments),
        Command::Fence(arguments) => fence::fence(&arguments),
        Command::Unfence(arguments) => fence::unfence(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Slot(arguments) => slot::run(&arguments),
        Command::User(arguments) => user::run(&arguments),
        Command::Basebackup(arguments) => basebackup::run(&arguments),
        Command::Verifybackup(arguments) => verifybackup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Archive(arguments) => archive::run(&arguments),
        Command::Controldata(arguments) => controldata::run(&arguments),
        Command::Waldump(arguments) => waldump::run(&arguments),
    }
}

/// Reads the command line. Otherwise help was asked for and is printed, or it is wrong,
/// and what is wrong is printed as PostgreSQL's programs do.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, ExitCode> {
    let matches = command().try_get_matches_from(arguments);
    let error = match matches.and_then(|matches| CommandLine::from_arg_matches(&matches)) {
        Ok(line) => return Ok(line.command),
        Err(error) => error,
    };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // nobody is left to tell if standard output is closed
        let _ = error.print();
        return Err(ExitCode::SUCCESS);
    }
    let text = error.render().to_string();
    let message = match error.kind() {
        // all that there is to say of these is in the help
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "no command given".to_owned()
        }
        _ => message_of(&text),
    };
    let usage = Failure::usage(message);
    Err(usage.hint(format!("Try \"{} --help\" for more information.", command_of(&text))).print())
}

/// clap's message without its label and usage, on one line.
fn message_of(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The program and subcommand that clap's usage line names.
fn command_of(text: &str) -> String {
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or(PROGRAM);
    let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    usage.split(' ').take_while(is_word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn messages_are_cut_out_of_claps() {
        let text = "error: the following required arguments were not provided:\n  <FILE>\n  --as <NAME>\n\nUsage: walctl import --as <NAME> <FILE>\n\nFor more\n";
        assert_eq!(
            message_of(text),
            "the following required arguments were not provided: <FILE> --as <NAME>"
        );
        assert_eq!(command_of(text), "walctl import");
        assert_eq!(command_of("error: x\n"), "walctl");
    }
}
