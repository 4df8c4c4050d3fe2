//! Whatever is sent as a subscription or a patch of one: a draft or field errors, never a panic.
#![no_main]

use std::sync::LazyLock;

use postrider::model::Catalogue;
use postrider::registry::{Draft, Patch};

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice(bytes) else { return };
    let _ = Draft::parse(&value, &*CATALOGUE);
    let _ = Patch::parse(&value, &*CATALOGUE);
});
