use std::fs::create_dir_all;
use std::path::Path;

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;

/// Where each shell looks below a prefix's `share`.
const PLACES: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// Writes a program's completions for every shell.
pub(crate) fn write(command: &Command, share: &Path) -> anyhow::Result<()> {
    let program = command.get_name().to_owned();
    for (shell, place) in PLACES {
        let directory = share.join(place);
        create_dir_all(&directory).with_context(|| format!("could not create {}", directory.display()))?;
        let made = clap_complete::generate_to(shell, &mut command.clone(), &program, &directory);
        let made = made.with_context(|| format!("could not write to {}", directory.display()))?;
        if shell == Shell::Bash {
            // bash looks for a file of the program's name, and generate_to adds an ending
            let named = directory.join(&program);
            std::fs::rename(&made, &named).with_context(|| format!("could not write {}", named.display()))?;
        }
    }
    Ok(())
}
