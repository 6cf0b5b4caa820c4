//! Looking for a few bytes, 64 bytes of text at a time: fields are short, and a call for each costs
//! more than they do.

/// How much is looked at at once.
const BLOCK: usize = 64;

/// Up to four bytes that are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needles([u8; 4]);

impl Needles {
    pub(crate) fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// A bit for each of the first bytes of `text` that is a needle, the lowest for the first.
    #[inline]
    fn bits(&self, text: &[u8]) -> u64 {
        match text.first_chunk() {
            Some(block) => self.bits_of(block),
            None => {
                let mut block = [0; BLOCK];
                for (to, from) in block.iter_mut().zip(text) {
                    *to = *from;
                }
                // Padding behind the text is not a hit, even if a needle is zero.
                self.bits_of(&block) & !(u64::MAX << text.len())
            }
        }
    }

    #[inline]
    fn bits_of(&self, block: &[u8; BLOCK]) -> u64 {
        let [a, b, c, d] = self.0;
        // Compilers make a few vector instructions of this.
        let mut flags = [0; BLOCK];
        for (flag, byte) in flags.iter_mut().zip(block) {
            *flag = u8::from(*byte == a)
                | u8::from(*byte == b)
                | u8::from(*byte == c)
                | u8::from(*byte == d);
        }
        let mut bits = 0;
        for word in flags.as_chunks::<8>().0.iter().rev() {
            // The product's highest byte has the eight flags as bits: no two of its other terms
            // meet.
            let eight = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            bits = bits << 8 | eight;
        }
        bits
    }

    /// Whether one of them is in `text`.
    pub(crate) fn any(&self, text: &[u8]) -> bool {
        let [a, b, c, d] = self.0;
        let hit = |byte: u8| {
            u8::from(byte == a) | u8::from(byte == b) | u8::from(byte == c) | u8::from(byte == d)
        };
        // Compilers make a few vector instructions of each block.
        let (blocks, rest) = text.as_chunks::<16>();
        blocks.iter().any(|block| block.iter().fold(0, |any, byte| any | hit(*byte)) != 0)
            || rest.iter().any(|byte| hit(*byte) != 0)
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
            self.bits = self.needles.bits(rest);
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

    const BYTES: &[u8] = b"\0\x01\n\r\",-./\x7f\x80\x8a\x8c\xa2\xff";
    const NEEDLES: &[[u8; 4]] = &[*b",\"\n\r", *b"\0\x01\x7f\xff", *b"-./,", *b"\x80\x8a\x8c\xa2"];

    proptest! {
        #[test]
        fn places_are_those_of_a_plain_search(
            text in proptest::collection::vec(prop::sample::select(BYTES), 0..200),
            needles in prop::sample::select(NEEDLES),
        ) {
            let hits = (0..).zip(&text).filter(|(_, byte)| needles.contains(byte));
            let expected: Vec<usize> = hits.map(|(at, _)| at).collect();
            let found: Vec<usize> = Needles::new(needles).places(&text).collect();
            prop_assert_eq!(Needles::new(needles).any(&text), !expected.is_empty());
            prop_assert_eq!(found, expected);
        }
    }
}
