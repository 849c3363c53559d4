use std::path::PathBuf;
use std::process::Command;

use crate::commands::{Output, output_of};
use crate::programs::{repository_root, target_dir};

/// Where `scripts/install-deps.sh` puts the drivers: under the build directory.
pub(crate) fn driver_dir() -> PathBuf {
    std::env::var_os("WALSHIP_DRIVERS").map_or_else(|| target_dir().join("drivers"), PathBuf::from)
}

/// Runs `tests/drivers/SCRIPT` with the virtual environment's Python against a port.
///
/// # Panics
/// When the environment is not installed.
pub fn python_driver(script: &str, port: u16) -> Output {
    run(driver_dir().join("venv/bin/python"), script, port)
}

/// Runs `tests/drivers/SCRIPT` with Node.js against a port.
///
/// # Panics
/// When the environment is not installed.
pub fn node_driver(script: &str, port: u16) -> Output {
    let modules = driver_dir().join("node/node_modules");
    assert!(modules.exists(), "{} is missing: run \"make install-deps\"", modules.display());
    output_of(
        Command::new("node")
            .arg(repository_root().join("tests/drivers").join(script))
            .arg(port.to_string())
            .env("NODE_PATH", modules),
    )
}

/// Prometheus' own checker of rules and metrics.
///
/// # Panics
/// When it is not installed.
pub fn promtool() -> Command {
    let installed = driver_dir().join("bin/promtool");
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&on_path).map(|directory| directory.join("promtool"));
    let found = std::iter::once(installed).chain(found).find(|path| path.exists());
    Command::new(found.unwrap_or_else(|| panic!("promtool is missing: run \"make install-deps\"")))
}

fn run(interpreter: PathBuf, script: &str, port: u16) -> Output {
    assert!(interpreter.exists(), "{} is missing: run \"make install-deps\"", interpreter.display());
    output_of(
        Command::new(interpreter)
            .arg(repository_root().join("tests/drivers").join(script))
            .arg(port.to_string()),
    )
}
