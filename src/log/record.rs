//! What rows hold: a version byte, a checksum, and bincode.
//!
//! RocksDB checks its own blocks; this checksum is for what happens between our memory and its, and for
//! rows that a person or a bug has touched. Decoding never panics and never allocates more than
//! [`RECORD_LEN_MAX`]: damaged bytes become a [`RecordError`].
//!
//! Rows are packed, many items in each, because a row costs several times what an item in it does.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use bincode::{BorrowDecode, Decode, Encode};
use bytes::Bytes;
use xorf::BinaryFuse16;

use super::fingerprint::Fingerprint;
use crate::model::{AccountKey, Disposition, ErrorKind, Event, Seq, Trigger, TypeBit, UnixMillis};
use crate::settle::{DeadReason, Tries};

/// The version that this code writes.
pub const RECORD_VERSION: u8 = 1;
/// Bytes that decoding one record may claim at most.
pub const RECORD_LEN_MAX: usize = 32 << 20;
/// Bytes of a row of events; a single event that is larger has a row of its own. Small enough that
/// reading one event of a row is cheap, large enough that a row's own cost vanishes.
pub const EVENTS_ROW_LEN_MAX: usize = 64 << 10;
/// Bytes before the payload: version and CRC-32 of the payload, little-endian.
const HEADER_LEN: usize = 5;

/// Why a row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("a record of {0} bytes is too short")]
    TooShort(usize),
    #[error("a record of version {0}, which this version of Postrider does not know")]
    UnknownVersion(u8),
    #[error("a record whose checksum does not hold")]
    Checksum,
    #[error("a record that does not decode: {0}")]
    Malformed(String),
    #[error("a record with {0} bytes left over")]
    LeftOver(usize),
    #[error("a record of an event whose body does not begin with its id")]
    BadEvent,
}

type Standard = Configuration<LittleEndian, Varint, Limit<RECORD_LEN_MAX>>;

fn config() -> Standard {
    standard().with_limit::<RECORD_LEN_MAX>()
}

/// Encodes a row.
///
/// # Errors
/// None for the types here; bincode's signature allows for one.
pub fn encode<T: Encode>(value: &T) -> Result<Vec<u8>, RecordError> {
    encode_sized(value, 64)
}

/// As [`encode`], for a payload of about `len` bytes: a large row is not moved about while it grows.
///
/// # Errors
/// As [`encode`].
pub fn encode_sized<T: Encode>(value: &T, len: usize) -> Result<Vec<u8>, RecordError> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + len);
    bytes.resize(HEADER_LEN, 0);
    bincode::encode_into_std_write(value, &mut bytes, config())
        .map_err(|error| RecordError::Malformed(error.to_string()))?;
    seal_header(&mut bytes);
    Ok(bytes)
}

/// Makes version and checksum of any bytes right, so that a fuzzer reaches what lies behind them.
pub fn reseal(bytes: &mut [u8]) {
    seal_header(bytes);
}

fn seal_header(bytes: &mut [u8]) {
    if let Some((header, payload)) = bytes.split_first_chunk_mut::<HEADER_LEN>() {
        let [a, b, c, d] = crc32fast::hash(payload).to_le_bytes();
        *header = [RECORD_VERSION, a, b, c, d];
    }
}

/// The payload of a row whose version and checksum hold.
fn payload(bytes: &[u8]) -> Result<&[u8], RecordError> {
    let (&[version, a, b, c, d], payload) =
        bytes.split_first_chunk::<HEADER_LEN>().ok_or(RecordError::TooShort(bytes.len()))?;
    if version != RECORD_VERSION {
        return Err(RecordError::UnknownVersion(version));
    }
    if crc32fast::hash(payload) != u32::from_le_bytes([a, b, c, d]) {
        return Err(RecordError::Checksum);
    }
    Ok(payload)
}

/// # Errors
/// Whatever [`RecordError`] names.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, RecordError> {
    let payload = payload(bytes)?;
    let (value, read) = bincode::decode_from_slice(payload, config())
        .map_err(|error| RecordError::Malformed(error.to_string()))?;
    whole(value, payload, read)
}

/// As [`decode`], for types that borrow from the row.
///
/// # Errors
/// Whatever [`RecordError`] names.
pub fn decode_borrowed<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<T, RecordError> {
    let payload = payload(bytes)?;
    let (value, read) = bincode::borrow_decode_from_slice(payload, config())
        .map_err(|error| RecordError::Malformed(error.to_string()))?;
    whole(value, payload, read)
}

fn whole<T>(value: T, payload: &[u8], read: usize) -> Result<T, RecordError> {
    match payload.len() - read {
        0 => Ok(value),
        left => Err(RecordError::LeftOver(left)),
    }
}

