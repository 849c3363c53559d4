use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use walship_server::check::{Area, Finding, Severity, check};

use crate::failure::Failure;

/// Check a data directory and its machine, and say what is wrong and how to mend it
///
/// Looks at the directory, settings, access rules, certificates, file modes, free space, the SQLite files, the versions
/// of SQLite that are about, and other tools on the same files. Changes nothing, and can be run beside a server.
///
/// Exit status: 0 if there is no error; 1 if there is one.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Data directory
    #[arg(short = 'D', long = "pgdata", value_name = "DIR", env = "PGDATA")]
    directory: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Exit with status 1 for warnings too
    #[arg(long)]
    strict: bool,
}

/// Prints what was found.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let findings = check(&arguments.directory);
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if arguments.json {
        let findings: Vec<Value> = findings.iter().map(as_json).collect();
        let directory = arguments.directory.display().to_string();
        println!(
            "{:#}",
            json!({ "directory": directory, "errors": errors, "warnings": warnings, "findings": findings })
        );
    } else {
        findings.iter().for_each(print);
        let areas = Area::ALL.map(Area::name).join(", ");
        println!("{}, {} (looked at {areas})", counted(errors, "error"), counted(warnings, "warning"));
    }
    let shown = arguments.directory.display();
    match (errors, warnings) {
        (0, 0) => Ok(()),
        (0, _) if !arguments.strict => Ok(()),
        (0, _) => Err(Failure::new(format!("{} found in \"{shown}\"", counted(warnings, "warning")))),
        _ => Err(Failure::new(format!("{} found in \"{shown}\"", counted(errors, "error")))),
    }
}

fn print(finding: &Finding) {
    println!("{}: {}: {}", finding.severity.name(), finding.area.name(), finding.message);
    if let Some(mend) = &finding.mend {
        println!("    {mend}");
    }
}

fn as_json(finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.name(),
        "area": finding.area.name(),
        "message": finding.message,
        "mend": finding.mend,
    })
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
