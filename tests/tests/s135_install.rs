//! What "make install" places works, is described by pages and completions that are made
//! from the command lines, and goes without a trace.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use walship_tests::{Lab, Output, output_of, program, repository_root};

/// The directory with the programs that this build made.
fn built() -> PathBuf {
    program("walship-manual").parent().expect("a program lies in a directory").to_owned()
}

fn script(name: &str, arguments: &[&Path]) -> Output {
    output_of(Command::new(repository_root().join("packaging").join(name)).args(arguments))
}

fn install(prefix: &Path, dest: &Path) {
    assert_eq!(script("install.sh", &[&built(), prefix, dest]).success(), "");
}

/// Files below a directory, relative to it.
fn files(root: &Path) -> BTreeSet<String> {
    let listed = output_of(Command::new("find").arg(root).args(["-type", "f", "-printf", "%P\n"]));
    listed.success().lines().map(str::to_owned).collect()
}

/// The pages that the programs' own help says there are.
fn pages_by_help(bin: &Path) -> BTreeSet<String> {
    fn of(program: &Path, command: &[&str], pages: &mut BTreeSet<String>) {
        let help = output_of(Command::new(program).args(command).arg("--help")).success();
        let name = program.file_name().unwrap().to_string_lossy();
        pages.insert([&[&*name][..], command].concat().join("-"));
        let commands = help.split_once("\nCommands:\n").map_or("", |(_, commands)| commands);
        for line in commands.lines().take_while(|line| !line.is_empty()) {
            let word = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
            if let Some(word) = word.and_then(|rest| rest.split(' ').next()) {
                of(program, &[command, &[word]].concat(), pages);
            }
        }
    }
    let mut pages = BTreeSet::new();
    for name in ["walsender", "walreceiver", "walctl"] {
        of(&bin.join(name), &[], &mut pages);
    }
    pages
}

#[test]
fn it_is_placed_and_removed_without_a_trace() {
    let lab = Lab::new();
    let dest = lab.path().join("dest");
    let prefix = Path::new("/opt/walship");
    install(prefix, &dest);
    let placed = files(&dest);
    for file in [
        "opt/walship/bin/walsender",
        "opt/walship/bin/walreceiver",
        "opt/walship/bin/walctl",
        "opt/walship/libexec/walship/nightly-backup.sh",
        "opt/walship/share/man/man1/walsender.1",
        "opt/walship/share/bash-completion/completions/walctl",
        "opt/walship/share/zsh/site-functions/_walctl",
        "opt/walship/share/fish/vendor_completions.d/walctl.fish",
        "opt/walship/share/doc/walship/durability.md",
        "etc/systemd/system/walsender@.service",
    ] {
        assert!(placed.contains(file), "{file} is missing: {placed:#?}");
    }
    let version = output_of(Command::new(dest.join("opt/walship/bin/walctl")).arg("--version")).success();
    assert_eq!(version, format!("walctl {}", env!("CARGO_PKG_VERSION")));
    // no unit, no script knows where it was built or staged
    for file in placed.iter().filter(|file| !file.contains("/bin/")) {
        let text = std::fs::read_to_string(dest.join(file)).unwrap();
        for place in
            [&*dest.to_string_lossy(), &*repository_root().to_string_lossy(), "@BINDIR@", "@LIBEXECDIR@"]
        {
            assert!(!text.contains(place), "{file} names {place}");
        }
    }
    // again, over itself; then away, but for what others have put there
    install(prefix, &dest);
    assert_eq!(files(&dest), placed);
    let own = dest.join("etc/systemd/system/mine.service");
    std::fs::write(&own, "[Unit]\n").unwrap();
    assert_eq!(script("uninstall.sh", &[prefix, &dest]).success(), "");
    assert_eq!(files(&dest), BTreeSet::from(["etc/systemd/system/mine.service".to_owned()]));
    assert!(!dest.join("opt").exists(), "empty directories stay");
    let again = script("uninstall.sh", &[prefix, &dest]).failure();
    assert!(again.contains("nothing is installed under"), "{again}");
}

#[test]
fn what_was_not_built_is_not_installed_in_part() {
    let lab = Lab::new();
    let dest = lab.path().join("dest");
    let nothing = lab.path().join("nothing");
    let refused = script("install.sh", &[&nothing, Path::new("/usr"), &dest]).failure();
    assert!(refused.contains("walsender is missing: run \"make build\" first"), "{refused}");
    let relative = script("install.sh", &[&built(), Path::new("here"), &dest]).failure();
    assert!(relative.contains("PREFIX must be an absolute path, \"here\" is not"), "{relative}");
    assert!(!dest.exists());
}

#[test]
fn every_command_has_a_page_that_man_shows() {
    let lab = Lab::new();
    install(Path::new("/usr"), lab.path());
    let man = lab.path().join("usr/share/man/man1");
    let pages: BTreeSet<String> =
        files(&man).iter().map(|file| file.strip_suffix(".1").expect("section 1").to_owned()).collect();
    assert_eq!(pages, pages_by_help(&lab.path().join("usr/bin")));
    assert!(pages.len() > 15, "{pages:?}");
    for page in &pages {
        let mut show = Command::new("man");
        show.args(["--warnings", "--local-file"]).arg(man.join(format!("{page}.1")));
        let shown = output_of(show.env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8"));
        assert_eq!(shown.stderr, "", "{page}");
        let text = shown.success();
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"] {
            assert!(text.lines().any(|line| line == heading), "{page} has no {heading}:\n{text}");
        }
    }
    let page = std::fs::read_to_string(man.join("walreceiver.1")).unwrap();
    assert!(page.contains(r"\fB\-\-auto\-rewind\fR") && page.contains("standby.signal"), "{page}");
}

#[test]
fn shells_complete_commands_and_flags() {
    let lab = Lab::new();
    install(Path::new("/usr"), lab.path());
    let share = lab.path().join("usr/share");
    let complete = |words: &str| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _walctl walctl \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            share.join("bash-completion/completions/walctl").display()
        );
        output_of(Command::new("bash").args(["--norc", "-c", &script])).success()
    };
    assert_eq!(complete("walctl ver"), "verifybackup");
    assert_eq!(complete("walctl rewind --dry"), "--dry-run");
    for (shell, file) in
        [("bash", "bash-completion/completions/walsender"), ("sh", "zsh/site-functions/_walsender")]
    {
        let text = std::fs::read_to_string(share.join(file)).unwrap();
        assert!(text.contains("--wal-segment-size"), "{shell}: {text}");
    }
}
