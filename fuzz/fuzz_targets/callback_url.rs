//! A callback URL that is taken means the same when it is read again.
#![no_main]

use postrider::model::CallbackUrl;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(url) = CallbackUrl::parse(text) {
        assert_eq!(CallbackUrl::parse(url.as_str()).as_ref(), Ok(&url));
        assert!(url.target().starts_with('/'));
        assert!(!url.host_header().is_empty());
        assert_ne!(url.authority().port, 0);
    }
});
