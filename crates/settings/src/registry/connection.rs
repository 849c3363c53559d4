use crate::Unit::{Milliseconds, Seconds};
use crate::definition::{Category, Context, Definition};

const PLACES: Category = Category("File Locations");
const CONNECTION: Category = Category("Connections and Authentication / Connection Settings");
const AUTHENTICATION: Category = Category("Connections and Authentication / Authentication");
const TLS: Category = Category("Connections and Authentication / SSL");

pub(super) const SETTINGS: &[Definition] =
    &[
        PLACES.text("data_directory", "").at(Context::Internal).about("the server's data directory"),
        PLACES.text("config_file", "").at(Context::Internal).about("the server's main configuration file"),
        PLACES
            .text("hba_file", "pg_hba.conf")
            .at(Context::Postmaster)
            .about("the file that says who may connect from where; relative to the data directory"),
        CONNECTION.text("listen_addresses", "127.0.0.1").at(Context::Postmaster).about(
            "the host names or IP addresses to listen on, separated by commas; empty for Unix sockets only",
        ),
        CONNECTION
            .bool("listen_without_tls", "off")
            .at(Context::Postmaster)
            .about("whether addresses beyond loopback are listened on although ssl is off"),
        CONNECTION.int("port", "5433", 1, 65535).at(Context::Postmaster).about("the TCP port to listen on"),
        CONNECTION
            .text("unix_socket_directories", "/tmp")
            .at(Context::Postmaster)
            .about("the directories in which Unix sockets are created, separated by commas; empty for none"),
        CONNECTION
            .text("unix_socket_group", "")
            .at(Context::Postmaster)
            .about("the group that owns the Unix sockets, by name or number; empty for the server's own"),
        CONNECTION
            .mode("unix_socket_permissions", "0777")
            .at(Context::Postmaster)
            .about("the permissions of the Unix sockets"),
        CONNECTION
            .int("max_connections", "100", 1, 262_143)
            .at(Context::Postmaster)
            .about("the most connections at the same time, replication connections not counted"),
        CONNECTION
            .int("superuser_reserved_connections", "3", 0, 262_143)
            .at(Context::Postmaster)
            .about("how many of max_connections are kept for superusers"),
        CONNECTION.int("tcp_keepalives_idle", "0", 0, 2_147_483_647).unit(Seconds).about(
            "the time between TCP keepalives on an idle connection; 0 leaves it to the operating system",
        ),
        CONNECTION.int("tcp_keepalives_interval", "0", 0, 2_147_483_647).unit(Seconds).about(
            "the time between TCP keepalives that are not answered; 0 leaves it to the operating system",
        ),
        CONNECTION.int("tcp_keepalives_count", "0", 0, 2_147_483_647).about(
            "how many TCP keepalives may be lost before a connection is; 0 leaves it to the operating system",
        ),
        CONNECTION
            .int("tcp_user_timeout", "0", 0, 2_147_483_647)
            .unit(Milliseconds)
            .about("how long sent data may stay unacknowledged; 0 leaves it to the operating system"),
        CONNECTION
            .int("client_connection_check_interval", "0", 0, 2_147_483_647)
            .unit(Milliseconds)
            .about("how often a running statement looks whether its client is still there; 0 disables"),
        AUTHENTICATION
            .int("authentication_timeout", "1min", 1, 600)
            .unit(Seconds)
            .at(Context::Sighup)
            .about("the longest that a client may take to get through start-up and authentication"),
        AUTHENTICATION
            .int("authentication_failure_delay", "500ms", 0, 60_000)
            .unit(Milliseconds)
            .at(Context::Sighup)
            .about("how long a client waits for the answer that its password is wrong"),
        AUTHENTICATION
            .one_of("password_encryption", "scram-sha-256", &["scram-sha-256"])
            .about("how passwords are stored"),
        TLS.bool("ssl", "off").at(Context::Sighup).about("whether TLS connections are accepted"),
        TLS.text("ssl_cert_file", "server.crt")
            .at(Context::Sighup)
            .about("the file with the server's certificate"),
        TLS.text("ssl_key_file", "server.key")
            .at(Context::Sighup)
            .about("the file with the server's private key"),
        TLS.text("ssl_ca_file", "")
            .at(Context::Sighup)
            .about("the file with the authorities that sign client certificates"),
        TLS.text("ssl_crl_file", "").at(Context::Sighup).about("the file with revoked client certificates"),
        TLS.one_of("ssl_min_protocol_version", "TLSv1.2", &["TLSv1.2", "TLSv1.3"])
            .at(Context::Sighup)
            .about("the oldest version of TLS that is accepted"),
    ];
