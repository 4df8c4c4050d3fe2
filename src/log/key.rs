//! Where rows lie: one tag byte per kind of key, then big-endian numbers, so that bytes sort as the
//! numbers do. A tag is never reused, whatever becomes of its kind: an old store must never be read as
//! something that it is not.
//!
//! Keys of the registry (tags 1 to 31 of `meta`) are its own and not known here.

use crate::model::{AccountKey, Seq, SubscriptionKey, UnixMillis};
use crate::recover::JobId;
use crate::settle::RetryKey;

/// Seqs per bucket of attempt rows, as a power of two: looking up one pair scans one bucket.
pub const ATTEMPT_BUCKET_BITS: u32 = 8;
/// The longest key: a tag and three numbers of eight bytes.
pub const KEY_LEN_MAX: usize = 25;
/// Tags of `meta` below this are the registry's.
pub const META_TAGS_OF_LOG: u8 = 32;

/// The bucket that holds the attempts of `seq`.
#[must_use]
pub fn attempt_bucket(seq: Seq) -> u64 {
    seq.0 >> ATTEMPT_BUCKET_BITS
}

/// A key of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `meta`: version of the format of everything.
    Format,
    /// `meta`: low watermark of one worker.
    Watermark { worker: u16 },
    /// `meta`: below what retention has dropped.
    Floors,
    /// `meta`: counts that must not be lost.
    Counters,
    /// `meta`: first seq of a minute since 1970.
    Minute { minute: u32 },
    /// `meta`: a recover job.
    Job { id: JobId },
    /// `events`: a run of events, by its first.
    Events { first: Seq },
    /// `by_account`: what one commit held of an account, by the commit's first seq.
    ByAccount { account: AccountKey, first: Seq },
    /// `ids`: that there is a partition, by its first seq.
    Partition { partition: Seq },
    /// `ids`: fingerprints of one commit, while their partition is open.
    Fingerprints { partition: Seq, first: Seq },
    /// `ids`: sorted fingerprints of a sealed partition, by the row's lowest.
    Sealed { partition: Seq, lowest: u64 },
    /// `ids`: the filter of a sealed partition.
    Filter { partition: Seq },
    /// `attempts`: attempts of one settlement in one bucket.
    Attempts { subscription: SubscriptionKey, bucket: u64, serial: u64 },
    /// `retries`
    Retry(RetryKey),
    /// `retries`: when the retry of a pair is due, which is where its row lies.
    RetryOf { subscription: SubscriptionKey, seq: Seq },
    /// `lagging`
    Lagging { subscription: SubscriptionKey },
    /// `lagging`: since when it has seen nothing but failure.
    Failing { subscription: SubscriptionKey },
    /// `attempts`: what came of a subscription's attempts in a span of five minutes.
    Rollup { subscription: SubscriptionKey, span: u32, serial: u64 },
    /// `dead`
    Dead { subscription: SubscriptionKey, seq: Seq },
}

const FORMAT: u8 = 32;
const WATERMARK: u8 = 33;
const FLOORS: u8 = 34;
const COUNTERS: u8 = 35;
const MINUTE: u8 = 36;
const JOB: u8 = 37;
const EVENTS: u8 = 64;
const BY_ACCOUNT: u8 = 65;
const PARTITION: u8 = 66;
const FINGERPRINTS: u8 = 67;
const SEALED: u8 = 68;
const FILTER: u8 = 69;
const ATTEMPTS: u8 = 70;
const RETRY: u8 = 71;
const LAGGING: u8 = 72;
const DEAD: u8 = 73;
const FAILING: u8 = 74;
const ROLLUP: u8 = 80;
const RETRY_OF: u8 = 75;

/// Bytes that are no key of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key of no bytes")]
    Empty,
    #[error("a key of unknown kind {0}")]
    UnknownTag(u8),
    #[error("a key of kind {tag} with {len} bytes")]
    WrongLength { tag: u8, len: usize },
}

/// An encoded key, on the stack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyBytes {
    bytes: [u8; KEY_LEN_MAX],
    len: usize,
}

impl KeyBytes {
    fn new(tag: u8) -> Self {
        let mut bytes = [0; KEY_LEN_MAX];
        if let Some(first) = bytes.first_mut() {
            *first = tag;
        }
        Self { bytes, len: 1 }
    }

    fn with(mut self, part: &[u8]) -> Self {
        let end = self.len + part.len();
        debug_assert!(end <= KEY_LEN_MAX, "KEY_LEN_MAX holds the longest kind");
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(part);
            self.len = end;
        }
        self
    }
}

