use walship_settings::Typed as _;
use walship_types::Lsn;

use super::Host;
use crate::monitoring::{Monitored, MonitoringSource};

impl MonitoringSource for Host {
    fn monitored(&self) -> Monitored {
        let settings = self.settings();
        let count = |name| settings.count(name) as u64;
        let name = settings.text("cluster_name");
        let receiver = self.receiver.get();
        let has_heard = self.is_follower() && receiver.latest_end != Lsn::INVALID;
        let certificate = self.access.tls().and_then(|tls| tls.certificate);
        Monitored {
            name: if name.is_empty() { self.options.program.name().to_owned() } else { name },
            port: settings.integer("port"),
            commit_flush: self.commit_waits.flush.get(),
            commit_followers: self.commit_waits.followers.get(),
            connections_max: count("max_connections"),
            senders_max: count("max_wal_senders"),
            slots_max: count("max_replication_slots"),
            leader_silent: has_heard.then(|| self.failover.silence()),
            certificate_expires: certificate.map(|certificate| certificate.not_after.into()),
            receiver_error: receiver.last_error,
        }
    }
}
