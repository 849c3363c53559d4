use walship_protocol::SessionAttributes;

use crate::Connection;

/// What is asked for when no host is the preferred one.
pub(crate) fn relaxed(wanted: SessionAttributes) -> Option<SessionAttributes> {
    (wanted == SessionAttributes::PreferStandby).then_some(SessionAttributes::Any)
}

/// Why the server will not do, in libpq's words. Servers since PostgreSQL 14 report both
/// parameters at start; one that does not is taken for a leader.
pub(crate) fn rejection(connection: &Connection, wanted: SessionAttributes) -> Option<&'static str> {
    let on = |name: &str| connection.parameter(name) == Some("on");
    let standby = on("in_hot_standby");
    let read_only = standby || on("default_transaction_read_only");
    match wanted {
        SessionAttributes::ReadWrite if read_only => Some("session is read-only"),
        SessionAttributes::ReadOnly if !read_only => Some("session is not read-only"),
        SessionAttributes::Primary if standby => Some("server is in hot standby mode"),
        SessionAttributes::Standby | SessionAttributes::PreferStandby if !standby => {
            Some("server is not in hot standby mode")
        }
        _ => None,
    }
}
