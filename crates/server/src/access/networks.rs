use std::net::IpAddr;

use walship_auth::hba::Network;

/// This machine's addresses with the networks that they are in, loopback included; what
/// `samehost` and `samenet` mean.
pub(super) fn own_networks() -> Vec<Network> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::error!(%error, "could not list network interfaces; samehost and samenet match nobody");
        Vec::new()
    });
    let network = |interface: if_addrs::Interface| match interface.addr {
        if_addrs::IfAddr::V4(v4) => Network { address: IpAddr::V4(v4.ip), mask: IpAddr::V4(v4.netmask) },
        if_addrs::IfAddr::V6(v6) => Network { address: IpAddr::V6(v6.ip), mask: IpAddr::V6(v6.netmask) },
    };
    interfaces.into_iter().map(network).collect()
}
