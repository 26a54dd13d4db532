//! Which addresses may be connected to: public unicast, and what the configuration adds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What the configuration allows beside public addresses.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// `[outbound] allow_loopback`.
    pub loopback: bool,
    /// `[outbound] allow_networks`.
    pub networks: Vec<IpNet>,
}

/// An address that must not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {what}, not a public address; {setting} would allow it")]
pub struct AddressRefused {
    /// Which address.
    pub address: IpAddr,
    /// What it is used for.
    pub what: &'static str,
    /// The setting that would allow it.
    pub setting: String,
}

impl Allowed {
    /// Judges an address.
    ///
    /// # Errors
    /// When it is neither public nor allowed.
    pub fn judge(&self, address: IpAddr) -> Result<(), AddressRefused> {
        let embedded = embedded(address);
        if self
            .networks
            .iter()
            .any(|network| network.contains(&address) || network.contains(&embedded))
        {
            return Ok(());
        }
        if self.loopback && embedded.is_loopback() {
            return Ok(());
        }
        let Some(what) = special_use(embedded) else {
            return Ok(());
        };
        let setting = if embedded.is_loopback() {
            "[outbound] allow_loopback = true".to_owned()
        } else {
            format!("[outbound] allow_networks = [\"{}\"]", IpNet::from(embedded))
        };
        Err(AddressRefused {
            address,
            what,
            setting,
        })
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (RFC 4291 §2.5.5.2) or translated by a NAT64 (RFC 6052 §2.1),
/// which networks without IPv4 use for every host.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into()
        }
        _ => address,
    }
}

/// What an address is used for, if it is not plain public unicast.
fn special_use(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => V4
            .iter()
            .find(|(network, _)| network.contains(&v4))
            .map(|(_, what)| *what),
        IpAddr::V6(v6) => V6
            .iter()
            .find(|(network, _)| network.contains(&v6))
            .map(|(_, what)| *what)
            .or_else(|| {
                (!GLOBAL_UNICAST.contains(&v6)).then_some("outside of global unicast (RFC 4291 §2.4)")
            }),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(first: u16, second: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), length)
}

/// The IANA IPv4 Special-Purpose Address Registry, without the blocks that are globally reachable.
const V4: [(Ipv4Net, &str); 16] = [
    (v4(0, 0, 0, 0, 8), "\"this network\" (RFC 791 §3.2)"),
    (v4(10, 0, 0, 0, 8), "private (RFC 1918)"),
    (v4(100, 64, 0, 0, 10), "shared by carriers (RFC 6598)"),
    (v4(127, 0, 0, 0, 8), "loopback (RFC 1122 §3.2.1.3)"),
    (
        v4(169, 254, 0, 0, 16),
        "link-local, where clouds keep their metadata (RFC 3927)",
    ),
    (v4(172, 16, 0, 0, 12), "private (RFC 1918)"),
    (v4(192, 0, 0, 0, 24), "for protocol assignments (RFC 6890)"),
    (v4(192, 0, 2, 0, 24), "for documentation (RFC 5737)"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay (RFC 7526)"),
    (v4(192, 168, 0, 0, 16), "private (RFC 1918)"),
    (v4(198, 18, 0, 0, 15), "for benchmarking (RFC 2544)"),
    (v4(198, 51, 100, 0, 24), "for documentation (RFC 5737)"),
    (v4(203, 0, 113, 0, 24), "for documentation (RFC 5737)"),
    (v4(224, 0, 0, 0, 4), "multicast (RFC 5771)"),
    (v4(255, 255, 255, 255, 32), "broadcast (RFC 919)"),
    (v4(240, 0, 0, 0, 4), "reserved (RFC 1112 §4)"),
];

const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 3);

/// The IANA IPv6 Special-Purpose Address Registry; what is not in 2000::/3 is refused in any case and stands here for its name.
const V6: [(Ipv6Net, &str); 13] = [
    (
        Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
        "loopback (RFC 4291 §2.5.3)",
    ),
    (
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
        "unspecified (RFC 4291 §2.5.2)",
    ),
    (v6(0, 0, 96), "IPv4-compatible (RFC 4291 §2.5.5.1)"),
    (v6(0x64, 0xff9b, 32), "for local NAT64 (RFC 8215)"),
    (v6(0x100, 0, 64), "discard-only (RFC 6666)"),
    (
        v6(0x2001, 0, 23),
        "for protocol assignments, such as Teredo (RFC 2928, RFC 4380)",
    ),
    (v6(0x2001, 0xdb8, 32), "for documentation (RFC 3849)"),
    (v6(0x2002, 0, 16), "6to4 (RFC 7526)"),
    (v6(0x3fff, 0, 20), "for documentation (RFC 9637)"),
    (v6(0xfc00, 0, 7), "unique local (RFC 4193)"),
    (v6(0xfe80, 0, 10), "link-local (RFC 4291 §2.5.6)"),
    (v6(0xfec0, 0, 10), "site-local (RFC 3879)"),
    (v6(0xff00, 0, 8), "multicast (RFC 4291 §2.7)"),
];
