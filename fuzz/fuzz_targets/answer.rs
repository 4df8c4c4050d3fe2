//! What is kept of an answer is bounded and says what it left out; a proxy's answer ends, and not a byte
//! behind it is taken.
#![no_main]

use postrider::model::outcome::{EXCERPT_HEADERS_LEN_MAX, EXCERPT_LEN_MAX};
use postrider::send::outcome::{Excerpt, capture_headers, verdict};
use postrider::send::proxy::{HEAD_LEN_MAX, Head};

libfuzzer_sys::fuzz_target!(|input: (u16, Vec<(String, Vec<u8>)>, Vec<Vec<u8>>, &[u8])| {
    let (status, headers, chunks, proxied) = input;
    assert_eq!(verdict(status).is_none(), (200..300).contains(&status));

    let kept = capture_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    assert!(kept.len() <= EXCERPT_HEADERS_LEN_MAX);
    assert!(kept.is_empty() || kept.ends_with('\n'));

    let mut excerpt = Excerpt::default();
    for chunk in &chunks {
        excerpt.push(chunk);
    }
    let all = chunks.concat();
    assert_eq!(excerpt.len(), all.len());
    let (body, more) = excerpt.finish();
    assert!(body.len() <= EXCERPT_LEN_MAX && all.starts_with(&body));
    assert_eq!(more, body.len() < all.len());

    let mut head = Head::default();
    for (at, byte) in proxied.iter().enumerate() {
        assert!(at <= HEAD_LEN_MAX, "it does not end");
        match head.push(*byte) {
            None => {}
            Some(Ok(())) => {
                let taken = &proxied[..=at];
                assert!(taken.starts_with(b"HTTP/1.") && taken.ends_with(b"\n"));
                break;
            }
            Some(Err(_)) => break,
        }
    }
});
