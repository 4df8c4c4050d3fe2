//! Tests of the records: round trips, damage, and the very bytes that lie on disks.

use proptest::prelude::*;

use super::*;
use crate::model::{Attempt, AttemptError, Captured, Disposition, ErrorKind};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn attempt() -> Attempt {
    Attempt {
        seq: Seq(300),
        number: 2,
        trigger: Trigger::Retry,
        started_at: UnixMillis(1_795_445_340_000),
        duration_ms: 12,
        status: Some(503),
        error: Some(AttemptError { kind: ErrorKind::Status, message: "503".to_owned() }),
        response: Some(Captured { headers: "a: b\n".to_owned(), body: vec![1, 2], truncated: true }),
        disposition: Disposition::Retry(UnixMillis(7)),
        body_size: 1024,
    }
}

/// These bytes are on disks: a change here needs a new record version.
#[test]
fn golden() {
    let check = |bytes: Result<Vec<u8>, RecordError>, want: &str| {
        assert_eq!(hex(&bytes.expect("encodes")), want);
    };
    let packed = PackedEvent {
        account: AccountKey(300),
        type_bit: TypeBit(3),
        accepted_at: UnixMillis(1_795_445_340_000),
        id_len: 5,
        body: b"{\"id\":\"evt-1\"}",
    };
    check(encode(&vec![packed]), "0188b93e2d01fb2c0103fd60b7e108a2010000050e7b226964223a226576742d31227d");
    check(encode(&vec![(0u32, TypeBit(3)), (2, TypeBit(4))]), "01bfbcff8b0200030204");
    check(encode(&vec![(Fingerprint(0x0102_0304_0506_0708), 1u32)]), "011aba164701fd080706050403020101");
    let sealed = Some(SealedAt { newest_at: UnixMillis(9), ids: 4 });
    check(encode(&PartitionRow { opened_at: UnixMillis(5), sealed }), "01493af7c105010904");
    check(
        encode(&vec![attempt()]),
        "0184392a8f01fb2c010201fd60b7e108a20100000c01fbf7010107033530330105613a20620a020102010107fb0004",
    );
    let retry = RetryValue { attempts: 2.into(), accepted_at: UnixMillis(9), trigger: Trigger::Resend };
    check(encode(&retry), "0119d709c3020902");
    check(encode(&DeadValue { reason: DeadReason::Gone, at: UnixMillis(9) }), "011a9b1e210109");
    let floors = FloorsRow { events: Seq(1), ids: Seq(2), attempts: Seq(3), dead: Seq(4) };
    check(encode(&floors), "01cdfb3cb601020304");
    check(encode(&CountersRow { retries: 1, attempts_serial: 300 }), "01707f5f6e01fb2c01");
    check(encode(&Seq(70_000)), "01db122624fc70110100");
}

#[test]
fn damage_is_told_apart() {
    let good = encode(&vec![attempt()]).expect("encodes");
    let check = |bytes: &[u8], want: RecordError| assert_eq!(decode::<Vec<Attempt>>(bytes), Err(want));
    check(&[], RecordError::TooShort(0));
    check(&good[..4], RecordError::TooShort(4));
    let mut other = good.clone();
    other[0] = 9;
    check(&other, RecordError::UnknownVersion(9));
    for at in 1..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        check(&flipped, RecordError::Checksum);
    }
    let long = encode(&(Seq(1), 7u8)).expect("encodes");
    assert_eq!(decode::<Seq>(&long), Err(RecordError::LeftOver(1)));
}