impl AsRef<[u8]> for KeyBytes {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl std::fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_ref().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Key {
    #[must_use]
    pub fn tag(&self) -> u8 {
        match self {
            Self::Format => FORMAT,
            Self::Watermark { .. } => WATERMARK,
            Self::Floors => FLOORS,
            Self::Counters => COUNTERS,
            Self::Minute { .. } => MINUTE,
            Self::Job { .. } => JOB,
            Self::Events { .. } => EVENTS,
            Self::ByAccount { .. } => BY_ACCOUNT,
            Self::Partition { .. } => PARTITION,
            Self::Fingerprints { .. } => FINGERPRINTS,
            Self::Sealed { .. } => SEALED,
            Self::Filter { .. } => FILTER,
            Self::Attempts { .. } => ATTEMPTS,
            Self::Retry(_) => RETRY,
            Self::RetryOf { .. } => RETRY_OF,
            Self::Lagging { .. } => LAGGING,
            Self::Dead { .. } => DEAD,
            Self::Failing { .. } => FAILING,
            Self::Rollup { .. } => ROLLUP,
        }
    }

    #[must_use]
    pub fn encode(&self) -> KeyBytes {
        let key = KeyBytes::new(self.tag());
        let put = |key: KeyBytes, number: u64| key.with(&number.to_be_bytes());
        match *self {
            Self::Format | Self::Floors | Self::Counters => key,
            Self::Watermark { worker } => key.with(&worker.to_be_bytes()),
            Self::Minute { minute } => key.with(&minute.to_be_bytes()),
            Self::Job { id } => put(key, id.0),
            Self::Events { first } => put(key, first.0),
            Self::ByAccount { account, first } => put(key.with(&account.0.to_be_bytes()), first.0),
            Self::Partition { partition } | Self::Filter { partition } => put(key, partition.0),
            Self::Fingerprints { partition, first } => put(put(key, partition.0), first.0),
            Self::Sealed { partition, lowest } => put(put(key, partition.0), lowest),
            Self::Attempts { subscription, bucket, serial } => {
                put(put(put(key, subscription.0), bucket), serial)
            }
            Self::Retry(at) => put(put(put(key, at.due.0), at.subscription.0), at.seq.0),
            Self::Lagging { subscription } | Self::Failing { subscription } => put(key, subscription.0),
            Self::Rollup { subscription, span, serial } => {
                put(put(key, subscription.0).with(&span.to_be_bytes()), serial)
            }
            Self::Dead { subscription, seq } | Self::RetryOf { subscription, seq } => {
                put(put(key, subscription.0), seq.0)
            }
        }
    }

    /// # Errors
    /// Anything that [`Key::encode`] did not make.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let (&tag, rest) = bytes.split_first().ok_or(KeyError::Empty)?;
        let wrong = KeyError::WrongLength { tag, len: bytes.len() };
        let mut rest = Rest { bytes: rest, wrong };
        let key = match tag {
            FORMAT => Self::Format,
            WATERMARK => Self::Watermark { worker: u16::from_be_bytes(rest.take()?) },
            FLOORS => Self::Floors,
            COUNTERS => Self::Counters,
            MINUTE => Self::Minute { minute: rest.u32()? },
            JOB => Self::Job { id: JobId(rest.u64()?) },
            EVENTS => Self::Events { first: rest.seq()? },
            BY_ACCOUNT => Self::ByAccount { account: AccountKey(rest.u32()?), first: rest.seq()? },
            PARTITION => Self::Partition { partition: rest.seq()? },
            FINGERPRINTS => Self::Fingerprints { partition: rest.seq()?, first: rest.seq()? },
            SEALED => Self::Sealed { partition: rest.seq()?, lowest: rest.u64()? },
            FILTER => Self::Filter { partition: rest.seq()? },
            ATTEMPTS => Self::Attempts {
                subscription: SubscriptionKey(rest.u64()?),
                bucket: rest.u64()?,
                serial: rest.u64()?,
            },
            RETRY => Self::Retry(RetryKey {
                due: UnixMillis(rest.u64()?),
                subscription: SubscriptionKey(rest.u64()?),
                seq: rest.seq()?,
            }),
            LAGGING => Self::Lagging { subscription: SubscriptionKey(rest.u64()?) },
            FAILING => Self::Failing { subscription: SubscriptionKey(rest.u64()?) },
            ROLLUP => Self::Rollup {
                subscription: SubscriptionKey(rest.u64()?),
                span: rest.u32()?,
                serial: rest.u64()?,
            },
            RETRY_OF => Self::RetryOf { subscription: SubscriptionKey(rest.u64()?), seq: rest.seq()? },
            DEAD => Self::Dead { subscription: SubscriptionKey(rest.u64()?), seq: rest.seq()? },
            other => return Err(KeyError::UnknownTag(other)),
        };
        rest.end(key)
    }
}

