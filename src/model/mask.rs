//! `EventMask`: a set of event types in 256 bits, so that "does it want this?" is one AND.
//!
//! 256 because 39 built-in types plus configured ones must fit with room to spare, and four words
//! still sit in half a cache line. Bits are given by the catalogue and never reused.

use std::fmt;

/// A type's number in the catalogue, which is its bit in every [`EventMask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct TypeBit(pub u8);

/// How many types a catalogue can hold.
pub const TYPES_MAX: usize = 256;

/// A set of event types.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub struct EventMask([u64; 4]);

impl EventMask {
    pub const NONE: Self = Self([0; 4]);

    #[must_use]
    pub fn of(bits: impl IntoIterator<Item = TypeBit>) -> Self {
        let mut mask = Self::NONE;
        for bit in bits {
            mask.insert(bit);
        }
        mask
    }

    #[expect(clippy::indexing_slicing, reason = "a byte shifted by six is below four")]
    pub fn insert(&mut self, bit: TypeBit) {
        self.0[usize::from(bit.0 >> 6)] |= 1 << (bit.0 & 63);
    }

    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "a byte shifted by six is below four")]
    pub fn contains(&self, bit: TypeBit) -> bool {
        self.0[usize::from(bit.0 >> 6)] & (1 << (bit.0 & 63)) != 0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |mine, theirs| mine | theirs)
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.zip(other, |mine, theirs| mine & !theirs)
    }

    fn zip(&self, other: &Self, both: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.0;
        for (mine, theirs) in words.iter_mut().zip(other.0) {
            *mine = both(*mine, theirs);
        }
        Self(words)
    }

    /// How many types of the set have a lower bit.
    #[must_use]
    pub fn rank(&self, bit: TypeBit) -> usize {
        let word = usize::from(bit.0 >> 6);
        let below = (1u64 << (bit.0 & 63)) - 1;
        let whole: u32 = self.0.iter().take(word).map(|word| word.count_ones()).sum();
        let part = self.0.get(word).map_or(0, |word| (word & below).count_ones());
        usize::try_from(whole + part).unwrap_or(0)
    }

    /// The types in the set, lowest bit first.
    pub fn bits(&self) -> impl Iterator<Item = TypeBit> + '_ {
        (0..=u8::MAX).map(TypeBit).filter(|bit| self.contains(*bit))
    }
}

impl fmt::Debug for EventMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.bits().map(|bit| bit.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let all = [0u8, 63, 64, 127, 128, 255];
        let mask = EventMask::of(all.map(TypeBit));
        assert_eq!(mask.bits().map(|b| b.0).collect::<Vec<_>>(), all);
        assert!(!mask.contains(TypeBit(1)));
        for (rank, bit) in mask.bits().enumerate() {
            assert_eq!(mask.rank(bit), rank);
        }
        let high = EventMask::of([TypeBit(255)]);
        assert_eq!(mask.minus(&high).union(&high), mask);
        assert!(EventMask::NONE.is_empty() && !mask.is_empty());
    }
}
