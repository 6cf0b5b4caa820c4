//! Ports for servers and nodes that are set up on one machine and name each other in their
//! configuration, so that their ports must be known before they listen.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use datapact_core::id::random;

/// Below the ports that Linux (from 32768) and others (from 49152, RFC 6335) give to outgoing
/// connections: one of those may be taken at any moment until the server listens.
const PORTS: Range<u16> = 10_240..32_768;
/// Ports of a block, the first of which marks the block as taken.
const BLOCK: u16 = 16;
const TRIES: usize = 1_000;

/// A block of neighbouring ports on the loopback address that were free when it was reserved, and
/// that no other reservation gets while this one lives.
#[derive(Debug)]
pub struct PortBlock {
    first: u16,
    _mark: TcpListener,
}

impl PortBlock {
    /// How many ports a block gives.
    pub const LENGTH: usize = BLOCK as usize - 1;

    /// Reserves a block at random.
    ///
    /// # Errors
    /// `AddrInUse` if no block is free.
    pub fn reserve() -> io::Result<Self> {
        let blocks = (PORTS.end - PORTS.start) / BLOCK;
        for _ in 0..TRIES {
            let mark = PORTS.start + u16::from_le_bytes(random()) % blocks * BLOCK;
            let Ok(listener) = bind(mark) else { continue };
            let block = Self { first: mark + 1, _mark: listener };
            if block.ports().all(is_free) {
                return Ok(block);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no block of free ports was found"))
    }

    /// Reserves the block whose ports begin at `first` again, if it is still free.
    pub fn again(first: u16) -> Option<Self> {
        Some(Self { _mark: bind(first.checked_sub(1)?).ok()?, first })
    }

    /// The ports, [`PortBlock::LENGTH`] of them.
    pub fn ports(&self) -> Range<u16> {
        self.first..self.first + BLOCK - 1
    }
}

/// Whether a port of the loopback address is free to listen on.
pub fn is_free(port: u16) -> bool {
    bind(port).is_ok()
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn blocks_that_are_reserved_at_once_share_no_port() {
        let blocks: Vec<PortBlock> = (0..50).map(|_| PortBlock::reserve().unwrap()).collect();
        let ports: BTreeSet<u16> = blocks.iter().flat_map(PortBlock::ports).collect();
        assert_eq!(ports.len(), 50 * PortBlock::LENGTH);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }

    #[test]
    fn a_block_is_had_once_until_it_is_given_back() {
        let block = PortBlock::reserve().unwrap();
        assert!(PortBlock::again(block.ports().start).is_none());
    }
}
