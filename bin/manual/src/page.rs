use std::fs::{create_dir_all, write};
use std::path::Path;

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;

use crate::sections;

/// Writes the page of a program, and one for each of its subcommands: `walctl.1`,
/// `walctl-import.1`.
pub(crate) fn write_all(command: Command, directory: &Path) -> anyhow::Result<()> {
    create_dir_all(directory).with_context(|| format!("could not create {}", directory.display()))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let version = command.get_version().unwrap_or_default().to_owned();
    write_tree(&command, &version, directory)
}

fn write_tree(command: &Command, version: &str, directory: &Path) -> anyhow::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_tree(subcommand, version, directory)?;
    }
    let man = Man::new(command.clone()).manual("walship").source(format!("walship {version}"));
    let path = directory.join(man.get_filename());
    let page = render(command, &man)?;
    write(&path, page).with_context(|| format!("could not write {}", path.display()))
}

fn render(command: &Command, man: &Man) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if command.get_after_help().is_some() || command.get_after_long_help().is_some() {
        man.render_extra_section(&mut page)?;
    }
    sections::of(command).to_writer(&mut page)?;
    Ok(page)
}