#[test]
fn a_claimed_length_does_not_allocate() {
    // A vector said to hold 2^60 elements: the limit answers, not the allocator.
    let mut payload = vec![253];
    payload.extend_from_slice(&(1u64 << 60).to_le_bytes());
    let mut bytes = vec![RECORD_VERSION];
    bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    assert!(matches!(decode::<Vec<Attempt>>(&bytes), Err(RecordError::Malformed(_))));
    assert!(matches!(decode_borrowed::<EventsRow<'_>>(&bytes), Err(RecordError::Malformed(_))));
}

#[test]
fn filters() {
    let keys: Vec<u64> = (1..=1000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let filter = BinaryFuse16::try_from(&keys).expect("distinct keys");
    let bytes = encode_filter(&filter).expect("encodes");
    let back = decode_filter(&bytes).expect("decodes");
    assert!(keys.iter().all(|key| xorf::Filter::contains(&back, key)));
    // A good checksum over numbers that do not fit: refused, or asking the filter would panic.
    for at in 8..28 {
        let mut payload = bytes[5..].to_vec();
        payload[at] ^= 0x40;
        if let Ok(filter) = decode_filter(&with_header(&payload)) {
            assert!(keys.iter().filter(|key| xorf::Filter::contains(&filter, key)).count() <= keys.len());
        }
    }
    assert!(decode_filter(&with_header(&[0; 28])).is_err());
}

fn with_header(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![RECORD_VERSION];
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

proptest! {
    #[test]
    fn events_there_and_back(
        rows in proptest::collection::vec(
            (any::<u32>(), any::<u8>(), any::<u64>(), "[a-zA-Z0-9_-]{1,64}", ".{0,200}"), 0..20)
    ) {
        let events: Vec<Event> = rows.iter().enumerate().map(|(at, (account, bit, time, id, rest))| {
            let body = Bytes::from(format!("{{\"id\":\"{id}\"{rest}"));
            let len = u8::try_from(id.len()).expect("at most 64");
            Event::new(Seq(at as u64), AccountKey(*account), TypeBit(*bit), UnixMillis(*time), len, body)
                .expect("a good body")
        }).collect();
        let bytes = encode(&events.iter().map(PackedEvent::of).collect::<Vec<_>>()).expect("encodes");
        let row: EventsRow<'_> = decode_borrowed(&bytes).expect("decodes");
        let back: Vec<Event> = row.iter().enumerate()
            .map(|(at, packed)| packed.to_event(Seq(at as u64)).expect("a good body")).collect();
        prop_assert_eq!(back, events);
    }

    /// Whatever bytes lie there: an error or a value, never a panic. With a good header too, so that
    /// bincode itself gets to see them.
    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for bytes in [bytes.clone(), with_header(&bytes)] {
            let _ = decode_borrowed::<EventsRow<'_>>(&bytes)
                .map(|row| row.iter().filter(|packed| packed.to_event(Seq(1)).is_ok()).count());
            let _ = decode::<AccountRow>(&bytes);
            let _ = decode::<IdsRow>(&bytes);
            let _ = decode::<PartitionRow>(&bytes);
            let _ = decode::<Vec<Attempt>>(&bytes);
            let _ = decode::<RetryValue>(&bytes);
            let _ = decode::<DeadValue>(&bytes);
            let _ = decode::<FloorsRow>(&bytes);
            let _ = decode::<CountersRow>(&bytes);
            let _ = decode_filter(&bytes);
        }
    }
}

#[test]
fn an_attempt_without_copies_is_the_same() {
    let plain = Attempt { error: None, response: None, status: None, ..attempt() };
    let rows = vec![attempt(), plain];
    let bytes = encode(&rows).expect("encodes");
    let refs: Vec<AttemptRef<'_>> = decode_borrowed(&bytes).expect("decodes");
    for (borrowed, whole) in refs.iter().zip(&rows) {
        let error = whole.error.as_ref().map(|error| (error.kind, error.message.as_str()));
        let kept = whole.response.as_ref();
        let response = kept.map(|kept| (kept.headers.as_str(), kept.body.as_slice(), kept.truncated));
        let want = AttemptRef {
            seq: whole.seq,
            number: whole.number,
            trigger: whole.trigger,
            started_at: whole.started_at,
            duration_ms: whole.duration_ms,
            status: whole.status,
            error,
            response,
            disposition: whole.disposition,
            body_size: whole.body_size,
        };
        assert_eq!(*borrowed, want);
    }
    assert_eq!(refs.len(), 2);
}
