use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::{DataDirectory, NodeError};

/// Options that a restart leaves out, each with its number of values: what creates a directory must not do so again
/// where a disk is missing, and the leader's address is remembered in the settings, which may hold its password.
const LEFT_OUT: [(&str, usize); 4] = [("--init", 0), ("--primary", 1), ("--pgdata", 1), ("-D", 1)];

/// Writes `postmaster.opts` in PostgreSQL's format, which `pg_ctl restart` starts the server again from: the program,
/// and each of its arguments in quotes. The data directory is named by its full path.
pub fn write_options_file(
    directory: &DataDirectory,
    program: &Path,
    arguments: &[String],
) -> Result<(), NodeError> {
    let root = directory.root();
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut line = program.display().to_string();
    let kept = kept(arguments);
    for argument in ["-D", &root.display().to_string()].into_iter().chain(kept) {
        line.push_str(" \"");
        for letter in argument.chars() {
            // a shell reads it
            if matches!(letter, '"' | '\\' | '$' | '`') {
                line.push('\\');
            }
            line.push(letter);
        }
        line.push('"');
    }
    line.push('\n');
    let path = directory.options_file();
    // no sync: the file says how what runs now was started, and is rewritten at every start
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(|e| NodeError::io("write file", &path, e))
}

fn kept(arguments: &[String]) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let left_out = LEFT_OUT.iter().find(|(name, _)| argument == name);
        if let Some((_, values)) = left_out {
            arguments.by_ref().take(*values).for_each(drop);
            continue;
        }
        let with_value = LEFT_OUT.iter().any(|(name, values)| {
            let rest = argument.strip_prefix(name).filter(|_| *values > 0);
            rest.is_some_and(|rest| rest.starts_with('=') || !name.starts_with("--"))
        });
        if !with_value {
            kept.push(argument.as_str());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_gets_what_the_start_got() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let arguments =
            "--init -D data --listen 127.0.0.1:1 -Dother --primary=x --primary y --pgdata=z -c work=$HOME";
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let directory = DataDirectory::new(&root);
        write_options_file(&directory, Path::new("/usr/bin/walreceiver"), &arguments).unwrap();
        let shown = root.display();
        assert_eq!(
            fs::read_to_string(directory.options_file()).unwrap(),
            format!(
                "/usr/bin/walreceiver \"-D\" \"{shown}\" \"--listen\" \"127.0.0.1:1\" \"-c\" \"work=\\$HOME\"\n"
            )
        );
    }
}
