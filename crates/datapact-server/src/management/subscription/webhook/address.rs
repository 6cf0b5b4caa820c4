//! Which addresses a webhook may lead to: global ones, and what the operator allows beyond.

use std::net::IpAddr;

use crate::config::Network;

/// IPv4 addresses that are not of the global Internet (IANA's special-purpose registry, RFC 6890).
const NOT_GLOBAL_V4: &[Network] = &[
    Network::v4(0, 0, 0, 0, 8),       // this network
    Network::v4(10, 0, 0, 0, 8),      // private
    Network::v4(100, 64, 0, 0, 10),   // shared by carriers
    Network::v4(127, 0, 0, 0, 8),     // loopback
    Network::v4(169, 254, 0, 0, 16),  // link-local, and the metadata services of clouds
    Network::v4(172, 16, 0, 0, 12),   // private
    Network::v4(192, 0, 0, 0, 24),    // IETF protocols
    Network::v4(192, 0, 2, 0, 24),    // documentation
    Network::v4(192, 88, 99, 0, 24),  // 6to4 relays, given up
    Network::v4(192, 168, 0, 0, 16),  // private
    Network::v4(198, 18, 0, 0, 15),   // benchmarks
    Network::v4(198, 51, 100, 0, 24), // documentation
    Network::v4(203, 0, 113, 0, 24),  // documentation
    Network::v4(224, 0, 0, 0, 4),     // multicast
    Network::v4(240, 0, 0, 0, 4),     // reserved, broadcast
];

/// The only IPv6 addresses that are given out for the global Internet (RFC 4291).
const GLOBAL_V6: Network = Network::v6(0x2000, 0, 3);

/// What of these is not.
const NOT_GLOBAL_V6: &[Network] = &[
    Network::v6(0x2001, 0, 23),      // IETF protocols, Teredo, ORCHID
    Network::v6(0x2001, 0x0db8, 32), // documentation
    Network::v6(0x2002, 0, 16),      // 6to4: an IPv4 address in disguise
    Network::v6(0x3fff, 0, 20),      // documentation
];

/// Whether `address` is of the global Internet.
pub(crate) fn is_global(address: IpAddr) -> bool {
    // An IPv4 address in IPv6 clothes is reached as what it is.
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => !NOT_GLOBAL_V4.iter().any(|network| network.contains(v4)),
        v6 @ IpAddr::V6(_) => {
            GLOBAL_V6.contains(v6) && !NOT_GLOBAL_V6.iter().any(|network| network.contains(v6))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_global_addresses_are_global() {
        let global = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
        ];
        for address in global {
            assert!(is_global(address.parse().unwrap()), "{address}");
        }
        let not_global = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in not_global {
            assert!(!is_global(address.parse().unwrap()), "{address}");
        }
    }
}
