//! The Debian package: made from what was built, installed, a cluster started from it,
//! removed, with the data left alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use walship_tests::{Lab, Output, Port, Process, Session, output_of, program, repository_root, wait_until};

/// Makes the package of this build's programs; uncompressed, as only its size depends on it.
fn build(lab: &Lab) -> PathBuf {
    let built = program("walship-manual").parent().expect("a program lies in a directory").to_owned();
    let mut script = Command::new(repository_root().join("packaging/debian/build.sh"));
    script.arg(built).arg(lab.path().join("out")).env("WALSHIP_DEB_COMPRESSION", "none");
    PathBuf::from(output_of(&mut script).success())
}

/// dpkg on a system of its own below `root`, whose libc is this one's.
fn dpkg(root: &Path, arguments: &[&str]) -> Output {
    for directory in ["var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    let status = root.join("var/lib/dpkg/status");
    if !status.exists() {
        std::fs::write(status, "").unwrap();
    }
    let mut dpkg = Command::new("dpkg");
    dpkg.arg(format!("--root={}", root.display()));
    dpkg.args(["--force-script-chrootless", "--force-depends", "--force-not-root"]);
    output_of(dpkg.args(arguments).env("LC_ALL", "C"))
}

fn owned_by(command: &str, package: &Path) -> Output {
    output_of(Command::new("dpkg-deb").arg(command).arg(package).env("LC_ALL", "C"))
}

#[test]
fn a_cluster_runs_from_it_and_outlives_it() {
    let lab = Lab::new();
    let package = build(&lab);
    let root = lab.path().join("root");
    dpkg(&root, &["--install", &package.to_string_lossy()]).success();
    assert!(dpkg(&root, &["--status", "walship"]).success().contains("Status: install ok installed"));
    assert_eq!(dpkg(&root, &["--verify", "walship"]).success(), "");

    let bin = root.join("usr/bin");
    let data = root.join("var/lib/walship/main");
    std::fs::create_dir_all(data.parent().unwrap()).unwrap();
    output_of(Command::new(bin.join("walctl")).args(["init", "-D"]).arg(&data)).success();
    let port = Port::reserve();
    let serve = || {
        let mut walsender = Command::new(bin.join("walsender"));
        walsender.arg("-D").arg(&data).arg("--listen").arg(format!("127.0.0.1:{}", port.number()));
        walsender.args(["-c", "unix_socket_directories="]);
        let process = Process::spawn("walsender", walsender, &lab.path().join("walsender.log"));
        wait_until("the installed leader accepts connections", || {
            Session::connect(port.number(), "postgres").is_ok()
        });
        process
    };
    let mut leader = serve();
    Session::connect(port.number(), "postgres").unwrap().run("CREATE TABLE t(v); INSERT INTO t VALUES(7)");

    // an upgrade while it runs: the process goes on, the next start has the new program
    dpkg(&root, &["--install", &package.to_string_lossy()]).success();
    assert_eq!(Session::connect(port.number(), "postgres").unwrap().value("SELECT v FROM t"), "7");
    leader.signal(libc::SIGTERM);
    wait_until("it stops", || leader.exited().is_some());
    let mut leader = serve();
    assert_eq!(Session::connect(port.number(), "postgres").unwrap().value("SELECT v FROM t"), "7");
    leader.signal(libc::SIGTERM);
    wait_until("it stops", || leader.exited().is_some());

    dpkg(&root, &["--purge", "walship"]).success();
    for place in ["usr", "etc"] {
        assert!(!root.join(place).exists(), "something stays in {place}");
    }
    assert!(data.join("base/postgres.db").exists(), "the data went with the package");
    assert_eq!(walship_tests::sqlite3(&data.join("base/postgres.db"), "SELECT v FROM t").success(), "7");
}

#[test]
fn it_says_what_it_needs_and_holds_what_debian_expects() {
    let lab = Lab::new();
    let package = build(&lab);
    let name = package.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with(&format!("walship_{}_", env!("CARGO_PKG_VERSION"))), "{name}");
    let control = owned_by("--field", &package).success();
    assert!(!control.contains('@') || control.contains("Maintainer"), "{control}");
    let depends = control.lines().find(|line| line.starts_with("Depends:")).unwrap();
    // every symbol version that the programs ask for is covered
    let needed = output_of(Command::new("objdump").arg("-T").arg(program("walsender"))).success();
    let needed = needed.lines().filter_map(|line| line.split("GLIBC_2.").nth(1));
    let minors = needed.filter_map(|rest| rest.split([')', ' ', '.']).next()?.parse::<u32>().ok());
    let newest = minors.max().expect("it needs a libc");
    let stated = depends.split("libc6 (>= 2.").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    assert!(stated.parse::<u32>().unwrap() >= newest, "{depends}, but 2.{newest} is needed");
    let contents = owned_by("--contents", &package).success();
    for file in [
        "./usr/bin/walsender",
        "./usr/lib/systemd/system/walship-backup@.timer",
        "./usr/share/man/man1/walctl-import.1.gz",
        "./usr/share/zsh/vendor-completions/_walctl",
        "./usr/share/doc/walship/copyright",
        "./etc/walship/",
    ] {
        assert!(contents.lines().any(|line| line.ends_with(file)), "{file} is missing:\n{contents}");
    }
    for line in contents.lines() {
        assert!(line.contains(" root/root "), "not root's: {line}");
        assert!(!line.contains("/opt/") && !line.contains("/usr/local/"), "{line}");
    }
}