/// What is left of a key that is being read.
struct Rest<'a> {
    bytes: &'a [u8],
    wrong: KeyError,
}

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (part, rest) = self.bytes.split_first_chunk::<N>().ok_or(self.wrong)?;
        self.bytes = rest;
        Ok(*part)
    }

    fn u32(&mut self) -> Result<u32, KeyError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, KeyError> {
        self.take().map(u64::from_be_bytes)
    }

    fn seq(&mut self) -> Result<Seq, KeyError> {
        self.u64().map(Seq)
    }

    fn end(&self, key: Key) -> Result<Key, KeyError> {
        if self.bytes.is_empty() { Ok(key) } else { Err(self.wrong) }
    }
}

/// A half-open range of keys. Every iterator gets both ends, so that none wanders over tombstones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub lower: KeyBytes,
    pub upper: KeyBytes,
}

impl KeyRange {
    /// From `from` on to the end of its kind.
    #[must_use]
    pub fn from(from: &Key) -> Self {
        Self { lower: from.encode(), upper: KeyBytes::new(from.tag() + 1) }
    }

    /// `from` inclusive, `until` exclusive.
    #[must_use]
    pub fn between(from: &Key, until: &Key) -> Self {
        Self { lower: from.encode(), upper: until.encode() }
    }

    /// The log from `from` on.
    #[must_use]
    pub fn events(from: Seq) -> Self {
        Self::from(&Key::Events { first: from })
    }

    /// One account's rows from `from` on.
    #[must_use]
    pub fn account(account: AccountKey, from: Seq) -> Self {
        let upper = KeyBytes::new(BY_ACCOUNT).with(&account.0.to_be_bytes()).with(&[0xff; 9]);
        Self { lower: Key::ByAccount { account, first: from }.encode(), upper }
    }

    /// The attempts of a subscription in the buckets `from` to `through`, both inclusive.
    #[must_use]
    pub fn attempts(subscription: SubscriptionKey, from: u64, through: u64) -> Self {
        let key = |bucket, serial| Key::Attempts { subscription, bucket, serial }.encode();
        let upper = match through.checked_add(1) {
            Some(after) => key(after, 0),
            None => key(through, u64::MAX),
        };
        Self { lower: key(from, 0), upper }
    }

    /// The rollups of a subscription, `from` inclusive, `until` exclusive.
    #[must_use]
    pub fn rollups(subscription: SubscriptionKey, from: u32, until: u32) -> Self {
        let key = |span| Key::Rollup { subscription, span, serial: 0 };
        Self::between(&key(from), &key(until))
    }

    /// The dead letters of a subscription from `from` on.
    #[must_use]
    pub fn dead(subscription: SubscriptionKey, from: Seq) -> Self {
        let upper = KeyBytes::new(DEAD).with(&subscription.0.to_be_bytes()).with(&[0xff; 9]);
        Self { lower: Key::Dead { subscription, seq: from }.encode(), upper }
    }

    /// Where the retries of a subscription lie, by seq.
    #[must_use]
    pub fn retries_of(subscription: SubscriptionKey) -> Self {
        let upper = KeyBytes::new(RETRY_OF).with(&subscription.0.to_be_bytes()).with(&[0xff; 9]);
        Self { lower: Key::RetryOf { subscription, seq: Seq(0) }.encode(), upper }
    }

    /// The rows of one partition's open time.
    #[must_use]
    pub fn fingerprints(partition: Seq) -> Self {
        let lower = Key::Fingerprints { partition, first: Seq(0) };
        Self::between(&lower, &Key::Fingerprints { partition: partition.next(), first: Seq(0) })
    }

