//! A uniform sample of a stream whose length is not known (algorithm R of Alan Waterman).

/// Decides which items of a stream are kept in a sample of bounded size.
pub(crate) struct Reservoir {
    size: usize,
    seen: u64,
    state: u64,
}

impl Reservoir {
    /// A sample of up to `size` items, chosen by `seed`: the same for the same seed, which is not
    /// 0.
    pub(crate) fn new(size: usize, seed: u64) -> Self {
        Self { size, seen: 0, state: seed }
    }

    /// The place in the sample that the next item takes, perhaps of an earlier one; none if it is
    /// not in the sample.
    pub(crate) fn place(&mut self) -> Option<usize> {
        self.seen += 1;
        if self.seen <= self.size as u64 {
            return Some(self.seen as usize - 1);
        }
        // xorshift64: the choice need not be secret, only even.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let chosen = (u128::from(self.state) * u128::from(self.seen)) >> 64;
        usize::try_from(chosen).ok().filter(|chosen| *chosen < self.size)
    }
}

/// Puts an item at the place that [`Reservoir::place`] said.
pub(crate) fn put<T>(sample: &mut Vec<T>, place: usize, item: T) {
    match sample.get_mut(place) {
        Some(old) => *old = item,
        None => sample.push(item),
    }
}
