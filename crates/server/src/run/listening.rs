use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use walship_node::{ControlFile, DataDirectory, PidFile, write_options_file};
use walship_settings::{Settings, Typed as _};

use super::Failure;
use super::create::disk_of;
use super::options::parse_listen;
use crate::access::{Access, AccessConfig, default_rules};
use crate::listen::{ListenConfig, ListenError, Listener};
use crate::monitoring::MonitorAddress;

/// Reads who is let in. A cluster without rules gets the default ones, as a file to edit.
pub(super) fn open_access(
    directory: &DataDirectory,
    control: &ControlFile,
    settings: &Settings,
) -> Result<Arc<Access>, Failure> {
    let config = AccessConfig::new(settings, directory.root());
    let own = directory.access_rules();
    if config.hba_file == own && !own.exists() {
        walship_disk::replace_atomically(&*disk_of(control), &own, default_rules().as_bytes())?;
    }
    let access = Access::load(config).map_err(|error| {
        let hint = error.hint();
        Failure { hint, ..Failure::new(error) }
    })?;
    Ok(Arc::new(access))
}

/// Where the settings say to listen.
pub(super) fn listen_config(settings: &Settings, access: &Arc<Access>) -> Result<ListenConfig, Failure> {
    let (addresses, port) = addresses(settings)?;
    let unix_directories = settings.list("unix_socket_directories").into_iter().map(Into::into).collect();
    let authentication_timeout = settings.duration("authentication_timeout");
    let access = Arc::clone(access);
    Ok(ListenConfig { addresses, unix_directories, port, authentication_timeout, access })
}

/// Whether a node with these settings may listen where they say, as far as that is known without doing it.
pub(crate) fn check_listening(settings: &Settings) -> Result<(), Failure> {
    addresses(settings)?;
    monitor_addresses(settings)?;
    Ok(())
}

fn addresses(settings: &Settings) -> Result<(Vec<SocketAddr>, u16), Failure> {
    let port = u16::try_from(settings.integer("port"))
        .map_err(|_| Failure::new(format!("invalid port {}", settings.integer("port"))))?;
    let mut addresses = Vec::new();
    for host in settings.list("listen_addresses") {
        let host = if host == "*" { "0.0.0.0".to_owned() } else { host };
        let resolved = (host.as_str(), port).to_socket_addrs();
        let resolved = resolved
            .map_err(|e| Failure::new(format!("could not translate listen address \"{host}\": {e}")))?;
        for address in resolved {
            check_reach(address, settings)?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    Ok((addresses, port))
}

/// Whether it is allowed to listen there.
fn check_reach(address: SocketAddr, settings: &Settings) -> Result<(), Failure> {
    if address.ip().is_loopback() || settings.bool("ssl") || settings.bool("listen_without_tls") {
        return Ok(());
    }
    Err(Failure::new(format!("refusing to listen on {address} without TLS: it is not a loopback address"))
        .hint(
            "data, and who may read it, would be seen by everybody on the way: set ssl = on with \
         ssl_cert_file and ssl_key_file, or say listen_without_tls = on",
        ))
}

/// Where the settings say that metrics are served. Beyond loopback that is HTTPS, unless
/// listen_without_tls says that it need not be.
pub(super) fn monitor_addresses(settings: &Settings) -> Result<Vec<MonitorAddress>, Failure> {
    let mut addresses = Vec::new();
    for text in settings.list("metrics_listen") {
        let invalid = || {
            Failure::new(format!("invalid address for metrics_listen: \"{text}\""))
                .hint("write it as ADDRESS:PORT, as in 127.0.0.1:9633")
        };
        let (host, port) = parse_listen(&text).ok_or_else(invalid)?;
        let resolved = (host.as_str(), port).to_socket_addrs();
        let resolved = resolved
            .map_err(|e| Failure::new(format!("could not translate metrics_listen \"{text}\": {e}")))?;
        for address in resolved {
            check_reach(address, settings)?;
            let encrypted = !address.ip().is_loopback() && !settings.bool("listen_without_tls");
            addresses.push(MonitorAddress { address, encrypted });
        }
    }
    Ok(addresses)
}

pub(super) fn listen_failure(error: ListenError) -> Failure {
    let hint = error.hint();
    Failure { hint, ..Failure::new(error) }
}

/// What `postmaster.pid` says of this process.
pub(super) fn pid_file(listen: &ListenConfig, listener: &Listener) -> PidFile {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    PidFile {
        pid: std::process::id(),
        started_unix_seconds: started,
        port: listener.addresses().first().map_or(listen.port, SocketAddr::port),
        socket_directory: listen.unix_directories.first().cloned().unwrap_or_default(),
        listen_address: listen.addresses.first().map(|a| a.ip().to_string()).unwrap_or_default(),
    }
}

/// Keeps how this process was started, for `pg_ctl restart`.
pub(super) fn note_command_line(directory: &DataDirectory) -> Result<(), Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::new(format!("could not find out the path of this program: {e}")))?;
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    Ok(write_options_file(directory, &program, &arguments)?)
}
