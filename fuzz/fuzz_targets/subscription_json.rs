//! Whatever is sent as a subscription or a patch of one: a draft or field errors, never a panic.
#![no_main]

use postrider::model::Catalogue;
use postrider::registry::{Draft, Patch};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice(bytes) else { return };
    let catalogue = Catalogue::builtin();
    let _ = Draft::parse(&value, &catalogue);
    let _ = Patch::parse(&value, &catalogue);
});
