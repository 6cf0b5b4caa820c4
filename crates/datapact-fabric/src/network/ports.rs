//! The ports of a network: neighbours, for a channel's configuration names its orderers' and peers' ports for good.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use datapact_core::id::random;

/// Below the ports that systems give to outgoing connections: one of those may be taken before a node listens.
const PORTS: Range<u16> = 10_240..32_768;
/// Ports of a block. Whoever listens on the first has reserved the block; servers' blocks begin at the same ports.
const BLOCK: u16 = 16;
const TRIES: usize = 1_000;

/// How many ports a block gives.
pub(super) const LENGTH: u16 = BLOCK - 1;

/// A block that no other reservation gets while this one lives.
#[derive(Debug)]
pub(super) struct PortBlock {
    first: u16,
    _mark: TcpListener,
}

impl PortBlock {
    /// A block that is free, at random.
    pub(super) fn reserve() -> Option<Self> {
        let blocks = (PORTS.end - PORTS.start) / BLOCK;
        (0..TRIES).find_map(|_| {
            let mark = PORTS.start + u16::from_le_bytes(random()) % blocks * BLOCK;
            let block = Self { _mark: bind(mark)?, first: mark + 1 };
            (block.first..block.first + LENGTH).all(is_free).then_some(block)
        })
    }

    /// The block whose ports begin at `first` again, if nobody else has reserved it meanwhile.
    pub(super) fn again(first: u16) -> Option<Self> {
        Some(Self { _mark: bind(first.checked_sub(1)?)?, first })
    }

    /// The lowest port.
    pub(super) fn first(&self) -> u16 {
        self.first
    }
}

/// Whether nobody listens on a port.
pub(super) fn is_free(port: u16) -> bool {
    bind(port).is_some()
}

fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_block_is_had_once_until_it_is_given_back() {
        let block = PortBlock::reserve().unwrap();
        let first = block.first();
        assert!(PortBlock::again(first).is_none());
        assert!(PORTS.contains(&first) && PORTS.contains(&(first + LENGTH - 1)));
    }
}
