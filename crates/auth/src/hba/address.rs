use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses of one family: those that agree with `address` where `mask` has ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Any address of the range.
    pub address: IpAddr,
    /// Of the same family; need not be contiguous.
    pub mask: IpAddr,
}

/// From where a client may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Anywhere.
    All,
    /// From one of this machine's own addresses.
    SameHost,
    /// From a network that this machine is in.
    SameNet,
    /// From that range.
    Network(Network),
}

impl Network {
    /// Whether the range has that address. No address of one family is in a range of the other.
    pub fn contains(&self, client: IpAddr) -> bool {
        match (self.address, self.mask, client) {
            (IpAddr::V4(network), IpAddr::V4(mask), IpAddr::V4(client)) => {
                (network.to_bits() ^ client.to_bits()) & mask.to_bits() == 0
            }
            (IpAddr::V6(network), IpAddr::V6(mask), IpAddr::V6(client)) => {
                (network.to_bits() ^ client.to_bits()) & mask.to_bits() == 0
            }
            _ => false,
        }
    }

    /// The range that `address/bits` means; `None` where the family has not that many bits.
    pub fn cidr(address: IpAddr, bits: u32) -> Option<Network> {
        let mask = match address {
            IpAddr::V4(_) if bits <= 32 => {
                IpAddr::V4(Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits).unwrap_or(0)))
            }
            IpAddr::V6(_) if bits <= 128 => {
                IpAddr::V6(Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - bits).unwrap_or(0)))
            }
            _ => return None,
        };
        Some(Network { address, mask })
    }
}

impl Address {
    /// Whether a client's address is meant. `own` are this machine's addresses and networks.
    pub(super) fn matches(&self, client: IpAddr, own: &[Network]) -> bool {
        match self {
            Address::All => true,
            Address::SameHost => own.iter().any(|network| network.address == client),
            Address::SameNet => own.iter().any(|network| network.contains(client)),
            Address::Network(network) => network.contains(client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_their_mask_says() {
        let network = |address: &str, bits| Network::cidr(address.parse().unwrap(), bits).unwrap();
        let has = |network: Network, client: &str| network.contains(client.parse().unwrap());
        assert!(has(network("10.1.2.3", 8), "10.9.9.9"));
        assert!(!has(network("10.1.2.3", 32), "10.1.2.4"));
        assert!(has(network("0.0.0.0", 0), "1.2.3.4") && !has(network("0.0.0.0", 0), "::1"));
        assert!(has(network("fe80::", 10), "fe80::1") && !has(network("fe80::", 64), "fe80:0:0:1::1"));
        assert_eq!(Network::cidr("1.2.3.4".parse().unwrap(), 33), None);
        assert_eq!(Network::cidr("::".parse().unwrap(), 129), None);
    }
}
