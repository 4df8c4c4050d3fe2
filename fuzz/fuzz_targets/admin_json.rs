//! Whatever is sent to the admin port besides subscriptions: tokens, rotations, the claims of a JWT, cursors.
//! A value or named errors, never a panic; who is vouched for is vouched for a bounded time.
#![no_main]

use std::time::Duration;

use postrider::model::{AccountName, SubscriptionId, UnixMillis};
use postrider::recover::JobId;
use postrider::registry::{Claims, ERRORS_MAX, OVERLAP_SECS_MAX, TokenDraft, parse_overlap};
use serde_json::Value;

const LIFETIME_MAX: Duration = Duration::from_secs(3600);
const LEEWAY: Duration = Duration::from_secs(30);

libfuzzer_sys::fuzz_target!(|input: (u64, &[u8])| {
    let (now, bytes) = input;
    if let Ok(text) = std::str::from_utf8(bytes) {
        cursors(text);
    }
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    for now in [UnixMillis(now >> 20), UnixMillis(1_800_000_000_000)] {
        match TokenDraft::parse(&value, now) {
            Ok(draft) => assert!(draft.expires_at.is_none_or(|at| at > now) && !draft.name.is_empty()),
            Err(errors) => assert!((1..=ERRORS_MAX).contains(&errors.len())),
        }
        let Value::Object(claims) = &value else { continue };
        if let Ok(vouched) = rules().judge(claims, now) {
            assert!(vouched.until > now && vouched.until <= now + LIFETIME_MAX + LEEWAY + LEEWAY);
        }
    }
    match parse_overlap(Some(&value)) {
        Ok(overlap) => assert!(overlap.as_secs() <= u64::from(OVERLAP_SECS_MAX)),
        Err(errors) => assert!((1..=ERRORS_MAX).contains(&errors.len())),
    }
});

fn rules() -> Claims {
    Claims {
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        account: "account".to_owned(),
        role: "role".to_owned(),
        licence: "platform_user".to_owned(),
        leeway: LEEWAY,
        lifetime_max: LIFETIME_MAX,
    }
}

/// What a cursor holds, and what a path does: a name that is taken is written the same way again.
fn cursors(text: &str) {
    if let Some(job) = JobId::parse(text) {
        assert_eq!(job.text(), text);
    }
    if let Ok(id) = SubscriptionId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(name) = AccountName::parse(text) {
        assert_eq!(name.as_str(), text);
    }
    // An offset reaches into the year 10 000, which cannot be written.
    if let Some(at) = UnixMillis::parse_rfc3339(text).filter(|at| at.0 < 253_402_300_800_000) {
        assert_eq!(UnixMillis::parse_rfc3339(&at.to_rfc3339()), Some(at), "{text}");
    }
}
