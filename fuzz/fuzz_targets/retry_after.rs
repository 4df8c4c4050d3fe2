//! Whatever a receiver writes into Retry-After, the wait is bounded, and only a 429 or 503 may ask for one.
#![no_main]

use postrider::model::UnixMillis;
use postrider::send::outcome::{RETRY_AFTER_MAX, retry_after};

libfuzzer_sys::fuzz_target!(|input: (u16, u64, &[u8])| {
    let (status, now, value) = input;
    let wait = retry_after(status, Some(value), UnixMillis(now));
    assert!(wait.is_none() || status == 429 || status == 503);
    let wait = retry_after(503, Some(value), UnixMillis(now));
    assert_eq!(wait, retry_after(429, Some(value), UnixMillis(now)));
    assert!(wait.is_none_or(|wait| wait <= RETRY_AFTER_MAX));
    // A number of seconds means that number, whatever time it is.
    if let Some(seconds) =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        && let Ok(seconds) = seconds.parse::<u64>()
    {
        assert_eq!(wait.map(|wait| wait.as_secs()), Some(seconds.min(RETRY_AFTER_MAX.as_secs())));
        assert_eq!(wait, retry_after(503, Some(value), UnixMillis(now / 2)));
    }
    // A date that is later is never a shorter wait from an earlier moment.
    if let Some(earlier) = retry_after(503, Some(value), UnixMillis(now / 2)) {
        assert!(wait.is_some_and(|wait| wait <= earlier));
    }
});