/// Encodes a filter: integers in full, since its own are random and would only grow as varints.
///
/// # Errors
/// None; bincode's signature allows for one.
pub fn encode_filter(filter: &BinaryFuse16) -> Result<Vec<u8>, RecordError> {
    let mut bytes = vec![0; HEADER_LEN];
    bincode::encode_into_std_write(filter, &mut bytes, config().with_fixed_int_encoding())
        .map_err(|error| RecordError::Malformed(error.to_string()))?;
    seal_header(&mut bytes);
    Ok(bytes)
}

/// Decodes a filter and checks that its numbers fit each other: asking it would panic otherwise.
///
/// # Errors
/// Whatever [`RecordError`] names.
pub fn decode_filter(bytes: &[u8]) -> Result<BinaryFuse16, RecordError> {
    type Shape = (u64, u32, u32, u32, u64);
    let payload = payload(bytes)?;
    let config = config().with_fixed_int_encoding();
    let malformed = |error: bincode::error::DecodeError| RecordError::Malformed(error.to_string());
    let ((_seed, segment, mask, starts, len), _): (Shape, usize) =
        bincode::decode_from_slice(payload, config).map_err(malformed)?;
    let places = u64::from(starts) + 2 * u64::from(segment);
    if !segment.is_power_of_two() || mask != segment - 1 || starts == 0 || places > len {
        return Err(RecordError::Malformed("a filter whose numbers do not fit".to_owned()));
    }
    let (filter, read) = bincode::decode_from_slice(payload, config).map_err(malformed)?;
    whole(filter, payload, read)
}

/// One event in a row of `events`; its seq is its place after the row's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, BorrowDecode)]
pub struct PackedEvent<'a> {
    pub account: AccountKey,
    pub type_bit: TypeBit,
    pub accepted_at: UnixMillis,
    pub id_len: u8,
    pub body: &'a [u8],
}

impl<'a> PackedEvent<'a> {
    #[must_use]
    pub fn of(event: &'a Event) -> Self {
        Self {
            account: event.account,
            type_bit: event.type_bit,
            accepted_at: event.accepted_at,
            id_len: event.id_len(),
            body: event.body(),
        }
    }

    /// The event, with a copy of its body: one kept event must not hold its whole row in memory.
    ///
    /// # Errors
    /// [`RecordError::BadEvent`].
    pub fn to_event(&self, seq: Seq) -> Result<Event, RecordError> {
        let body = Bytes::copy_from_slice(self.body);
        Event::new(seq, self.account, self.type_bit, self.accepted_at, self.id_len, body)
            .ok_or(RecordError::BadEvent)
    }
}

/// `events`: a run of events.
pub type EventsRow<'a> = Vec<PackedEvent<'a>>;

/// `by_account`: (seq minus the row's first, type), rising.
pub type AccountRow = Vec<(u32, TypeBit)>;

/// `ids`: (fingerprint, seq minus the first of the row or, where sealed, of the partition).
pub type IdsRow = Vec<(Fingerprint, u32)>;

/// `ids`: that there is a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PartitionRow {
    pub opened_at: UnixMillis,
    /// Set once the sorted rows and the filter are there.
    pub sealed: Option<SealedAt>,
}

/// What is known of a sealed partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealedAt {
    /// When its newest event came.
    pub newest_at: UnixMillis,
    pub ids: u32,
}

/// `retries`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RetryValue {
    pub attempts: Tries,
    pub accepted_at: UnixMillis,
    pub trigger: Trigger,
}

/// `dead`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DeadValue {
    pub reason: DeadReason,
    pub at: UnixMillis,
}

/// `meta`: below what retention has dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct FloorsRow {
    pub events: Seq,
    pub ids: Seq,
    pub attempts: Seq,
    pub dead: Seq,
}

/// `meta`: counts that must not be lost; written with every settlement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CountersRow {
    /// Rows in `retries`.
    pub retries: u64,
    /// The highest serial of an attempts row.
    pub attempts_serial: u64,
}

/// An [`Attempt`] of a row, without copies of its texts: a list looks at thousands and shows fifty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorrowDecode)]
pub struct AttemptRef<'a> {
    pub seq: Seq,
    pub number: u16,
    pub trigger: Trigger,
    pub started_at: UnixMillis,
    pub duration_ms: u32,
    pub status: Option<u16>,
    pub error: Option<(ErrorKind, &'a str)>,
    /// Headers, body, truncated.
    pub response: Option<(&'a str, &'a [u8], bool)>,
    pub disposition: Disposition,
    pub body_size: u32,
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
