//! Slots for connections, shared fairly: when all are taken, the holder of the most gives one up
//! to a newcomer who holds fewer. So one host or user, or a few, never keep the others out.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use datapact_core::identity::Identity;
use tokio::sync::Notify;

/// Who holds a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// A host, before it is known who calls, or where that is not asked.
    Address(IpAddr),
    /// A user or server.
    Identity(Identity),
}

impl Holder {
    /// The host at `address`. A network of IPv6 with 64 bits is one host: each has at least that.
    pub(super) fn host(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into()
            }
            address => address,
        })
    }
}

/// Slots of one kind.
pub(super) struct Slots {
    max: usize,
    of_holder_max: usize,
    /// Whether a holder who has its most loses a connection that is in use, when none is idle;
    /// otherwise its next one is refused.
    cuts_own: bool,
    begun: Instant,
    held: Mutex<Held>,
    refused: AtomicU64,
    cut: AtomicU64,
}

#[derive(Default)]
struct Held {
    /// By the order in which they were taken.
    by_holder: HashMap<Holder, BTreeMap<u64, Arc<Use>>>,
    total: usize,
    taken: u64,
}

/// What a connection is doing.
struct Use {
    /// Milliseconds after `begun`; [`IN_USE`] while it is in use.
    idle_since: AtomicU64,
    /// Told when the slot goes to another.
    cut: Notify,
}

/// In place of the moment since when a connection is idle.
const IN_USE: u64 = u64::MAX;

impl Slots {
    pub(super) fn new(max: usize, of_holder_max: usize, cuts_own: bool) -> Arc<Self> {
        Arc::new(Self {
            max,
            of_holder_max,
            cuts_own,
            begun: Instant::now(),
            held: Mutex::default(),
            refused: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        })
    }

    /// A slot for `holder`, if it has a right to one; another connection may have to end for it.
    pub(super) fn take(self: &Arc<Self>, holder: &Holder) -> Option<Slot> {
        let mut held = self.held();
        if !self.make_room(&mut held, holder) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        held.total += 1;
        held.taken += 1;
        let number = held.taken;
        let of = Arc::new(Use { idle_since: AtomicU64::new(self.now()), cut: Notify::new() });
        held.by_holder.entry(holder.clone()).or_default().insert(number, Arc::clone(&of));
        Some(Slot { slots: Arc::clone(self), holder: holder.clone(), number, of })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.held().total
    }

    /// How many connections were refused, and how many were ended for another.
    pub(super) fn hits(&self) -> [u64; 2] {
        [self.refused.load(Ordering::Relaxed), self.cut.load(Ordering::Relaxed)]
    }

    fn make_room(&self, held: &mut Held, holder: &Holder) -> bool {
        let own = held.by_holder.get(holder).map_or(0, BTreeMap::len);
        if held.total < self.max && own < self.of_holder_max {
            return true;
        }
        let most = held.by_holder.values().map(BTreeMap::len).max().unwrap_or_default();
        if own >= self.of_holder_max || own >= most {
            return self.cut_one(held, |other, _| other == holder, self.cuts_own);
        }
        // What is in use ends only for a holder who has fewer afterwards, too.
        self.cut_one(held, |_, count| count == most, most > own + 1)
    }

    /// Ends the connection that has been idle for longest, or the oldest, which is in use: one of a
    /// holder that `may_lose`, by name and number of connections.
    fn cut_one(
        &self,
        held: &mut Held,
        may_lose: impl Fn(&Holder, usize) -> bool,
        may_be_in_use: bool,
    ) -> bool {
        let losers = held.by_holder.iter().filter(|(holder, uses)| may_lose(holder, uses.len()));
        let uses = losers.flat_map(|(holder, uses)| uses.iter().map(move |of| (holder, of)));
        let since = |(_, (number, of)): &(&Holder, (&u64, &Arc<Use>))| {
            (of.idle_since.load(Ordering::Relaxed), **number)
        };
        let Some((holder, (number, of))) = uses.min_by_key(since) else { return false };
        if of.idle_since.load(Ordering::Relaxed) == IN_USE && !may_be_in_use {
            return false;
        }
        of.cut.notify_one();
        let (holder, number) = (holder.clone(), *number);
        held.remove(&holder, number);
        self.cut.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(IN_USE - 1)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn remove(&mut self, holder: &Holder, number: u64) {
        let Some(uses) = self.by_holder.get_mut(holder) else { return };
        if uses.remove(&number).is_some() {
            self.total -= 1;
        }
        if uses.is_empty() {
            self.by_holder.remove(holder);
        }
    }
}

/// A slot, free again when it is dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    holder: Holder,
    number: u64,
    of: Arc<Use>,
}

