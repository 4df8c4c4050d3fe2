//! Whatever is posted to the socket, in every content type: an answer, never a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postrider::ingest::fuzz_request(bytes));
