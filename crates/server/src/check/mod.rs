//! What is wrong with a data directory, its settings and its machine, and how to mend it: before a start refuses it,
//! or before it goes wrong at night. Looks only; nothing is changed, and a running node is not disturbed.
//!
//! Each file looks at one thing and adds [`Finding`]s; [`check`] goes through them all.

mod access;
mod databases;
mod directory;
mod finding;
mod programs;
mod settings;
mod space;

pub use finding::{Area, Finding, Severity};

use std::path::Path;

use walship_node::{ControlFile, DataDirectory};

use crate::run::{Program, StartOptions, load_settings};

/// Everything that there is to say of the cluster in `directory`, the worst first within each area.
pub fn check(directory: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = DataDirectory::new(directory);
    let control = match ControlFile::read(&root) {
        Ok(control) => control,
        Err(error) => {
            let fix = error.hint();
            findings.push(Finding::error(Area::Directory, error).maybe_mend(fix));
            return findings;
        }
    };
    directory::check(&root, &control, &mut findings);
    let program = if root.standby_signal().exists() { Program::WalReceiver } else { Program::WalSender };
    let options = StartOptions::in_directory(program, directory);
    match load_settings(&options, &root, &control) {
        Ok(settings) => {
            settings::check(&settings, program, &mut findings);
            access::check(&settings, &root, &mut findings);
            space::check(&settings, &root, &mut findings);
        }
        Err(failure) => {
            for (message, hint) in failure.each() {
                let finding = Finding::error(Area::Settings, message);
                findings.push(finding.maybe_mend(hint.map(str::to_owned)));
            }
        }
    }
    databases::check(&root, &control, &mut findings);
    programs::check(&root, &mut findings);
    findings
}
