//! Whatever stands in config.toml: a configuration or errors, never a panic. What is printed reads back, but
//! for a proxy's password, which is not printed.
#![no_main]

use postrider::config::Config;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = Config::load(None, text, std::iter::empty()) {
        if config.egress.proxy.as_ref().is_some_and(|proxy| proxy.credentials.is_some()) {
            return;
        }
        let printed = config.to_toml();
        assert_eq!(Config::load(None, &printed, std::iter::empty()).as_ref(), Ok(&config), "{printed}");
    }
});