impl Slot {
    /// Waits until the slot has gone to another.
    pub(super) async fn cut(&self) {
        self.of.cut.notified().await;
    }

    /// Says that the connection is in use, until what this gives is dropped.
    pub(super) fn in_use(&self) -> InUse {
        self.of.idle_since.store(IN_USE, Ordering::Relaxed);
        InUse { slots: Arc::clone(&self.slots), of: Arc::clone(&self.of) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.held().remove(&self.holder, self.number);
    }
}

/// A connection's being in use.
pub(super) struct InUse {
    slots: Arc<Slots>,
    of: Arc<Use>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.of.idle_since.store(self.slots.now(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use futures_util::FutureExt as _;

    use super::*;

    fn host(last: u8) -> Holder {
        Holder::host(IpAddr::from([127, 0, 0, last]))
    }

    fn is_cut(slot: &Slot) -> bool {
        slot.cut().now_or_never().is_some()
    }

    #[test]
    fn the_idle_connection_of_who_has_most_goes_first() {
        let slots = Slots::new(3, 10, false);
        let [busy, idle, other] =
            [host(1), host(1), host(2)].map(|holder| slots.take(&holder).unwrap());
        let using = busy.in_use();
        let newcomer = slots.take(&host(3)).unwrap();
        assert!(is_cut(&idle) && !is_cut(&busy) && !is_cut(&other) && !is_cut(&newcomer));
        assert_eq!((slots.taken(), slots.hits()), (3, [0, 1]));
        // Each has one now: what is in use stays, what is idle goes.
        let using_others = [other.in_use(), newcomer.in_use()];
        assert!(slots.take(&host(4)).is_none());
        drop(using);
        assert!(slots.take(&host(4)).is_some() && is_cut(&busy));
        drop(using_others);
        assert_eq!(slots.hits(), [1, 2]);
    }

    #[test]
    fn who_takes_most_loses_even_what_is_in_use() {
        let slots = Slots::new(100, 100, false);
        let greedy: Vec<_> = (0..100).map(|_| slots.take(&host(1)).unwrap()).collect();
        let _using: Vec<_> = greedy.iter().map(Slot::in_use).collect();
        let honest: Vec<_> = (0..50).map(|_| slots.take(&host(2)).unwrap()).collect();
        assert_eq!(greedy.iter().filter(|slot| is_cut(slot)).count(), 50);
        assert!(!honest.iter().any(is_cut));
        // Equal shares: neither displaces what the other uses.
        let _honest_using: Vec<_> = honest.iter().map(Slot::in_use).collect();
        assert!(slots.take(&host(1)).is_none() && slots.take(&host(2)).is_none());
        drop((greedy, honest));
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn a_holder_has_no_more_than_its_most() {
        for (cuts_own, expected) in [(true, [0, 1]), (false, [1, 0])] {
            let slots = Slots::new(10, 2, cuts_own);
            let own = [slots.take(&host(1)).unwrap(), slots.take(&host(1)).unwrap()];
            let _using = own.each_ref().map(Slot::in_use);
            let third = slots.take(&host(1));
            assert_eq!((third.is_some(), is_cut(&own[0])), (cuts_own, cuts_own));
            assert_eq!(slots.hits(), expected);
            assert!(slots.take(&host(2)).is_some());
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_host() {
        let of = |text: &str| Holder::host(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
