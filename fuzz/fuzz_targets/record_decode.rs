//! Whatever bytes lie in the store: a key or record, or a typed error, never a panic. The checksum is put
//! right first, so that the decoders behind it are reached.
#![no_main]

use postrider::log::key::Key;
use postrider::log::record::{
    AccountRow, CountersRow, DeadValue, EventsRow, FloorsRow, IdsRow, PartitionRow, RetryValue, decode,
    decode_borrowed, decode_filter, reseal,
};
use postrider::model::Attempt;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = Key::parse(bytes) {
        assert_eq!(key.encode().as_ref(), bytes, "a key is read and written as the same bytes");
    }
    let mut row = bytes.to_vec();
    reseal(&mut row);
    let _ = decode_borrowed::<EventsRow>(&row);
    let _ = decode::<AccountRow>(&row);
    let _ = decode::<IdsRow>(&row);
    let _ = decode::<PartitionRow>(&row);
    let _ = decode::<RetryValue>(&row);
    let _ = decode::<DeadValue>(&row);
    let _ = decode::<FloorsRow>(&row);
    let _ = decode::<CountersRow>(&row);
    let _ = decode::<Vec<Attempt>>(&row);
    if let Ok(filter) = decode_filter(&row) {
        let _ = xorf::Filter::contains(&filter, &42);
    }
});
