use std::path::{Path, PathBuf};

/// The top of the source tree.
pub fn repository_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The directory that cargo builds into, of the profile that this program was built
/// with: `target/debug` or `target/release`.
fn profile_dir() -> PathBuf {
    let me = std::env::current_exe().expect("the path of the running program");
    let mut dir = me.parent().expect("a program lies in a directory").to_path_buf();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir
}

/// Where things that are made once and kept between runs belong (`target/`).
pub fn target_dir() -> PathBuf {
    let mut dir = profile_dir();
    dir.pop();
    dir
}

/// The path of one of our own programs, built with the same profile as this one.
///
/// # Panics
/// When it was not built, saying how to.
pub fn program(name: &str) -> PathBuf {
    let path = profile_dir().join(name);
    assert!(
        path.exists(),
        "{} is not built: run \"make test\", or \"cargo build --workspace --bins\" first",
        path.display()
    );
    path
}

/// The path of one of PostgreSQL's programs: Debian keeps the server's in a directory
/// of the version, outside of PATH; 15 is preferred when there are several.
///
/// # Panics
/// When it is not installed, saying how to install it.
pub fn postgres_program(name: &str) -> PathBuf {
    let versions = Path::new("/usr/lib/postgresql");
    let mut found: Vec<PathBuf> = std::fs::read_dir(versions)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    let preferred = versions.join("15/bin").join(name);
    if preferred.exists() {
        return preferred;
    }
    let on_path = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|dir| dir.join(name))
        .find(|path| path.exists());
    found
        .pop()
        .or(on_path)
        .unwrap_or_else(|| panic!("PostgreSQL's {name} is not installed: run \"make install-deps\""))
}
