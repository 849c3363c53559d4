//! What systemd, or whatever set `NOTIFY_SOCKET`, is told: sd_notify(3). Without that
//! variable nothing is sent.

use sd_notify::NotifyState;

use super::node::Node;
use super::role::Role;

/// The start begins; it may take as long as recovery takes.
pub(super) fn starting(role: Role) {
    tell(&[NotifyState::Status(&format!("{}: recovering", role.name()))]);
}

/// A base backup waits for log.
pub(super) fn waiting(reason: &str) {
    tell(&[NotifyState::Status(reason)]);
}

/// Clients can connect.
pub(super) fn ready(node: &Node) {
    tell(&[NotifyState::Ready, NotifyState::Status(&describe(node))]);
}

/// Reads the settings again, between the two notices that systemd wants around that.
pub(super) fn reload(node: &Node) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
    node.reload_settings();
    ready(node);
}

/// The stop begins.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The role or the timeline has changed.
pub(super) fn role_changed(node: &Node) {
    tell(&[NotifyState::Status(&describe(node))]);
}

/// As `systemctl status` shows it.
fn describe(node: &Node) -> String {
    let timeline = node.control.get().timeline;
    match node.failover.fence() {
        _ if node.is_follower() => format!("follower on timeline {timeline}: takes reads"),
        Some(fence) if node.failover.is_fenced() => {
            format!("leader of timeline {timeline}, fenced: {} leads timeline {}", fence.node, fence.timeline)
        }
        _ => format!("leader of timeline {timeline}: takes writes"),
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "could not notify the service manager");
    }
}
