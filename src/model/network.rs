//! Networks, as far as strangers are told apart by them: one party has a whole network to choose addresses from.

use std::net::IpAddr;

/// Bits of IPv4 and of IPv6 that networks of a size have in common.
pub type Size = (u32, u32);

/// One IPv6 host has a /64 to choose from, so the /64 is its address.
pub const HOST: Size = (32, 64);
/// The network of one party, as providers hand them out, then ever larger ones that contain it.
pub const LARGER: [Size; 3] = [(24, 48), (16, 32), (8, 16)];

/// The network of a size that an address belongs to, by its first address.
pub fn within(address: IpAddr, (v4_bits, v6_bits): Size) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            IpAddr::V4((u32::from(v4) & u32::MAX.checked_shl(32 - v4_bits).unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            IpAddr::V6((u128::from(v6) & u128::MAX.checked_shl(128 - v6_bits).unwrap_or(0)).into())
        }
    }
}

/// The network of the party that has an address.
pub fn of(address: IpAddr) -> IpAddr {
    let [party, ..] = LARGER;
    within(address, party)
}

/// The network of a party by its first address, as people write it: `192.0.2.0/24`.
pub fn in_words(network: IpAddr) -> String {
    let [(v4_bits, v6_bits), ..] = LARGER;
    let bits = if network.is_ipv4() { v4_bits } else { v6_bits };
    format!("{network}/{bits}")
}
