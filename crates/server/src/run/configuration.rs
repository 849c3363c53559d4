use walship_node::{ControlFile, DataDirectory};
use walship_settings::{Override, Settings, load};

use super::node::Node;
use super::options::parse_listen;
use super::{Failure, StartOptions};
use crate::access::{AccessConfig, AccessError};

/// What `SHOW server_version` says: 15, because older tools refuse newer servers.
pub(crate) const SERVER_VERSION: &str = concat!("15.18 (walship ", env!("CARGO_PKG_VERSION"), ")");

/// Reads the settings of a data directory: defaults that depend on the program and
/// facts of the cluster, then the files, then the command line.
pub(crate) fn load_settings(
    options: &StartOptions,
    directory: &DataDirectory,
    control: &ControlFile,
) -> Result<Settings, Failure> {
    let mut base = Settings::defaults();
    let root = directory.root();
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let facts = [
        ("port", options.program.default_port().to_string()),
        ("data_directory", root.display().to_string()),
        ("data_directory_mode", format!("{:04o}", control.directory_mode)),
        ("wal_segment_size", format!("{}B", control.segment_size.bytes())),
        ("wal_format_version", walship_wal::FORMAT_VERSION.to_string()),
        ("server_version", SERVER_VERSION.to_owned()),
    ];
    for (name, value) in facts {
        base.set_fact(name, &value).map_err(|e| Failure::new(e).hint("this is a defect of walship"))?;
    }
    let overrides = overrides(options)?;
    Ok(load(root.as_path(), &overrides, base)?)
}

fn overrides(options: &StartOptions) -> Result<Vec<Override>, Failure> {
    let mut overrides = Vec::new();
    for text in &options.settings {
        let parsed = Override::parse(text).ok_or_else(|| {
            Failure::new(format!("invalid argument for -c: \"{text}\"")).hint("write it as -c name=value")
        })?;
        overrides.push(parsed);
    }
    if let Some(text) = &options.listen {
        let (address, port) = parse_listen(text).ok_or_else(|| {
            Failure::new(format!("invalid argument for --listen: \"{text}\""))
                .hint("write it as --listen ADDRESS:PORT, as in --listen 127.0.0.1:5433")
        })?;
        overrides.push(Override { name: "listen_addresses".to_owned(), value: address });
        overrides.push(Override { name: "port".to_owned(), value: port.to_string() });
    }
    if let Some(text) = &options.metrics_listen {
        overrides.push(Override { name: "metrics_listen".to_owned(), value: text.clone() });
    }
    let remembered = [("primary_conninfo", &options.primary), ("primary_slot_name", &options.slot)];
    for (name, value) in remembered {
        if let Some(value) = value {
            overrides.push(Override { name: name.to_owned(), value: value.clone() });
        }
    }
    Ok(overrides)
}

impl Node {
    /// Reads the settings files again; what changed is in force from now on.
    pub(crate) fn reload_settings(&self) -> Option<walship_settings::Reload> {
        match load_settings(&self.options, &self.directory, &self.control.get()) {
            Ok(mut loaded) => {
                let fact = if self.is_read_only() { "on" } else { "off" };
                if let Err(error) = loaded.set_fact("in_hot_standby", fact) {
                    tracing::error!(%error, "could not reload the settings");
                    return None;
                }
                let rule = self.senders.synchronous().names();
                let reload = walship_settings::reload(&self.settings, loaded);
                crate::logging::set_levels(&*self.settings());
                self.reload_access();
                *self.settings_loaded.lock() = walship_types::Timestamp::now();
                self.judge_by_settings();
                self.archiver.poke();
                if self.senders.synchronous().names() != rule {
                    self.warn_of_missing_names();
                }
                self.delay_by_settings();
                tracing::info!(event = "reload", "settings were read again");
                Some(reload)
            }
            Err(failure) => {
                for (error, hint) in failure.each() {
                    tracing::error!(
                        error,
                        hint,
                        "settings files have errors; unchanged settings stay in force"
                    );
                }
                None
            }
        }
    }

    /// Reads the access rules and TLS files again; of what has mistakes, the former stays.
    fn reload_access(&self) {
        for error in self.access.reload(AccessConfig::new(&self.settings(), self.directory.root())) {
            let hint = error.hint();
            let kept = match error {
                AccessError::Tls(_) => "TLS was not reloaded",
                AccessError::Read { .. } | AccessError::Rules { .. } => "pg_hba.conf was not reloaded",
            };
            tracing::error!(event = "reload_failed", %error, hint, "{kept}");
        }
    }
}
