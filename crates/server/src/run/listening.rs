use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::{SystemTime, UNIX_EPOCH};

use walship_node::{DataDirectory, PidFile, write_options_file};
use walship_settings::{Settings, Typed as _};

use super::Failure;
use crate::listen::{ListenConfig, ListenError, Listener};

/// Where the settings say to listen.
pub(super) fn listen_config(settings: &Settings) -> Result<ListenConfig, Failure> {
    let port = u16::try_from(settings.integer("port"))
        .map_err(|_| Failure::new(format!("invalid port {}", settings.integer("port"))))?;
    let mut addresses = Vec::new();
    for host in settings.list("listen_addresses") {
        let resolved = (host.as_str(), port).to_socket_addrs();
        let resolved = resolved
            .map_err(|e| Failure::new(format!("could not translate listen address \"{host}\": {e}")))?;
        for address in resolved {
            if !is_loopback(address.ip()) {
                return Err(Failure::new(format!("refusing to listen on {address}: it is not a loopback address"))
                    .hint("there is no authentication yet: anyone who can connect could read and write everything; listen on 127.0.0.1, ::1 or a Unix socket"));
            }
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    let unix_directories = settings.list("unix_socket_directories").into_iter().map(Into::into).collect();
    let authentication_timeout = settings.duration("authentication_timeout");
    Ok(ListenConfig { addresses, unix_directories, port, authentication_timeout })
}

fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
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
