//! What each caller may do at once, counted by identity, so that one who does too much is refused
//! and the others notice nothing: calls under way, calls in a second, and statements that are
//! remembered against replay.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datapact_core::id::{Digest, Timestamp};
use datapact_core::identity::Identity;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::problem::{Kind, Problem, Result};

/// How far a statement's time may be from the server's clock, in seconds.
pub const STATEMENT_SECONDS_MAX: u64 = 60;
/// The most statements remembered against replay, as long as no caller has more than its part of
/// them.
const STATEMENTS_MAX: usize = 500_000;
/// How often callers are forgotten who have not called for a while, in seconds.
const FORGET_SECONDS: u64 = 60;

/// Limits on one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Calls under way, until their answers begin.
    pub under_way: usize,
    /// Calls in a second, in the long run.
    pub a_second: u32,
    /// Calls at once, after a pause.
    pub burst: u32,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { under_way: 128, a_second: 200, burst: 1000 }
    }
}

/// The calls of all callers.
pub(super) struct Calls {
    under_way_max: usize,
    rate: DefaultKeyedRateLimiter<Identity>,
    clock: DefaultClock,
    callers: Mutex<Callers>,
}

#[derive(Default)]
struct Callers {
    by_identity: HashMap<Identity, OfCaller>,
    /// Of all callers.
    statements: usize,
    forgotten_at: Timestamp,
}

#[derive(Default)]
struct OfCaller {
    under_way: usize,
    seen: HashSet<Digest>,
    /// The statements that were seen, oldest first, each with the time until which it counts.
    order: VecDeque<(Timestamp, Digest)>,
}

impl Calls {
    pub(super) fn new(limits: CallLimits) -> Self {
        let at_least_one = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limits.a_second));
        Self {
            under_way_max: limits.under_way,
            rate: RateLimiter::keyed(quota.allow_burst(at_least_one(limits.burst))),
            clock: DefaultClock::default(),
            callers: Mutex::default(),
        }
    }

    /// Counts a call of `identity`, which is under way until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>, identity: &Identity) -> Result<UnderWay> {
        if let Err(not_until) = self.rate.check_key(identity) {
            let wait = not_until.wait_time_from(self.clock.now()).as_secs().saturating_add(1);
            return Err(busy("you call too often", wait));
        }
        let mut callers = self.callers();
        let of = callers.by_identity.entry(identity.clone()).or_default();
        if of.under_way >= self.under_way_max {
            return Err(busy("you have too many calls under way", 1));
        }
        of.under_way += 1;
        Ok(UnderWay { calls: Arc::clone(self), identity: identity.clone() })
    }

    /// Remembers a statement of `identity`, and refuses one that was seen.
    pub(super) fn once(
        &self,
        identity: &Identity,
        time: Timestamp,
        id: Digest,
        now: Timestamp,
    ) -> Result<()> {
        let mut callers = self.callers();
        callers.forget(identity, now);
        if now.saturating_sub(callers.forgotten_at) >= FORGET_SECONDS {
            callers.forgotten_at = now;
            callers.forget_all(now);
            self.rate.retain_recent();
        }
        let is_full = callers.statements >= STATEMENTS_MAX;
        let part = STATEMENTS_MAX / callers.by_identity.len().max(1);
        let of = callers.by_identity.entry(identity.clone()).or_default();
        if is_full && of.order.len() >= part {
            return Err(busy("you have called too often in the last minutes", FORGET_SECONDS));
        }
        if !of.seen.insert(id) {
            return Err(Problem::new(Kind::Unauthenticated, "the statement was used before"));
        }
        // It outlives the window in which the statement would be accepted.
        let until = time.max(now).saturating_add(2 * STATEMENT_SECONDS_MAX);
        of.order.push_back((until, id));
        callers.statements += 1;
        Ok(())
    }

    fn callers(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Callers {
    /// Forgets the statements of `identity` that cannot be accepted any more.
    fn forget(&mut self, identity: &Identity, now: Timestamp) {
        if let Some(of) = self.by_identity.get_mut(identity) {
            self.statements -= of.forget(now);
        }
    }

    fn forget_all(&mut self, now: Timestamp) {
        let mut forgotten = 0;
        self.by_identity.retain(|_, of| {
            forgotten += of.forget(now);
            of.under_way > 0 || !of.order.is_empty()
        });
        self.statements -= forgotten;
    }
}

impl OfCaller {
    /// Forgets statements from before, and says how many.
    fn forget(&mut self, now: Timestamp) -> usize {
        let before = self.order.len();
        while let Some((_, id)) = self.order.pop_front_if(|(until, _)| *until < now) {
            self.seen.remove(&id);
        }
        before - self.order.len()
    }
}

/// A call that is under way.
pub(super) struct UnderWay {
    calls: Arc<Calls>,
    identity: Identity,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut callers = self.calls.callers();
        if let Some(of) = callers.by_identity.get_mut(&self.identity) {
            of.under_way -= 1;
        }
    }
}

fn busy(detail: &str, retry_after: u64) -> Problem {
    Problem::new(Kind::Busy, detail).hint("call less often").retry_after(retry_after)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn identity(name: &str) -> Identity {
        format!("clinic:CN={name}").parse().unwrap()
    }

    #[test]
    fn who_calls_too_much_is_refused_and_others_are_not() {
        let calls = Arc::new(Calls::new(CallLimits { under_way: 2, a_second: 1, burst: 3 }));
        let (ann, bob) = (identity("Ann"), identity("Bob"));
        let [first, _second] = [calls.begin(&ann).unwrap(), calls.begin(&ann).unwrap()];
        let problem = calls.begin(&ann).err().unwrap();
        assert_eq!((problem.kind, problem.retry_after), (Kind::Busy, Some(1)));
        assert_eq!(problem.detail, "you have too many calls under way");
        drop(first);
        let problem = calls.begin(&ann).err().unwrap();
        assert_eq!(problem.detail, "you call too often");
        assert!(problem.retry_after.is_some_and(|seconds| (1..=2).contains(&seconds)));
        assert!(calls.begin(&bob).is_ok());
    }

    #[test]
    fn a_statement_is_remembered_for_as_long_as_it_could_be_accepted() {
        let calls = Calls::new(CallLimits::default());
        let (ann, bob) = (identity("Ann"), identity("Bob"));
        let of = |name: &str| Digest::of(name.as_bytes());
        calls.once(&ann, 1000, of("a"), 1000).unwrap();
        let again = |now| calls.once(&ann, 1000, of("a"), now).unwrap_err();
        for now in [1000, 1060, 1120] {
            assert_eq!(again(now).detail, "the statement was used before");
        }
        calls.once(&bob, 1200, of("b"), 1200).unwrap();
        let callers = calls.callers();
        assert!(!callers.by_identity.contains_key(&ann));
        assert_eq!((callers.statements, callers.by_identity.len()), (1, 1));
    }

    #[test]
    fn a_full_memory_refuses_only_who_filled_it() {
        let calls = Calls::new(CallLimits::default());
        let (ann, bob) = (identity("Ann"), identity("Bob"));
        let id = |number: usize| Digest::of(&number.to_be_bytes());
        for number in 0..STATEMENTS_MAX {
            calls.once(&ann, 1000, id(number), 1000).unwrap();
        }
        assert_eq!(calls.once(&ann, 1000, id(usize::MAX), 1000).unwrap_err().kind, Kind::Busy);
        calls.once(&bob, 1000, id(usize::MAX), 1000).unwrap();
    }
}