    /// The sorted rows of one sealed partition.
    #[must_use]
    pub fn sealed(partition: Seq) -> Self {
        let lower = Key::Sealed { partition, lowest: 0 };
        Self::between(&lower, &Key::Sealed { partition: partition.next(), lowest: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> impl Strategy<Value = Key> {
        let n = any::<u64>;
        let seq = || any::<u64>().prop_map(Seq);
        let sub = || any::<u64>().prop_map(SubscriptionKey);
        prop_oneof![
            Just(Key::Format),
            any::<u16>().prop_map(|worker| Key::Watermark { worker }),
            Just(Key::Floors),
            Just(Key::Counters),
            any::<u32>().prop_map(|minute| Key::Minute { minute }),
            n().prop_map(|id| Key::Job { id: JobId(id) }),
            seq().prop_map(|first| Key::Events { first }),
            (any::<u32>(), seq()).prop_map(|(a, first)| Key::ByAccount { account: AccountKey(a), first }),
            seq().prop_map(|partition| Key::Partition { partition }),
            (seq(), seq()).prop_map(|(partition, first)| Key::Fingerprints { partition, first }),
            (seq(), n()).prop_map(|(partition, lowest)| Key::Sealed { partition, lowest }),
            seq().prop_map(|partition| Key::Filter { partition }),
            (sub(), seq()).prop_map(|(subscription, seq)| Key::RetryOf { subscription, seq }),
            (sub(), n(), n()).prop_map(|(subscription, bucket, serial)| Key::Attempts {
                subscription,
                bucket,
                serial
            }),
            (n(), sub(), seq()).prop_map(|(due, subscription, seq)| Key::Retry(RetryKey {
                due: UnixMillis(due),
                subscription,
                seq
            })),
            sub().prop_map(|subscription| Key::Lagging { subscription }),
            sub().prop_map(|subscription| Key::Failing { subscription }),
            (sub(), any::<u32>(), n()).prop_map(|(subscription, span, serial)| Key::Rollup {
                subscription,
                span,
                serial
            }),
            (sub(), seq()).prop_map(|(subscription, seq)| Key::Dead { subscription, seq }),
        ]
    }

    proptest! {
        #[test]
        fn there_and_back(key in keys()) {
            prop_assert_eq!(Key::parse(key.encode().as_ref()), Ok(key));
        }

        #[test]
        fn and_from_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..30)) {
            if let Ok(key) = Key::parse(&bytes) {
                let encoded = key.encode();
                prop_assert_eq!(encoded.as_ref(), bytes.as_slice());
            }
        }

        #[test]
        fn order_is_kept(a in any::<(u64, u64, u64)>(), b in any::<(u64, u64, u64)>()) {
            let key = |(due, sub, seq)| RetryKey {
                due: UnixMillis(due), subscription: SubscriptionKey(sub), seq: Seq(seq)
            };
            let (a, b) = (key(a), key(b));
            prop_assert_eq!(a.cmp(&b), Key::Retry(a).encode().as_ref().cmp(Key::Retry(b).encode().as_ref()));
        }
    }

    /// These bytes are on disks: a change here is a change of format.
    #[test]
    fn golden() {
        let check = |key: Key, want: &str| assert_eq!(format!("{:?}", key.encode()), want, "{key:?}");
        let (sub, seq) = (SubscriptionKey(0x1122), Seq(0x0102_0304));
        check(Key::Format, "20");
        check(Key::Watermark { worker: 7 }, "210007");
        check(Key::Floors, "22");
        check(Key::Counters, "23");
        check(Key::Minute { minute: 0x0102 }, "2400000102");
        check(Key::Events { first: seq }, "400000000001020304");
        check(Key::ByAccount { account: AccountKey(5), first: seq }, "41000000050000000001020304");
        check(Key::Partition { partition: seq }, "420000000001020304");
        check(Key::Fingerprints { partition: Seq(1), first: seq }, "4300000000000000010000000001020304");
        check(Key::Sealed { partition: Seq(1), lowest: 9 }, "4400000000000000010000000000000009");
        check(Key::Filter { partition: seq }, "450000000001020304");
        check(
            Key::Attempts { subscription: sub, bucket: 3, serial: 4 },
            "46000000000000112200000000000000030000000000000004",
        );
        let retry = RetryKey { due: UnixMillis(6), subscription: sub, seq };
        check(Key::Retry(retry), "47000000000000000600000000000011220000000001020304");
        check(Key::Lagging { subscription: sub }, "480000000000001122");
        check(Key::Failing { subscription: sub }, "4a0000000000001122");
        check(
            Key::Rollup { subscription: sub, span: 3, serial: 4 },
            "500000000000001122000000030000000000000004",
        );
        check(Key::Dead { subscription: sub, seq }, "4900000000000011220000000001020304");
    }

    #[test]
    fn ranges_hold_what_they_should() {
        let holds = |range: KeyRange, key: Key| range.lower <= key.encode() && key.encode() < range.upper;
        let of = |account, first| Key::ByAccount { account: AccountKey(account), first: Seq(first) };
        let range = KeyRange::account(AccountKey(5), Seq(10));
        assert!(holds(range, of(5, 10)) && holds(range, of(5, u64::MAX)));
        assert!(!holds(range, of(5, 9)) && !holds(range, of(6, 10)) && !holds(range, of(4, 10)));
        let of = |sub, bucket| Key::Attempts { subscription: SubscriptionKey(sub), bucket, serial: 1 };
        let range = KeyRange::attempts(SubscriptionKey(2), 3, 4);
        assert!(holds(range, of(2, 3)) && holds(range, of(2, 4)));
        assert!(!holds(range, of(2, 2)) && !holds(range, of(2, 5)) && !holds(range, of(3, 3)));
        assert!(holds(KeyRange::events(Seq(1)), Key::Events { first: Seq(u64::MAX) }));
    }
}
