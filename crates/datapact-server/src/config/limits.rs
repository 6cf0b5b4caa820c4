//! What callers may take of a server, and how long they may take for it.

use std::time::Duration;

use serde::Deserialize;

/// The most that callers may take at once or in a second. Beyond it, a connection ends, or a call
/// is answered with `busy`; nothing that others are doing is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at one listener.
    pub connections: usize,
    /// Connections of one address that shows no certificate: at the public listener, and during
    /// the handshake. Of IPv6 a network of 64 bits counts as one address.
    pub connections_of_address: usize,
    /// Connections of one identity.
    pub connections_of_identity: usize,
    /// Connections of each of the servers that this one's configuration names. They have these for
    /// themselves.
    pub connections_of_server: usize,
    /// Handshakes under way at one listener.
    pub handshakes: usize,
    /// New connections of one address in a second; five times as many at once.
    pub handshakes_a_second: u32,
    /// Calls of one identity under way.
    pub calls: usize,
    /// Calls of one identity in a second; five times as many at once.
    pub calls_a_second: u32,
    /// Event streams of one user.
    pub event_streams: usize,
    /// How long callers may take.
    pub deadlines: Deadlines,
}

/// How many seconds' worth of calls or handshakes may come at once.
pub(crate) const BURST_SECONDS: u32 = 5;

impl Default for Limits {
    /// Many users behind one address (NAT) are served, and a program that calls without pause.
    fn default() -> Self {
        Self {
            connections: 2048,
            connections_of_address: 256,
            connections_of_identity: 256,
            connections_of_server: 64,
            handshakes: 512,
            handshakes_a_second: 200,
            calls: 128,
            calls_a_second: 200,
            event_streams: 16,
            deadlines: Deadlines::default(),
        }
    }
}

impl Limits {
    pub(super) fn validate(&self) -> Result<(), String> {
        let counts = [
            ("connections", self.connections),
            ("connections_of_address", self.connections_of_address),
            ("connections_of_identity", self.connections_of_identity),
            ("connections_of_server", self.connections_of_server),
            ("handshakes", self.handshakes),
            ("calls", self.calls),
            ("event_streams", self.event_streams),
            ("handshakes_a_second", self.handshakes_a_second as usize),
            ("calls_a_second", self.calls_a_second as usize),
        ];
        match counts.iter().find(|(_, count)| !(1..=1_000_000).contains(count)) {
            Some((name, _)) => Err(format!("`server.limits.{name}` must be 1 to 1000000")),
            None => self.deadlines.validate(),
        }
    }
}

/// How long callers may take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deadlines {
    /// A TLS handshake.
    pub handshake_seconds: u64,
    /// A request's header, from the end of the request before: an idle connection ends after it.
    pub header_seconds: u64,
    /// No byte of an answer is taken.
    pub stall_seconds: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        // Our client keeps idle connections for 90 seconds, so it is the one that ends them.
        Self { handshake_seconds: 10, header_seconds: 120, stall_seconds: 30 }
    }
}

impl Deadlines {
    fn validate(&self) -> Result<(), String> {
        let all = [
            ("handshake_seconds", self.handshake_seconds),
            ("header_seconds", self.header_seconds),
            ("stall_seconds", self.stall_seconds),
        ];
        match all.iter().find(|(_, seconds)| !(1..=3600).contains(seconds)) {
            Some((name, _)) => Err(format!("`server.limits.deadlines.{name}` must be 1 to 3600")),
            None => Ok(()),
        }
    }

    pub(crate) fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_seconds)
    }

    pub(crate) fn header(&self) -> Duration {
        Duration::from_secs(self.header_seconds)
    }

    pub(crate) fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_seconds)
    }
}
