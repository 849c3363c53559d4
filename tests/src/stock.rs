use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::{Output, output_of};
use crate::lab::Lab;
use crate::node::Node;
use crate::process::Process;
use crate::programs::postgres_program;

/// One of PostgreSQL's replication programs, told to connect to `port`, run in the test's
/// directory.
pub fn stock_command(lab: &Lab, name: &str, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(postgres_program(name));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()]);
    command.args(arguments).current_dir(lab.path());
    command
}

/// Runs such a program to its end.
pub fn stock(lab: &Lab, name: &str, node: &Node, arguments: &[&str]) -> Output {
    output_of(&mut stock_command(lab, name, node.port(), arguments))
}

/// Starts such a program; its output goes to `NAME.log`.
pub fn spawn_stock(lab: &Lab, name: &str, node: &Node, arguments: &[&str]) -> Process {
    let log = lab.path().join(format!("{name}.log"));
    Process::spawn(name, stock_command(lab, name, node.port(), arguments), &log)
}

/// Runs the stock `pg_verifybackup` on a directory, without any flag.
pub fn pg_verifybackup(directory: &Path) -> Output {
    output_of(Command::new(postgres_program("pg_verifybackup")).arg(directory))
}

/// Unpacks the tar files of a backup in `directory` into a new directory of that name with
/// `-unpacked` behind it: `base.tar*` there, `pg_wal.tar*` into its `pg_wal`.
///
/// # Panics
/// When there is none, or tar fails.
pub fn unpack(directory: &Path) -> PathBuf {
    let target = PathBuf::from(format!("{}-unpacked", directory.display()));
    std::fs::create_dir(&target).expect("create the directory to unpack to");
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .expect("list the backup")
        .map(|entry| entry.expect("list the backup").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.iter().any(|name| name.starts_with("base.tar")), "no base.tar in {names:?}");
    for name in names {
        let file = directory.join(&name);
        let into = if name.starts_with("base.tar") {
            target.clone()
        } else if name.starts_with("pg_wal.tar") {
            target.join("pg_wal")
        } else {
            std::fs::copy(&file, target.join(&name)).expect("copy the manifest");
            continue;
        };
        let mut tar = Command::new("tar");
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("gz") => tar.arg("--gzip"),
            Some("lz4") => tar.args(["--use-compress-program", "lz4"]),
            Some("zst") => tar.args(["--use-compress-program", "zstd"]),
            _ => &mut tar,
        };
        output_of(tar.arg("-xf").arg(file).arg("-C").arg(into)).success();
    }
    target
}
