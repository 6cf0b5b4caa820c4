//! Who occupies a listener: the slots for handshakes, callers and own servers, and how many
//! connections a host may make in a second.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datapact_core::identity::Identity;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::slots::{Holder, Slot, Slots};
use crate::config::{BURST_SECONDS, Limits};

/// After so many connections the hosts are forgotten that have made none for a while.
const FORGET_EVERY: u64 = 1024;

/// Who occupies a listener.
pub(crate) struct Occupancy {
    handshakes: Arc<Slots>,
    callers: Arc<Slots>,
    /// Of the servers that are named here and keep slots of their own.
    servers: Arc<Slots>,
    own_servers: Vec<Identity>,
    rate: DefaultKeyedRateLimiter<IpAddr>,
    arrived: AtomicU64,
    too_fast: AtomicU64,
}

impl Occupancy {
    /// Of a listener with a certificate of each caller, if `identifies`; `own_servers` are the
    /// names of servers that have slots for themselves.
    pub(super) fn new(limits: &Limits, identifies: bool, own_servers: &[String]) -> Arc<Self> {
        let callers = if identifies {
            // A user's transfers are not cut for its own next connection.
            Slots::new(limits.connections, limits.connections_of_identity, false)
        } else {
            Slots::new(limits.connections, limits.connections_of_address, true)
        };
        let a_second = NonZeroU32::new(limits.handshakes_a_second).unwrap_or(NonZeroU32::MIN);
        let burst = a_second.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(a_second));
        Arc::new(Self {
            handshakes: Slots::new(limits.handshakes, limits.connections_of_address, true),
            callers,
            servers: Slots::new(usize::MAX, limits.connections_of_server, false),
            own_servers: own_servers.iter().map(|name| Identity::server(name)).collect(),
            rate: RateLimiter::keyed(Quota::per_second(a_second).allow_burst(burst)),
            arrived: AtomicU64::new(0),
            too_fast: AtomicU64::new(0),
        })
    }

    /// A slot for the handshake of a connection that has arrived from `host`.
    pub(super) fn arrive(&self, host: &Holder) -> Option<Slot> {
        if self.arrived.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            self.rate.retain_recent();
            self.rate.shrink_to_fit();
        }
        if let Holder::Address(address) = host
            && self.rate.check_key(address).is_err()
        {
            self.too_fast.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.handshakes.take(host)
    }

    /// A slot for the calls of `holder`.
    pub(super) fn take(&self, holder: &Holder) -> Option<Slot> {
        let is_own = |identity| self.own_servers.contains(identity);
        match holder {
            Holder::Identity(identity) if is_own(identity) => self.servers.take(holder),
            _ => self.callers.take(holder),
        }
    }

    /// How many connections there are, by what they are there for.
    pub(crate) fn connections(&self) -> [(&'static str, usize); 3] {
        [
            ("handshake", self.handshakes.taken()),
            ("caller", self.callers.taken()),
            ("server", self.servers.taken()),
        ]
    }

    /// How many connections were ended or refused, by the limit that was reached.
    pub(crate) fn hits(&self) -> [(&'static str, u64); 3] {
        let of = |slots: &Slots| slots.hits().iter().sum();
        [
            ("handshakes_a_second", self.too_fast.load(Ordering::Relaxed)),
            ("handshakes", of(&self.handshakes)),
            ("connections", of(&self.callers) + of(&self.servers)),
        ]
    }
}
