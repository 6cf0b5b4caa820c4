//! Looking for a few bytes, 64 bytes of text at a time: fields are short, and a call for each costs more than they do.

/// How much is looked at at once.
const BLOCK: usize = 64;

/// Up to four bytes that are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needles([u8; 4]);

impl Needles {
    pub(crate) fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// 1 for each byte that is a needle, else 0. Compilers make a few vector instructions of it.
    #[inline]
    fn flags<const N: usize>(&self, block: &[u8; N]) -> [u8; N] {
        let [a, b, c, d] = self.0;
        let mut flags = [0; N];
        for (flag, byte) in flags.iter_mut().zip(block) {
            *flag = u8::from(*byte == a) | u8::from(*byte == b) | u8::from(*byte == c) | u8::from(*byte == d);
        }
        flags
    }

    /// A bit for each byte that is a needle, the lowest for the first.
    #[inline]
    fn bits(&self, block: &[u8; BLOCK]) -> u64 {
        let flags = self.flags(block);
        let mut bits = 0;
        for word in flags.as_chunks::<8>().0.iter().rev() {
            // The product's highest byte has the eight flags as bits: no two of its other terms meet.
            let eight = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            bits = bits << 8 | eight;
        }
        bits
    }

    /// Whether one of them is in `text`.
    pub(crate) fn any(&self, text: &[u8]) -> bool {
        let (blocks, rest) = text.as_chunks::<16>();
        let mut any = [0; 16];
        for block in blocks {
            for (any, flag) in any.iter_mut().zip(self.flags(block)) {
                *any |= flag;
            }
        }
        any != [0; 16] || rest.iter().any(|byte| self.0.contains(byte))
    }

    /// Where they are in `text`, in order.
    pub(crate) fn places<'a>(&self, text: &'a [u8]) -> Places<'a> {
        Places { needles: *self, text, next: 0, bits: 0 }
    }
}

/// An iterator over places in a text.
pub(crate) struct Places<'a> {
    needles: Needles,
    text: &'a [u8],
    /// Where the next block begins.
    next: usize,
    /// What is left of the hits in the block before.
    bits: u64,
}

impl Iterator for Places<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            let rest = self.text.get(self.next..).filter(|rest| !rest.is_empty())?;
            self.bits = match rest.first_chunk::<BLOCK>() {
                Some(block) => self.needles.bits(block),
                None => {
                    let mut block = [0; BLOCK];
                    block.get_mut(..rest.len())?.copy_from_slice(rest);
                    // What is behind the rest is no hit, even if a needle is zero.
                    self.needles.bits(&block) & !(u64::MAX << rest.len())
                }
            };
            self.next += BLOCK;
        }
        let place = self.next - BLOCK + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_those_of_a_plain_search(
            text in proptest::collection::vec(prop::sample::select(&b"\0\x01\n\r\",-./\x7f\x80\x8a\x8c\xa2\xff"[..]), 0..200),
            needles in prop::sample::select(vec![*b",\"\n\r", *b"\0\x01\x7f\xff", *b"-./,", *b"\x80\x8a\x8c\xa2"]),
        ) {
            let expected: Vec<usize> = (0..).zip(&text).filter(|(_, byte)| needles.contains(byte)).map(|(at, _)| at).collect();
            let found: Vec<usize> = Needles::new(needles).places(&text).collect();
            prop_assert_eq!(Needles::new(needles).any(&text), !expected.is_empty());
            prop_assert_eq!(found, expected);
        }
    }
}
